//! A decoded message: the event, and the attributes it came with, read from the headers when asked for.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::{Identity, LimitError, Limits, Payload, Record, TraceParent, attribute};

/// Bytes of an id, a source or a correlation id. Longer ones are no identifiers but payload in the wrong place.
const MAX_IDENTIFIER_BYTES: usize = 512;

/// An event with the record it was decoded from.
#[derive(Debug)]
pub struct Envelope<P> {
    event: P,
    identity: Identity,
    record: Record,
}

impl<P: Payload> Envelope<P> {
    /// Decodes a record.
    ///
    /// # Errors
    /// [`Undecodable`] gives the record back untouched, for the dead-letter topic, and says what is wrong with it.
    pub fn decode(record: Record, limits: &Limits) -> Result<Self, Box<Undecodable>> {
        match parse(&record, limits) {
            Ok((event, identity)) => Ok(Self {
                event,
                identity,
                record,
            }),
            Err(error) => Err(Box::new(Undecodable { record, error })),
        }
    }
}

impl<P> Envelope<P> {
    /// The event itself.
    pub fn event(&self) -> &P {
        &self.event
    }

    /// Source and id, unique together.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The record as it arrived.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Takes the record and the identity back out.
    pub fn into_parts(self) -> (Record, Identity) {
        (self.record, self.identity)
    }

    /// Shared by all events of one business transaction; the message's own id if it brings none.
    pub fn correlation_id(&self) -> &str {
        self.record
            .headers
            .get_str(attribute::CORRELATION_ID)
            .unwrap_or(&self.identity.id)
    }

    /// The id of the event that caused this one.
    pub fn causation_id(&self) -> Option<&str> {
        self.record.headers.get_str(attribute::CAUSATION_ID)
    }

    /// When it happened: `ce_time`, else the `timestamp` header, else the record's own timestamp.
    ///
    /// A header that is no RFC 3339 time is passed over: a sloppy clock is no reason to lose an order.
    pub fn time(&self) -> Option<Timestamp> {
        [attribute::TIME, attribute::TIMESTAMP]
            .into_iter()
            .find_map(|name| self.record.headers.get_str(name)?.parse().ok())
            .or(self.record.timestamp)
    }

    /// Position in the trace, if the message carries a valid one.
    pub fn trace_parent(&self) -> Option<TraceParent> {
        TraceParent::parse(self.record.headers.get_str(attribute::TRACE_PARENT)?)
    }
}

/// A record that is no event.
#[derive(Debug)]
pub struct Undecodable {
    /// As it arrived.
    pub record: Record,
    /// What is wrong with it.
    pub error: DecodeError,
}

/// Why a record is no event. Trying again cannot help.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It is larger than is allowed.
    #[error("the record breaks a limit")]
    Limit(#[from] LimitError),
    /// An identifying header is not usable text.
    #[error("header {header}: {reason}")]
    Header {
        /// The header's name.
        header: &'static str,
        /// What is wrong with its value.
        reason: &'static str,
    },
    /// Another specification than CloudEvents 1.x.
    #[error("ce_specversion is {found:?}; this worker reads CloudEvents 1.0")]
    SpecVersion {
        /// As found.
        found: String,
    },
    /// The right event, in a version this worker does not know.
    #[error("event version {found:?} is unknown; this worker reads {expected:?}")]
    Version {
        /// As found.
        found: String,
        /// The type that this worker reads.
        expected: &'static str,
    },
    /// Another event than this topic's.
    #[error("ce_type is {found:?}; this worker reads {expected:?}")]
    Type {
        /// As found.
        found: String,
        /// The type that this worker reads.
        expected: &'static str,
    },
    /// The value is null.
    #[error("the value is null (a tombstone); an event was expected")]
    Tombstone,
    /// The value has no bytes.
    #[error("the value is empty; an event was expected")]
    Empty,
    /// The value is not the JSON it should be.
    #[error("the value is no {event}")]
    Json {
        /// The event's type.
        event: &'static str,
        /// What the JSON reader says, with line and column.
        source: serde_json::Error,
    },
    /// The JSON has the right shape but not an allowed content.
    #[error("the value is no valid {event}: {reason}")]
    Invalid {
        /// The event's type.
        event: &'static str,
        /// Which field, and why.
        reason: String,
    },
}

impl DecodeError {
    /// A stable name of the kind of error, for dead letters and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Limit(_) => "LimitExceeded",
            Self::Header { .. } => "InvalidHeader",
            Self::SpecVersion { .. } => "UnknownSpecVersion",
            Self::Version { .. } => "UnknownEventVersion",
            Self::Type { .. } => "UnexpectedEventType",
            Self::Tombstone => "Tombstone",
            Self::Empty => "EmptyValue",
            Self::Json { .. } => "InvalidJson",
            Self::Invalid { .. } => "InvalidEvent",
        }
    }
}

fn parse<P: Payload>(record: &Record, limits: &Limits) -> Result<(P, Identity), DecodeError> {
    limits.check(record)?;
    if let Some(found) = record.headers.get(attribute::SPEC_VERSION)
        && !found.starts_with(b"1.")
    {
        let found = text(found).into_owned();
        return Err(DecodeError::SpecVersion { found });
    }
    let id = identifier(record, attribute::ID)?;
    let source = identifier(record, attribute::SOURCE)?;
    identifier(record, attribute::CORRELATION_ID)?;
    let identity = Identity {
        source: source.unwrap_or(&record.partition.topic).into(),
        id: match id {
            Some(id) => id.into(),
            None => record.position().to_string().into(),
        },
    };
    Ok((P::decode(record)?, identity))
}

fn identifier<'a>(
    record: &'a Record,
    header: &'static str,
) -> Result<Option<&'a str>, DecodeError> {
    let invalid = |reason| DecodeError::Header { header, reason };
    let Some(bytes) = record.headers.get(header) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(bytes).map_err(|_| invalid("is not UTF-8"))?;
    if text.is_empty() {
        return Err(invalid("is empty"));
    }
    if text.len() > MAX_IDENTIFIER_BYTES {
        return Err(invalid("is longer than 512 bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid("holds a control character"));
    }
    Ok(Some(text))
}

/// Accepts `found` if it is `expected`; otherwise tells another version (`expected.vN`) from another event.
pub(crate) fn check_type(found: &[u8], expected: &'static str) -> Result<(), DecodeError> {
    if found == expected.as_bytes() {
        return Ok(());
    }
    let found = text(found).into_owned();
    let version = found
        .strip_prefix(expected)
        .and_then(|rest| rest.strip_prefix(".v"));
    match version {
        Some("1") => Ok(()),
        Some(_) => Err(DecodeError::Version { found, expected }),
        None => Err(DecodeError::Type { found, expected }),
    }
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    const SHOWN: usize = 64;
    String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)])
}
