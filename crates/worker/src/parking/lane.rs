//! One parked lane: what is known of it, and where it is on its way out of the store.

use std::collections::BTreeSet;

use jiff::Timestamp;
use longshore_event::TopicPartition;

use super::{Head, PageSize};

/// A lane whose messages wait in the store.
#[derive(Debug)]
pub(crate) struct ParkedLane {
    pub(super) stay: Stay,
    /// The partitions that its messages may be of.
    pub(super) partitions: Vec<TopicPartition>,
    pub(super) phase: Phase,
    /// Messages that are being parked: decided, and not yet in the store.
    pub(super) parking: usize,
    /// Whether the first message is among them: until it is there, the store would give it out as it was.
    pub(super) parking_head: bool,
    /// Whether a message was parked since the store was last asked for them.
    pub(super) grew: bool,
    /// What is read next.
    pub(super) page: PageSize,
    pub(crate) head: Head,
    /// Messages that wait, as far as is known.
    pub(crate) rows: u64,
}

/// What happens to a parked lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Waiting(Timestamp),
    /// Its next messages are being read from the store. An earlier reading may come back while a later one is under way.
    Loading(Reading),
    /// So many of them are in the lane; `last` if the store had no more.
    Draining {
        left: usize,
        last: bool,
    },
    /// All that the store had is drained; what is being parked comes next.
    Settling,
}

/// One stay of a key among the parked; if it comes back it is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Stay(u64);

impl Stay {
    pub(super) fn nth(n: u64) -> Self {
        Self(n)
    }
}

/// One reading of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading(u64);

impl Reading {
    pub(super) fn nth(n: u64) -> Self {
        Self(n)
    }
}

impl ParkedLane {
    pub(super) fn knows(&mut self, partition: TopicPartition) {
        if !self.partitions.contains(&partition) {
            self.partitions.push(partition);
        }
    }

    /// Takes the lane out of what is counted by phase.
    pub(super) fn leave_phase(
        &mut self,
        due: &mut BTreeSet<(Timestamp, Stay)>,
        draining: &mut usize,
    ) {
        match self.phase {
            Phase::Waiting(until) => drop(due.remove(&(until, self.stay))),
            Phase::Loading(_) | Phase::Draining { .. } => *draining -= 1,
            Phase::Settling => {}
        }
    }
}
