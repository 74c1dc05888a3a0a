//! What can be wrong with a history.

use std::fmt;

use longshore_event::{Identity, Position};

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A message has no end: neither a follow-on event nor a dead letter.
    Lost {
        /// The group that should have handled it.
        group: String,
        /// Where it first stands.
        message: Position,
        /// Who it is.
        identity: Identity,
    },
    /// A message has a follow-on event and a dead letter as well.
    TwoEnds {
        /// The group that handled it.
        group: String,
        /// Where it first stands.
        message: Position,
    },
    /// A record whose id or position derives from no message of its stage: made up, or a second effect of a message.
    Orphan {
        /// The group that wrote it.
        group: String,
        /// Where it stands.
        record: Position,
    },
    /// A record that stands in the log twice under one id, but with other bytes or in another topic.
    Changed {
        /// Where it first stands.
        first: Position,
        /// Where it stands again.
        again: Position,
    },
    /// A follow-on event that does not carry its cause's correlation id, or not its cause's id as causation id.
    Unconnected {
        /// Where it stands.
        record: Position,
        /// Where its cause stands.
        cause: Position,
    },
    /// A follow-on event that stands before that of an earlier message with the same key.
    OutOfOrder {
        /// Where it stands.
        record: Position,
        /// Its cause.
        cause: Position,
        /// The later message of the key whose follow-on event stands before it.
        overtaken_by: Position,
    },
    /// A dead letter that is not the record that failed: another key, value or header.
    Altered {
        /// Where it stands.
        record: Position,
        /// Where the record that failed stands.
        cause: Position,
    },
    /// An effect on the outside world that happened more than once.
    Repeated {
        /// What, and whom it concerns.
        effect: String,
        /// How often.
        times: usize,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost {
                group,
                message,
                identity,
            } => write!(f, "{message} ({}) has no end in {group}", identity.id),
            Self::TwoEnds { group, message } => write!(f, "{message} has two ends in {group}"),
            Self::Orphan { group, record } => write!(f, "{record} follows from nothing in {group}"),
            Self::Changed { first, again } => write!(f, "{again} is not what {first} was"),
            Self::Unconnected { record, cause } => {
                write!(f, "{record} does not name its cause {cause}")
            }
            Self::OutOfOrder {
                record,
                cause,
                overtaken_by,
            } => write!(
                f,
                "{record}, caused by {cause}, was overtaken by that of {overtaken_by}"
            ),
            Self::Altered { record, cause } => {
                write!(f, "{record} is not the record {cause} that failed")
            }
            Self::Repeated { effect, times } => write!(f, "{effect} happened {times} times"),
        }
    }
}
