//! What an error of the worker's own store says of the message that is being handled.

use longshore_worker::{Failure, StoreError};

/// A statement that cannot succeed dooms its message; an outage is waited for by the runtime.
pub(crate) fn failure(error: StoreError) -> Failure {
    match error {
        StoreError::Rejected(_) => Failure::permanent(error),
        StoreError::Unavailable(_) | StoreError::Duplicate | StoreError::Fenced { .. } => {
            error.into()
        }
    }
}
