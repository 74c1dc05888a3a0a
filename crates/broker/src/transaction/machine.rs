//! The transactions of one transactional id as a pure state machine: a call and the present state go in,
//! the next state comes out, for the coordinator to write down before it is true.
//!
//! ```text
//! Empty ──add──▶ Ongoing ──end, timeout, new producer──▶ Prepared ──all are told──▶ Complete
//!   ▲               ▲                                                                  │
//!   │               └──────────────────────────── add ─────────────────────────────────┤
//!   └──────────────────────────────────────── new producer ────────────────────────────┘
//! ```
//!
//! The rules are those of Kafka's transaction coordinator before KIP-890: a producer keeps its epoch
//! from one transaction to the next, and names partitions before it writes to them.

use kafka_protocol::error::ResponseError;
use serde::{Deserialize, Serialize};

use super::scope::Scope;
use crate::log::Outcome;

/// The highest epoch that a producer is given; the one above is left for fencing it.
const MAX_EPOCH: i16 = i16::MAX - 1;

/// A producer: an id, and how often it was taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

/// All there is to know of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transaction {
    pub(crate) producer: Producer,
    /// What the producer was before it asked for its present epoch, in case it asks again (KIP-360).
    before: Option<Producer>,
    /// Milliseconds.
    pub(crate) timeout_ms: i32,
    pub(crate) state: State,
    /// Milliseconds since 1970.
    pub(super) changed_ms: i64,
}

/// Where a transaction stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// The producer has begun none yet.
    Empty,
    Ongoing {
        /// Milliseconds since 1970.
        since_ms: i64,
        scope: Scope,
    },
    /// It is decided, and not every participant knows.
    Prepared {
        outcome: Outcome,
        scope: Scope,
    },
    Complete {
        outcome: Outcome,
    },
}

/// What becomes of a call to end a transaction.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has ended this way before.
    Already,
    Prepare(Transaction),
}

impl Transaction {
    /// The state of a new transactional id.
    pub(super) fn new(producer_id: i64, timeout_ms: i32, now_ms: i64) -> Self {
        Self {
            producer: Producer {
                id: producer_id,
                epoch: 0,
            },
            before: None,
            timeout_ms,
            state: State::Empty,
            changed_ms: now_ms,
        }
    }

    /// Gives the id to a producer, who names what it was if it was one; its predecessors are fenced.
    /// `new_id` is asked when the epochs of the present id are used up.
    ///
    /// # Errors
    ///
    /// The caller is not the present producer, or there is a transaction to end first.
    pub(super) fn init(
        &self,
        was: Option<Producer>,
        timeout_ms: i32,
        now_ms: i64,
        new_id: impl FnOnce() -> Result<i64, ResponseError>,
    ) -> Result<Self, ResponseError> {
        self.check_successor(was)?;
        if matches!(self.state, State::Ongoing { .. } | State::Prepared { .. }) {
            return Err(ResponseError::ConcurrentTransactions);
        }
        let asked_before = was.is_some() && was != Some(self.producer);
        if asked_before {
            return Ok(self.clone());
        }
        let producer = if self.producer.epoch < MAX_EPOCH {
            self.next_epoch()
        } else {
            Producer {
                id: new_id()?,
                epoch: 0,
            }
        };
        Ok(Self {
            producer,
            before: was,
            timeout_ms,
            state: State::Empty,
            changed_ms: now_ms,
        })
    }

    /// Whether a producer that names what it was may take over.
    ///
    /// # Errors
    ///
    /// Another producer has taken over meanwhile.
    pub(super) fn check_successor(&self, was: Option<Producer>) -> Result<(), ResponseError> {
        match was {
            None => Ok(()),
            Some(was) if was == self.producer => Ok(()),
            Some(_) if was == self.before && self.state == State::Empty => Ok(()),
            Some(_) => Err(ResponseError::ProducerFenced),
        }
    }

    /// Adds to the transaction, which begins if none is ongoing; `None` when it is all there already.
    ///
    /// # Errors
    ///
    /// The caller is not the present producer, or its last transaction is not complete.
    pub(super) fn add(
        &self,
        caller: Producer,
        more: &Scope,
        now_ms: i64,
    ) -> Result<Option<Self>, ResponseError> {
        self.check(caller)?;
        let (since_ms, mut scope) = match &self.state {
            State::Ongoing { scope, .. } if scope.covers(more) => return Ok(None),
            State::Ongoing { since_ms, scope } => (*since_ms, scope.clone()),
            State::Empty | State::Complete { .. } => (now_ms, Scope::default()),
            State::Prepared { .. } => return Err(ResponseError::ConcurrentTransactions),
        };
        scope.merge(more.clone());
        Ok(Some(self.with(State::Ongoing { since_ms, scope }, now_ms)))
    }

    /// Decides how the transaction ends.
    ///
    /// # Errors
    ///
    /// The caller is not the present producer, there is no transaction, or it ended the other way.
    pub(super) fn end(
        &self,
        caller: Producer,
        outcome: Outcome,
        now_ms: i64,
    ) -> Result<End, ResponseError> {
        self.check(caller)?;
        match &self.state {
            State::Ongoing { scope, .. } => {
                let scope = scope.clone();
                let prepared = State::Prepared { outcome, scope };
                Ok(End::Prepare(self.with(prepared, now_ms)))
            }
            State::Complete { outcome: ended } if *ended == outcome => Ok(End::Already),
            State::Prepared { outcome: ended, .. } if *ended == outcome => {
                Err(ResponseError::ConcurrentTransactions)
            }
            State::Empty | State::Prepared { .. } | State::Complete { .. } => {
                Err(ResponseError::InvalidTxnState)
            }
        }
    }

    /// Aborts the ongoing transaction in the name of the next epoch, so that whoever has the present one
    /// can write no more; `None` when none is ongoing.
    pub(super) fn fence(&self, now_ms: i64) -> Option<Self> {
        let State::Ongoing { scope, .. } = &self.state else {
            return None;
        };
        let prepared = State::Prepared {
            outcome: Outcome::Aborted,
            scope: scope.clone(),
        };
        Some(Self {
            producer: self.next_epoch(),
            before: None,
            ..self.with(prepared, now_ms)
        })
    }

    /// The state once every participant knows the outcome.
    pub(super) fn complete(&self, now_ms: i64) -> Self {
        match self.state {
            State::Prepared { outcome, .. } => self.with(State::Complete { outcome }, now_ms),
            State::Empty | State::Ongoing { .. } | State::Complete { .. } => self.clone(),
        }
    }

    /// Whether `caller` is the present producer.
    ///
    /// # Errors
    ///
    /// It is not.
    pub(super) fn check(&self, caller: Producer) -> Result<(), ResponseError> {
        if caller.id != self.producer.id {
            Err(ResponseError::InvalidProducerIdMapping)
        } else if caller.epoch != self.producer.epoch {
            Err(ResponseError::ProducerFenced)
        } else {
            Ok(())
        }
    }

    /// What the ongoing transaction concerns.
    pub(super) fn ongoing(&self) -> Option<&Scope> {
        match &self.state {
            State::Ongoing { scope, .. } => Some(scope),
            State::Empty | State::Prepared { .. } | State::Complete { .. } => None,
        }
    }

    /// What the transaction concerns, unless it is complete.
    pub(crate) fn scope(&self) -> Option<&Scope> {
        match &self.state {
            State::Ongoing { scope, .. } | State::Prepared { scope, .. } => Some(scope),
            State::Empty | State::Complete { .. } => None,
        }
    }

    /// The state by the name Kafka's tools show.
    pub(crate) fn state_name(&self) -> &'static str {
        use Outcome::{Aborted, Committed};
        match self.state {
            State::Empty => "Empty",
            State::Ongoing { .. } => "Ongoing",
            State::Prepared {
                outcome: Committed, ..
            } => "PrepareCommit",
            State::Prepared { .. } => "PrepareAbort",
            State::Complete { outcome: Committed } => "CompleteCommit",
            State::Complete { outcome: Aborted } => "CompleteAbort",
        }
    }

    fn next_epoch(&self) -> Producer {
        Producer {
            id: self.producer.id,
            epoch: self.producer.epoch.saturating_add(1),
        }
    }

    fn with(&self, state: State, now_ms: i64) -> Self {
        Self {
            state,
            changed_ms: now_ms,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests;
