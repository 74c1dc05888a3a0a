//! Timers: records that are committed now and published later, or never if they are cancelled in time.

use bytes::Bytes;
use jiff::Timestamp;

use crate::OutboxRow;

/// What a message does about timers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimerChange {
    /// Sets one; a pending one of the same name is replaced.
    Set(Timer),
    /// Cancels one. If it has fired already, or was never set, nothing happens.
    Cancel(TimerName),
}

/// A record that is published once, when it is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// What cancels it; `None` for one that nobody will cancel.
    pub name: Option<TimerName>,
    /// When it is published.
    pub due_at: Timestamp,
    /// What is published.
    pub row: OutboxRow,
}

/// The name of a timer. It is the key's own: timers of two keys may be called the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TimerName {
    /// The lane of the message that sets or cancels it; so a timer is never set and cancelled at once.
    pub lane: Bytes,
    /// The name within the lane.
    pub name: String,
}

/// Timers that were claimed, and when to ask again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Claimed for the caller; it publishes them, and takes them out as other outbox rows.
    pub rows: Vec<OutboxRow>,
    /// The earliest moment at which there is another to claim; `None` if there are none.
    pub next: Option<Timestamp>,
}
