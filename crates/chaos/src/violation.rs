//! What can be wrong at the end of a run.

use std::fmt;
use std::time::Duration;

use longshore_event::{Position, TopicPartition};
use longshore_testkit::history;

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// The logs do not agree with themselves.
    History(history::Violation),
    /// The broker acknowledged a record to the producer, and does not have it.
    NotInLog { what: String },
    /// A message has one end, but not the one it should have.
    WrongEnd {
        message: Position,
        expected: End,
        found: End,
    },
    /// A follow-on event stands in the log twice, where readers see each once.
    OutputRepeated { first: Position, again: Position },
    /// A dead letter that stands before that of an earlier record with the same key, where each commit is a prefix of
    /// the log.
    LetterOutOfOrder {
        message: Position,
        overtaken_by: Position,
    },
    /// A message that was handled has no effect in the database.
    EffectMissing { message: Position },
    /// A message has more than one effect.
    EffectRepeated { message: Position, times: usize },
    /// An effect of no message, or of one that was not handled.
    EffectUnknown { id: String },
    /// An effect that came before that of an earlier message with the same key.
    EffectOutOfOrder {
        message: Position,
        overtaken_by: Position,
    },
    /// A message that has its end is not in the inbox: it would be handled again.
    NotInInbox { message: Position },
    /// The inbox knows somebody who was never there.
    InboxUnknown { source: String, id: String },
    /// Rows that are there only as long as something is to be done.
    LeftOver { table: &'static str, rows: u64 },
    /// The group has not committed a partition up to its end, or beyond it.
    OffsetNotAtEnd {
        partition: TopicPartition,
        progress: String,
    },
    /// Not everything was finished in time.
    Unsettled {
        within: Duration,
        unfinished: Vec<String>,
    },
    /// A worker that ran ended by itself.
    WorkerEnded { worker: usize, status: String },
    /// A worker that was told to stop did not do so in good order.
    UncleanStop { worker: usize, status: String },
}

/// How a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    Dead,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::History(violation) => violation.fmt(f),
            Self::NotInLog { what } => write!(f, "acknowledged and lost: {what}"),
            Self::WrongEnd {
                message,
                expected,
                found,
            } => write!(f, "{message} is {found}, and should be {expected}"),
            Self::OutputRepeated { first, again } => {
                write!(f, "{again} is {first} once more")
            }
            Self::LetterOutOfOrder {
                message,
                overtaken_by,
            } => write!(
                f,
                "the dead letter of {message} stands behind that of {overtaken_by}, of the same key"
            ),
            Self::EffectMissing { message } => write!(f, "{message} has no effect"),
            Self::EffectRepeated { message, times } => {
                write!(f, "{message} took effect {times} times")
            }
            Self::EffectUnknown { id } => write!(f, "an effect of {id}, which was not handled"),
            Self::EffectOutOfOrder {
                message,
                overtaken_by,
            } => write!(
                f,
                "{message} took effect after {overtaken_by}, of the same key"
            ),
            Self::NotInInbox { message } => write!(f, "{message} is not in the inbox"),
            Self::InboxUnknown { source, id } => {
                write!(f, "the inbox has {id} of {source}, who was never there")
            }
            Self::LeftOver { table, rows } => write!(f, "{rows} rows are left in {table}"),
            Self::OffsetNotAtEnd { progress, .. } => f.write_str(progress),
            Self::Unsettled { within, unfinished } => {
                write!(
                    f,
                    "not finished within {within:?}: {}",
                    unfinished.join(", ")
                )
            }
            Self::WorkerEnded { worker, status } => {
                write!(f, "worker {worker} ended by itself: {status}")
            }
            Self::UncleanStop { worker, status } => {
                write!(f, "worker {worker}, told to stop: {status}")
            }
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Dead => "dead",
        })
    }
}
