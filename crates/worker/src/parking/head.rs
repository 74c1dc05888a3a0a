//! The first message of a parked lane: what it waits for, and why.

use jiff::Timestamp;
use longshore_event::Position;

use crate::ending::Trail;
use crate::{ParkedFailure, ParkedRow, ParkedState};

/// What is known of the first message of a lane.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) state: ParkedState,
    pub(crate) position: Position,
    pub(crate) attempts: u32,
    pub(crate) due_at: Timestamp,
    pub(crate) failure: Option<ParkedFailure>,
}

impl Head {
    /// A message that died in its commit.
    pub(crate) fn held(trail: &Trail, now: Timestamp) -> Self {
        Self {
            state: ParkedState::Held,
            position: trail.record.position(),
            attempts: trail.runs.count,
            due_at: now,
            failure: None,
        }
    }

    pub(super) fn of_row(row: &ParkedRow) -> Self {
        Self {
            state: row.state,
            position: row.position.clone(),
            attempts: row.attempts,
            due_at: row.due_at,
            failure: row.failure.clone(),
        }
    }
}
