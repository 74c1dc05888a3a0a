//! What the journal of groups says: one entry a change.

use serde::{Deserialize, Serialize};

use super::consumer::StoredConsumerGroup;
use super::machine::StoredGroup;
use super::offsets::Offsets;
use crate::log::Outcome;

/// A change to a group.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Entry {
    /// Offsets were committed; those of other partitions stay.
    Committed { group: String, offsets: Offsets },
    /// Committed offsets of some partitions of a topic were removed.
    Forgotten {
        group: String,
        topic: String,
        partitions: Vec<i32>,
    },
    /// A transaction committed offsets, which count when it is committed.
    Pending {
        group: String,
        producer_id: i64,
        offsets: Offsets,
    },
    /// The transaction of a producer ended: its pending offsets count from now on, or never.
    Settled {
        group: String,
        producer_id: i64,
        outcome: Outcome,
    },
    /// Members, generation or assignment changed.
    Members { group: String, state: StoredGroup },
    /// As `Members`, of a group of the consumer protocol.
    Consumers {
        group: String,
        state: StoredConsumerGroup,
    },
    /// The group and its offsets are gone.
    Deleted { group: String },
}
