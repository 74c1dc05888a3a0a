//! The timers of a run: how many, and when each is due.

use jiff::Timestamp;
use longshore_event::Event;
use serde::{Deserialize, Serialize};

/// Timers that are due evenly over a while, numbered in the order in which they are due.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) timers: usize,
    /// When the first one is due, in milliseconds since 1970.
    pub(super) first_due: i64,
    /// The while, in milliseconds.
    pub(super) over: i64,
}

impl Plan {
    /// When a timer is due, in milliseconds since 1970: a record's timestamp is as exact.
    pub(super) fn due(&self, number: usize) -> i64 {
        self.first_due + self.over * number as i64 / self.timers as i64
    }

    pub(super) fn last_due(&self) -> anyhow::Result<Timestamp> {
        Ok(Timestamp::from_millisecond(self.first_due + self.over)?)
    }
}

/// What a timer publishes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Alarm {
    pub(super) key: String,
    pub(super) number: usize,
    /// In milliseconds since 1970.
    pub(super) due: i64,
}

impl Event for Alarm {
    const TYPE: &'static str = "bench.alarm";

    fn key(&self) -> &str {
        &self.key
    }
}
