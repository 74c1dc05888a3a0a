//! How much waits in the outbox beyond what is in memory. The store is asked while anything does, and never otherwise.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::pending::{at, optional};
use crate::{Store, StoreError};

/// How long a count is good for: what is committed meanwhile comes on top.
const INTERVAL: Duration = Duration::from_secs(1);

/// The rows that wait, counted now and then.
pub(super) struct Backlog {
    rows: watch::Sender<u64>,
    count_at: Option<Instant>,
    counting: Option<BoxFuture<'static, Result<u64, StoreError>>>,
}

impl Backlog {
    /// Tells `rows` how many there are.
    pub(super) fn new(rows: watch::Sender<u64>) -> Self {
        Self {
            rows,
            count_at: None,
            counting: None,
        }
    }

    /// Counts as long as there `is_any`.
    pub(super) fn look(&mut self, is_any: bool) {
        if !is_any {
            self.count_at = None;
            self.counting = None;
            self.tell(0);
        } else if self.counting.is_none() {
            self.count_at.get_or_insert_with(Instant::now);
        }
    }

    /// Goes on when there is something to do; waits for ever if there is not.
    pub(super) async fn turn(&mut self, store: &Arc<impl Store>) {
        if self.counting.is_none() {
            at(self.count_at).await;
            let store = store.clone();
            let count = async move { Ok(store.counts().await?.outbox) };
            self.counting = Some(count.boxed());
        }
        let counted = optional(&mut self.counting).await;
        self.counting = None;
        self.count_at = Some(Instant::now() + INTERVAL);
        // A store that is away takes nothing in, so the last count holds.
        if let Ok(rows) = counted {
            self.tell(rows);
        }
    }

    fn tell(&self, rows: u64) {
        self.rows.send_if_modified(|told| {
            let is_new = *told != rows;
            *told = rows;
            is_new
        });
    }
}
