//! What the workers are asked to do, and what they tell when they have done it.

use longshore_event::Event;
use serde::{Deserialize, Serialize};

/// The consumer group of the workers, which also names their schema in the database.
pub(crate) const GROUP: &str = "chaos";

/// A message: it says itself how its handling goes, so that its end is known beforehand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) key: String,
    /// Counts the messages of the key, as they were produced.
    pub(crate) sequence: u64,
    pub(crate) task: Task,
}

/// How the handling of a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Task {
    /// At once.
    Quick,
    /// It takes a while, so that there is always something under way when a process is stopped.
    Slow,
    /// The first runs fail.
    Flaky {
        /// How many of them.
        failures: u32,
    },
    /// It can never be handled.
    Poison,
}

/// The follow-on event of a message that was handled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) key: String,
    pub(crate) sequence: u64,
}

impl Event for Work {
    const TYPE: &'static str = "chaos.work";

    fn key(&self) -> &str {
        &self.key
    }
}

impl Event for Done {
    const TYPE: &'static str = "chaos.done";

    fn key(&self) -> &str {
        &self.key
    }
}
