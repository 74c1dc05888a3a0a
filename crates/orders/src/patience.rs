//! Waiting out an outage of the worker's own store: it says nothing about the message that is being handled.

use std::time::Duration;

use longshore_worker::{Failure, StoreError};
use tracing::warn;

/// The wait after the first try; each later one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// The longest wait, so that work goes on soon after the outage ends.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Calls until the store answers; the runtime's time limit of a handler is the bound.
pub(crate) async fn until_available<T, F>(mut call: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut wait = FIRST_WAIT;
    loop {
        match call().await {
            Err(StoreError::Unavailable(reason)) => {
                warn!(reason, ?wait, "store unavailable to a handler; tried again");
            }
            answer => return answer,
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// A statement that cannot succeed dooms its message; anything else is tried again.
pub(crate) fn failure(error: StoreError) -> Failure {
    match error {
        StoreError::Rejected(_) => Failure::permanent(error),
        StoreError::Unavailable(_) | StoreError::Duplicate => Failure::transient(error),
    }
}
