//! Forgets jobs that ended long ago, a few at a time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use longshore_store::SqlStore;
use longshore_worker::{StoreError, sql};

use crate::Queues;

/// Jobs that are removed in one statement.
const PAGE: i64 = 500;

/// Removes at most a page of each kind and queue; their logs go with them. Says whether there may be more.
///
/// # Errors
/// As those of [`SqlStore::execute`].
pub(crate) async fn prune(
    store: &SqlStore,
    queues: &Queues,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let old = store.among(
        "id",
        &format!(
            "select id from jobs where queue = $1 and state = $2 and ended_at < $3 limit {PAGE}{}",
            store.taking()
        ),
    );
    let remove = format!("delete from jobs where {old}");
    let mut more = false;
    for (name, queue) in queues.iter() {
        for (state, keep) in [
            ("completed", queue.config.keep_completed),
            ("duplicate", queue.config.keep_completed),
            ("failed", queue.config.keep_failed),
        ] {
            let remove = sql(remove.clone())
                .bind(name)
                .bind(state)
                .bind(before(now, keep).as_microsecond());
            more |= store.execute(&remove).await? >= PAGE as u64;
        }
    }
    Ok(more)
}

fn before(now: Timestamp, keep: Duration) -> Timestamp {
    let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
    now.checked_sub(keep).unwrap_or(Timestamp::MIN)
}
