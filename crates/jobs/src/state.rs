//! The states of a job, by the names that the table and the answers have.

use serde::{Deserialize, Serialize};

/// As a condition: a job that is still to be done.
pub(crate) const OPEN: &str = "'delayed', 'waiting', 'active'";

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// It is not due yet: it was added for later, or is tried again later.
    Delayed,
    /// It is due, and others are before it, or its queue is paused.
    Waiting,
    /// It runs.
    Active,
    /// It has succeeded.
    Completed,
    /// It has failed for good.
    Failed,
    /// It was dropped, since its unique key was taken.
    Duplicate,
}

impl JobState {
    /// All of them, in the order of a job's life.
    pub const ALL: [Self; 6] = [
        Self::Delayed,
        Self::Waiting,
        Self::Active,
        Self::Completed,
        Self::Failed,
        Self::Duplicate,
    ];

    /// The name in tables and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delayed => "delayed",
            Self::Waiting => "waiting",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Duplicate => "duplicate",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}
