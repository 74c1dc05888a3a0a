//! What no request is to blame for.

use std::error::Error;

use longshore_store::RejectedStatement;
use longshore_worker::StoreError;

/// The API could not do its part.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The database does not answer. Whether a command took effect is not known; sending it again tells.
    #[error("the store is not available")]
    Unavailable(#[source] StoreError),
    /// This program is wrong.
    #[error("the request could not be processed")]
    Defect(#[source] Box<dyn Error + Send + Sync>),
}

impl Fault {
    /// What should not happen.
    pub(crate) fn defect(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Defect(error.into())
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable(error),
            StoreError::Rejected(_) | StoreError::Duplicate | StoreError::Fenced { .. } => {
                Self::defect(error)
            }
        }
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::defect(error)
    }
}

/// Whether a row is there already that has what this one must have for itself.
pub(crate) fn is_taken(error: &StoreError) -> bool {
    let StoreError::Rejected(reason) = error else {
        return false;
    };
    let rejected = reason.downcast_ref::<RejectedStatement>();
    rejected.is_some_and(RejectedStatement::is_unique_violation)
}
