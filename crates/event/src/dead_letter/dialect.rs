//! Dead letters of other systems too: each says in headers of its own what went wrong, and here they become one view.

use jiff::Timestamp;

use super::{DeadLetter, ErrorKind, fingerprint_of, header, redrive_count};
use crate::{Headers, Offset, Position, Record, TopicPartition};

/// Who wrote a dead letter, by the headers it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// A Longshore worker.
    Longshore,
    /// A broker, for a share group (KIP-1191).
    ShareGroup,
    /// Spring Kafka's `DeadLetterPublishingRecoverer` (`kafka_dlt-*`).
    Spring,
    /// A sink connector of Kafka Connect (KIP-298, `__connect.errors.*`).
    Connect,
    /// Kafka Streams (KIP-1034, `__streams.errors.*`).
    Streams,
    /// Watermill's poison queue (`*_poisoned`).
    Watermill,
}

impl Dialect {
    /// The name in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Longshore => "longshore",
            Self::ShareGroup => "share-group",
            Self::Spring => "spring",
            Self::Connect => "connect",
            Self::Streams => "streams",
            Self::Watermill => "watermill",
        }
    }
}

/// A dead letter of any system, as far as its headers tell. Headers are untrusted: a number that makes no sense counts
/// as not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnyDeadLetter {
    /// Who wrote it.
    pub dialect: Dialect,
    /// The topic it failed in.
    pub topic: String,
    /// The partition it failed in.
    pub partition: Option<i32>,
    /// Its offset there.
    pub offset: Option<i64>,
    /// The consumer group in which it failed.
    pub group: Option<String>,
    /// What failed: a handler, a connector, a subscriber.
    pub handler: Option<String>,
    /// What the failure asked for.
    pub kind: Option<ErrorKind>,
    /// The error's type; the cause's where the error only wraps it.
    pub error_type: Option<String>,
    /// The error.
    pub message: String,
    /// How often it was tried.
    pub delivery_count: Option<u32>,
    /// The first failure of this record.
    pub first_failed_at: Option<Timestamp>,
    /// The last failure, or when the dead letter was written. Connect and Streams keep the time of the failed record
    /// instead, so there it is not told.
    pub failed_at: Option<Timestamp>,
    /// How often it was redriven before.
    pub redrive_count: u32,
    /// Failures that have the same cause have the same.
    pub fingerprint: String,
}

impl AnyDeadLetter {
    /// Reads the headers of `record`; `None` if it is a dead letter of none of these systems.
    pub fn read(record: &Record) -> Option<Self> {
        let headers = &record.headers;
        // A record may have failed in several systems, one after the other. Ours comes first: what we redrive loses
        // all the others' headers, so a letter with both failed with us last.
        let mut letter = longshore(headers)
            .or_else(|| share_group(record))
            .or_else(|| spring(record))
            .or_else(|| streams(headers))
            .or_else(|| connect(headers))
            .or_else(|| watermill(record))?;
        letter.partition = letter.partition.filter(|number| *number >= 0);
        letter.offset = letter.offset.filter(|number| *number >= 0);
        letter.redrive_count = redrive_count(headers);
        letter.fingerprint = given_fingerprint(headers).unwrap_or_else(|| letter.fingerprint());
        Some(letter)
    }

    /// Where the record first stood. `None` if the dialect does not tell (Watermill).
    pub fn origin(&self) -> Option<Position> {
        Some(Position {
            partition: TopicPartition::new(self.topic.as_str(), self.partition?),
            offset: Offset(self.offset?),
        })
    }

    fn fingerprint(&self) -> String {
        let kind = self.kind.map_or(self.dialect.as_str(), ErrorKind::as_str);
        let error_type = self.error_type.as_deref().unwrap_or_default();
        let handler = self.handler.as_deref().unwrap_or_default();
        fingerprint_of(kind, error_type, handler, &self.message)
    }

    /// Nothing told but the topic.
    fn of(dialect: Dialect, topic: String) -> Self {
        Self {
            dialect,
            topic,
            partition: None,
            offset: None,
            group: None,
            handler: None,
            kind: None,
            error_type: None,
            message: String::new(),
            delivery_count: None,
            first_failed_at: None,
            failed_at: None,
            redrive_count: 0,
            fingerprint: String::new(),
        }
    }
}

fn longshore(headers: &Headers) -> Option<AnyDeadLetter> {
    let letter = DeadLetter::read(headers)?;
    Some(AnyDeadLetter {
        dialect: Dialect::Longshore,
        topic: letter.topic,
        partition: Some(letter.partition),
        offset: Some(letter.offset),
        group: Some(letter.group),
        handler: Some(letter.handler),
        kind: Some(letter.kind),
        error_type: Some(letter.error_type),
        message: letter.message,
        delivery_count: Some(letter.delivery_count),
        first_failed_at: Some(letter.first_failed_at),
        failed_at: Some(letter.last_failed_at),
        redrive_count: letter.redrive_count,
        fingerprint: String::new(),
    })
}

fn share_group(record: &Record) -> Option<AnyDeadLetter> {
    let headers = &record.headers;
    Some(AnyDeadLetter {
        partition: number(headers, header::PARTITION),
        offset: number(headers, header::OFFSET),
        group: text(headers, header::GROUP),
        message: text(headers, header::MESSAGE).unwrap_or_default(),
        delivery_count: number(headers, header::DELIVERY_COUNT),
        failed_at: record.timestamp,
        ..AnyDeadLetter::of(Dialect::ShareGroup, text(headers, header::TOPIC)?)
    })
}

/// Numbers are big-endian, as Java's `ByteBuffer` writes them. The error is most often a `ListenerExecutionFailedException`
/// around the one that matters.
fn spring(record: &Record) -> Option<AnyDeadLetter> {
    let headers = &record.headers;
    let text = |name| text(headers, name);
    Some(AnyDeadLetter {
        partition: big_endian(headers.get("kafka_dlt-original-partition"))
            .and_then(|number| number.try_into().ok()),
        offset: big_endian(headers.get("kafka_dlt-original-offset")),
        group: text("kafka_dlt-original-consumer-group"),
        error_type: text("kafka_dlt-exception-cause-fqcn")
            .or_else(|| text("kafka_dlt-exception-fqcn"))
            .or_else(|| text("kafka_dlt-key-exception-fqcn")),
        message: text("kafka_dlt-exception-message")
            .or_else(|| text("kafka_dlt-key-exception-message"))
            .unwrap_or_default(),
        failed_at: record.timestamp,
        ..AnyDeadLetter::of(Dialect::Spring, text("kafka_dlt-original-topic")?)
    })
}

fn streams(headers: &Headers) -> Option<AnyDeadLetter> {
    let text = |name| text(headers, name);
    // As `Throwable.toString` writes it: the class, and the message behind a colon if there is one.
    let error_type = text("__streams.errors.exception").map(|error| match error.split_once(": ") {
        Some((class, _)) => class.to_owned(),
        None => error,
    });
    Some(AnyDeadLetter {
        partition: number(headers, "__streams.errors.partition"),
        offset: number(headers, "__streams.errors.offset"),
        error_type,
        message: text("__streams.errors.message").unwrap_or_default(),
        ..AnyDeadLetter::of(Dialect::Streams, text("__streams.errors.topic")?)
    })
}

fn connect(headers: &Headers) -> Option<AnyDeadLetter> {
    let text = |name| text(headers, name);
    Some(AnyDeadLetter {
        partition: number(headers, "__connect.errors.partition"),
        offset: number(headers, "__connect.errors.offset"),
        handler: text("__connect.errors.connector.name"),
        error_type: text("__connect.errors.exception.class.name"),
        message: text("__connect.errors.exception.message").unwrap_or_default(),
        ..AnyDeadLetter::of(Dialect::Connect, text("__connect.errors.topic")?)
    })
}

fn watermill(record: &Record) -> Option<AnyDeadLetter> {
    let text = |name| text(&record.headers, name);
    let message = text("reason_poisoned")?;
    Some(AnyDeadLetter {
        handler: text("handler_poisoned").or_else(|| text("subscriber_poisoned")),
        message,
        failed_at: record.timestamp,
        ..AnyDeadLetter::of(Dialect::Watermill, text("topic_poisoned")?)
    })
}

/// What is no UTF-8 is shown as far as it goes; nothing and empty are the same.
fn text(headers: &Headers, name: &str) -> Option<String> {
    let bytes = headers.get(name).filter(|bytes| !bytes.is_empty())?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

fn number<T: std::str::FromStr>(headers: &Headers, name: &str) -> Option<T> {
    headers.get_str(name)?.parse().ok()
}

fn big_endian(bytes: Option<&[u8]>) -> Option<i64> {
    let bytes = bytes?;
    let int = bytes.try_into().map(i32::from_be_bytes).map(i64::from);
    int.or_else(|_| bytes.try_into().map(i64::from_be_bytes))
        .ok()
}

fn given_fingerprint(headers: &Headers) -> Option<String> {
    const MAX_BYTES: usize = 64;
    let text = headers.get_str(header::FINGERPRINT)?;
    let is_one = (1..=MAX_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_one.then(|| text.to_owned())
}
