//! A transactional id with its deadline, and how it stands in the journal.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::machine::{State, Transaction};
use crate::node::now_ms;

/// How long to wait before participants that could not be told are told again.
pub(super) const SETTLE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A transactional id, and when something is to be done about it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) transaction: Transaction,
    pub(super) deadline: Option<Instant>,
}

/// What the journal of transactions says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Entry {
    /// The transactional id is in this state now.
    Is {
        id: String,
        transaction: Transaction,
    },
    Forgotten {
        id: String,
    },
}

impl Slot {
    /// A transaction that was begun before a restart has the rest of its time.
    pub(super) fn new(transaction: Transaction) -> Self {
        let deadline = match transaction.state {
            State::Ongoing { since_ms, .. } => {
                let timeout_ms = i64::from(transaction.timeout_ms);
                let left = since_ms.saturating_add(timeout_ms).saturating_sub(now_ms());
                let left = u64::try_from(left.clamp(0, timeout_ms)).unwrap_or(0);
                Some(Instant::now() + Duration::from_millis(left))
            }
            State::Prepared { .. } => Some(Instant::now() + SETTLE_AGAIN_AFTER),
            State::Empty | State::Complete { .. } => None,
        };
        Self {
            transaction,
            deadline,
        }
    }
}
