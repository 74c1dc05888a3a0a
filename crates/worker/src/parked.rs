//! What the store keeps of a key that waits: the message that failed, and in order those that came after it.

use bytes::Bytes;
use jiff::Timestamp;
use longshore_event::{ErrorKind, Identity, Position, Record};

/// A message that waits in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedRow {
    /// Where it was read; the name of the row. The owner of its partition is the one who drains it.
    pub position: Position,
    /// Order within the lane, ascending.
    pub sequence: i64,
    /// The lane's name: rows of one lane are handled one after the other.
    pub lane: Bytes,
    /// What the inbox remembers it by.
    pub identity: Identity,
    /// The message. That of a redriven one stands where it first failed.
    pub record: Record,
    /// How often it was redriven; zero for most.
    pub redrive: u32,
    /// Whether it waits for its next run or for its redrive.
    pub state: ParkedState,
    /// How often it was handed to the handler; zero behind the first of its lane.
    pub attempts: u32,
    /// When it is tried again; rows behind the first have the time at which they came.
    pub due_at: Timestamp,
    /// Why it is here; `None` for one that waits behind another.
    pub failure: Option<ParkedFailure>,
}

/// What a parked message waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParkedState {
    /// Its next run, or the end of those before it.
    Waiting,
    /// It is dead, its letter is published, and its key waits until it is redriven or discarded.
    Held,
}

/// Why a message was parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedFailure {
    /// What the failure asked for.
    pub kind: ErrorKind,
    /// The error's type.
    pub error_type: String,
    /// The error and its causes.
    pub message: String,
    /// The first failure of this message.
    pub first_failed_at: Timestamp,
    /// The last one.
    pub last_failed_at: Timestamp,
}

/// The first row of a parked lane, without its record, and how many rows there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedHead {
    /// The lane's name.
    pub lane: Bytes,
    /// [`ParkedRow::position`] of the first row.
    pub position: Position,
    /// Where its message first failed: the same place, or that of the message that was redriven.
    pub origin: Position,
    /// [`ParkedRow::state`] of the first row.
    pub state: ParkedState,
    /// [`ParkedRow::attempts`] of the first row.
    pub attempts: u32,
    /// [`ParkedRow::due_at`] of the first row.
    pub due_at: Timestamp,
    /// [`ParkedRow::failure`] of the first row.
    pub failure: Option<ParkedFailure>,
    /// Rows of the lane, the first one included.
    pub rows: u64,
    /// [`ParkedRow::sequence`] of the last row: what is parked later stands above it.
    pub last: i64,
}
