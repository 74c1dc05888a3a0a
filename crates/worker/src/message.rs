//! A message on its way through the worker: what its record turned out to be, and how it came.

use jiff::Timestamp;
use longshore_event::{
    Envelope, Identity, Limits, Payload, Position, Record, Redrive, RedriveAction, Undecodable,
};

use crate::ParkedRow;
use crate::assignments::Place;
use crate::backoff::Backoff;
use crate::lanes::{LaneKey, LaneScope};
use crate::parking::Stay;

/// A message on its way through the worker.
#[derive(Debug)]
pub(crate) struct Message<P> {
    pub(crate) content: Content<P>,
    pub(crate) arrival: Arrival,
    pub(crate) runs: Runs,
    pub(crate) place: Place,
}

/// What a record turned out to be.
#[derive(Debug)]
pub(crate) enum Content<P> {
    Event(Envelope<P>),
    Undecodable {
        undecodable: Box<Undecodable>,
        /// Its place in the log, since nothing in it can be trusted to name it.
        identity: Identity,
    },
}

/// How a message came to be handled.
#[derive(Clone, Debug)]
pub(crate) enum Arrival {
    /// Straight from the log.
    Log,
    /// From the group's redrive topic.
    Redriven(Box<Redriven>),
    /// From the store, where it was parked.
    Parked(Box<Parked>),
}

/// A message that was dead once. Its record stands where it first failed.
#[derive(Clone, Debug)]
pub(crate) struct Redriven {
    /// Where it was read.
    pub(crate) position: Position,
    /// What the inbox remembers it by: each redrive passes it once.
    pub(crate) identity: Identity,
    pub(crate) redrive: Redrive,
}

/// A message that was parked.
#[derive(Clone, Debug)]
pub(crate) struct Parked {
    /// Where it was read.
    pub(crate) position: Position,
    pub(crate) identity: Identity,
    pub(crate) sequence: i64,
    pub(crate) redrive: u32,
    pub(crate) stay: Stay,
}

/// How often a message was handed to the handler, and when it failed first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Runs {
    pub(crate) count: u32,
    pub(crate) first_failed_at: Option<Timestamp>,
    /// The waits for outages to end, which are no failures.
    pub(crate) outage: Backoff,
}

impl<P: Payload> Content<P> {
    /// Decodes a record. What cannot be decoded is a message too: its dead letter keeps its place in the lane.
    fn decode(record: Record, limits: &Limits) -> Self {
        match Envelope::decode(record, limits) {
            Ok(envelope) => Self::Event(envelope),
            Err(undecodable) => Self::Undecodable {
                identity: Identity {
                    source: (&*undecodable.record.partition.topic).into(),
                    id: undecodable.record.position().to_string().into(),
                },
                undecodable,
            },
        }
    }
}

impl<P> Content<P> {
    fn identity(&self) -> &Identity {
        match self {
            Self::Event(envelope) => envelope.identity(),
            Self::Undecodable { identity, .. } => identity,
        }
    }

    /// The record; for a redriven one as if it still stood where it first failed.
    pub(crate) fn record(&self) -> &Record {
        match self {
            Self::Event(envelope) => envelope.record(),
            Self::Undecodable { undecodable, .. } => &undecodable.record,
        }
    }

    /// The record, owned, and the identity that follow-on events derive from.
    pub(crate) fn into_parts(self) -> (Record, Identity) {
        match self {
            Self::Event(envelope) => envelope.into_parts(),
            Self::Undecodable {
                undecodable,
                identity,
            } => (undecodable.record, identity),
        }
    }
}

impl<P: Payload> Message<P> {
    /// A record from the log.
    pub(crate) fn decode(record: Record, place: Place, limits: &Limits) -> Self {
        Self {
            content: Content::decode(record, limits),
            arrival: Arrival::Log,
            runs: Runs::default(),
            place,
        }
    }

    /// A record from the group's redrive topic: it is taken for what it was where it first failed. Without the headers of
    /// a redrive it is a message of that topic like any other.
    pub(crate) fn redriven(mut record: Record, place: Place, limits: &Limits) -> Self {
        let Some(redrive) = Redrive::read(&record.headers) else {
            return Self::decode(record, place, limits);
        };
        let position = record.position();
        record.partition = redrive.origin.partition.clone();
        record.offset = redrive.origin.offset;
        let content = Content::decode(record, limits);
        let identity = epoch(content.identity(), &redrive, &position);
        let redriven = Redriven {
            position,
            identity,
            redrive,
        };
        Self {
            content,
            arrival: Arrival::Redriven(redriven.into()),
            runs: Runs::default(),
            place,
        }
    }

    /// A message that was parked.
    pub(crate) fn parked(row: ParkedRow, stay: Stay, place: Place, limits: &Limits) -> Self {
        let runs = Runs {
            count: row.attempts,
            first_failed_at: row.failure.map(|failure| failure.first_failed_at),
            outage: Backoff::new(),
        };
        let parked = Parked {
            position: row.position,
            identity: row.identity,
            sequence: row.sequence,
            redrive: row.redrive,
            stay,
        };
        Self {
            content: Content::decode(row.record, limits),
            arrival: Arrival::Parked(parked.into()),
            runs,
            place,
        }
    }

    /// What the inbox knows it by.
    pub(crate) fn identity(&self) -> &Identity {
        match &self.arrival {
            Arrival::Log => self.content.identity(),
            Arrival::Redriven(redriven) => &redriven.identity,
            Arrival::Parked(parked) => &parked.identity,
        }
    }
}

impl<P> Message<P> {
    /// Where it was read.
    pub(crate) fn position(&self) -> Position {
        match &self.arrival {
            Arrival::Log => self.content.record().position(),
            Arrival::Redriven(redriven) => redriven.position.clone(),
            Arrival::Parked(parked) => parked.position.clone(),
        }
    }

    /// The lane that keeps it in order.
    pub(crate) fn lane(&self, scope: LaneScope) -> LaneKey {
        let record = self.content.record();
        match (&record.key, scope) {
            (Some(key), LaneScope::Group) => LaneKey::Key(key.clone()),
            (None, LaneScope::Group) => LaneKey::Partition(record.partition.clone()),
            (Some(key), LaneScope::Partition) => {
                LaneKey::KeyOfPartition(self.position().partition, key.clone())
            }
            (None, LaneScope::Partition) => LaneKey::Partition(self.position().partition),
        }
    }
}

impl Arrival {
    /// Whether the source delivered it, and wants its budget back.
    pub(crate) fn is_from_source(&self) -> bool {
        !matches!(self, Self::Parked(_))
    }

    /// Whether nothing is to be handled: it comes only to free the key of a dead message.
    pub(crate) fn is_discard(&self) -> bool {
        match self {
            Self::Redriven(redriven) => redriven.redrive.action == RedriveAction::Discard,
            Self::Log | Self::Parked(_) => false,
        }
    }

    /// How often it was redriven.
    pub(crate) fn redrive(&self) -> u32 {
        match self {
            Self::Log => 0,
            Self::Redriven(redriven) => redriven.redrive.count,
            Self::Parked(parked) => parked.redrive,
        }
    }
}

/// The identity of a redriven message: each redrive passes the inbox once, and only once. A discard passes it always: it
/// has no effect but to free its key, and a redrive of the same count may have been skipped as a copy of another.
fn epoch(identity: &Identity, redrive: &Redrive, position: &Position) -> Identity {
    let id = match redrive.action {
        RedriveAction::Handle => format!("{}~redrive-{}", identity.id, redrive.count),
        RedriveAction::Discard => format!("{}~discard-{position}", identity.id),
    };
    Identity {
        source: identity.source.clone(),
        id: id.into(),
    }
}
