//! Where outcomes are recorded: what the orchestrator needs of a store, and nothing more.

use std::sync::Arc;

use jiff::Timestamp;
use longshore_worker::{Failure, StoreError};

use crate::{Journal, State};

/// A saga as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) id: String,
    /// Counts the recordings, from 1. Of two runs that record the same version, one wins.
    pub(crate) version: i64,
    pub(crate) state: State,
    pub(crate) journal: Journal,
    pub(crate) started_at: Timestamp,
    pub(crate) changed_at: Timestamp,
}

/// What was recorded, and what is recorded next.
pub(crate) trait Log: Sync {
    fn load(
        &self,
        name: &'static str,
        id: &str,
    ) -> impl Future<Output = Result<Option<Row>, LogError>> + Send;

    /// Records the row if the one that is there has the version before it, or none is there and it is the first.
    /// `false` if another run was faster. After an error, and when it is dropped, it may have been recorded.
    fn record(&self, row: Row) -> impl Future<Output = Result<bool, LogError>> + Send;
}

/// The store did not record, or not tell.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("the saga cannot be recorded")]
    Store(#[source] Arc<StoreError>),
    #[error("the saga's record is not readable")]
    Unreadable(#[source] Arc<serde_json::Error>),
    #[error("the process is stopping")]
    Stopped,
}

impl From<StoreError> for LogError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

/// What the runtime should do next: wait for a store that is away, give up what no store can hold.
pub(crate) fn failure(error: LogError) -> Failure {
    match &error {
        LogError::Store(store) if matches!(**store, StoreError::Rejected(_)) => {
            Failure::permanent(error)
        }
        LogError::Unreadable(_) => Failure::permanent(error),
        LogError::Store(_) | LogError::Stopped => error.into(),
    }
}
