//! The inbox is pruned by age, in small batches with rests between them, so that it stays bounded and commits are not
//! held up.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::failure::chain;
use crate::settings::jittered;
use crate::{Clock, Store};

/// How long the inbox remembers messages.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Of most messages: longer than a producer, or an operator who resets offsets, may send them again.
    pub inbox: Duration,
    /// Of dead and redriven messages: longer than dead letters are kept, so that each redrive takes effect once.
    pub redrivable: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            inbox: 7 * DAY,
            redrivable: 100 * DAY,
        }
    }
}

/// Rows in one transaction.
const BATCH: usize = 500;
/// The rest after a full batch: there is more to prune.
const REST: Duration = Duration::from_millis(250);
/// The rest once nothing is old enough.
const INTERVAL: Duration = Duration::from_secs(10 * 60);

/// Prunes as long as it lives.
#[derive(Debug)]
pub(crate) struct Pruning(JoinHandle<()>);

impl Pruning {
    pub(crate) fn spawn(store: Arc<impl Store>, retention: Retention, clock: Clock) -> Self {
        Self(tokio::spawn(prune(store, retention, clock)))
    }
}

impl Drop for Pruning {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn prune(store: Arc<impl Store>, retention: Retention, clock: Clock) {
    loop {
        let now = clock.now();
        let (usual, redrivable) = (
            before(now, retention.inbox),
            before(now, retention.redrivable),
        );
        let rest = match store.prune(usual, redrivable, BATCH).await {
            Ok(BATCH) => REST,
            Ok(pruned) => {
                debug!(pruned, "inbox pruned");
                INTERVAL
            }
            Err(error) => {
                warn!(error = chain(&error), "inbox not pruned; tried again later");
                INTERVAL
            }
        };
        // Instances that share a store do not come at once.
        sleep(jittered(rest)).await;
    }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
    now.checked_sub(age).unwrap_or(Timestamp::MIN)
}
