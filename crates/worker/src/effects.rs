//! What one message causes: statements, follow-on records, timers, its place among the parked, or its dead letter.
//! Plain data, until it is committed.

use std::borrow::Cow;

use bytes::Bytes;
use longshore_event::{Identity, OutgoingRecord, Position, TopicPartition};
use uuid::Uuid;

use crate::{ParkedRow, TimerChange};

/// A message that has come to an end, with all it causes: what one transaction makes true, whole or not at all.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What the inbox remembers it by.
    pub identity: Identity,
    /// Where it stands in the log it was read from.
    pub position: Position,
    /// Its key, if it has one.
    pub key: Option<Bytes>,
    /// How the commit makes sure that it takes effect once.
    pub claim: Claim,
    /// Statements of the handler, in order.
    pub writes: Vec<Statement>,
    /// Follow-on events in order, or the dead letter.
    pub outbox: Vec<OutboxRow>,
    /// Timers set and cancelled, in order.
    pub timers: Vec<TimerChange>,
    /// Set if it is parked (again) instead of being done.
    pub parked: Option<Box<ParkedRow>>,
    /// A dead message that keeps its key parked, which this one, its redrive, frees.
    pub releases: Option<Position>,
    /// A dead message that goes on keeping its key parked, with the reason why this one, its redrive, died as well.
    pub keeps: Option<Box<ParkedRow>>,
}

/// How a commit makes sure that a message takes effect once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It comes from the log: it is not in the inbox yet, and is afterwards.
    Inbox,
    /// As `Inbox`, and it may come again by a redrive: its inbox row is kept for longer.
    Redrivable,
    /// It was parked: its row is there, waiting and not held, and is taken out, or replaced by [`Finished::parked`].
    Parked,
}

/// A record that is to be sent once its message is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Derived from the cause, so that the same row is never there twice.
    pub id: Uuid,
    /// Order of sending: rows of one key are sent in ascending sequence.
    pub sequence: i64,
    /// The partition of the message that caused it; its owner is responsible for sending the row.
    pub source: TopicPartition,
    /// What is sent.
    pub record: OutgoingRecord,
}

/// One SQL statement with its arguments, run in the transaction of its message.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The text, with parameters `$1`, `$2` and so on, in the SQL that SQLite and PostgreSQL share.
    pub text: Cow<'static, str>,
    /// One value a parameter.
    pub arguments: Vec<Value>,
}

/// Starts a statement: `sql("update stock set count = count - $1 where sku = $2").bind(2).bind("CD-12")`.
pub fn sql(text: impl Into<Cow<'static, str>>) -> Statement {
    Statement {
        text: text.into(),
        arguments: Vec::new(),
    }
}

impl Statement {
    /// Adds the value of the next parameter.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.arguments.push(value.into());
        self
    }
}

/// The value of a parameter. Null is typed, as PostgreSQL wants it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `bigint`.
    Integer(Option<i64>),
    /// `double precision`.
    Real(Option<f64>),
    /// `text`.
    Text(Option<Cow<'static, str>>),
    /// `bytea`.
    Bytes(Option<Vec<u8>>),
}

macro_rules! value_from {
    ($($from:ty => |$value:ident| $to:expr),* $(,)?) => {$(
        impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $to
            }
        }
    )*};
}

value_from! {
    i64 => |value| Self::Integer(Some(value)),
    i32 => |value| Self::Integer(Some(value.into())),
    u32 => |value| Self::Integer(Some(value.into())),
    bool => |value| Self::Integer(Some(value.into())),
    f64 => |value| Self::Real(Some(value)),
    &'static str => |value| Self::Text(Some(value.into())),
    String => |value| Self::Text(Some(value.into())),
    &String => |value| Self::Text(Some(value.clone().into())),
    Vec<u8> => |value| Self::Bytes(Some(value)),
    Option<i64> => |value| Self::Integer(value),
    Option<f64> => |value| Self::Real(value),
    Option<String> => |value| Self::Text(value.map(Into::into)),
    Option<Vec<u8>> => |value| Self::Bytes(value),
}
