//! Dead letters: the record as it was, plus headers that say where, when and why it failed.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use crate::{Headers, OutgoingRecord, Record};

mod dialect;
pub use dialect::{AnyDeadLetter, Dialect};

/// The topic that takes the dead letters of `topic`.
pub fn dead_letter_topic(topic: &str) -> Arc<str> {
    format!("{topic}.dlq").into()
}

/// What the failure asked for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Trying again may help; the attempts were used up.
    Transient,
    /// Trying again cannot help, says the handler.
    Permanent,
    /// The record is no event.
    Undecodable,
}

impl ErrorKind {
    /// The name in headers, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::Undecodable => "undecodable",
        }
    }

    /// The kind of that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Transient, Self::Permanent, Self::Undecodable]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// Why a record failed for good: what its dead letter says in headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The topic it failed in.
    pub topic: String,
    /// The partition it failed in.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// The consumer group in which it failed.
    pub group: String,
    /// How often it was handed to the handler; zero if it could not be decoded.
    pub delivery_count: u32,
    /// The error and its causes.
    pub message: String,
    /// What the failure asked for.
    pub kind: ErrorKind,
    /// The error's type.
    pub error_type: String,
    /// The handler that failed.
    pub handler: String,
    /// The first failure of this record.
    pub first_failed_at: Timestamp,
    /// The last failure of this record.
    pub last_failed_at: Timestamp,
    /// How often it was redriven before.
    pub redrive_count: u32,
}

/// Bytes of the error message in a header; the rest is cut, since a header is no place for a log.
const MAX_MESSAGE_BYTES: usize = 4 * 1024;

/// KIP-1191 names what is common to all dead letters.
mod header {
    pub(super) const TOPIC: &str = "__dlq.errors.topic";
    pub(super) const PARTITION: &str = "__dlq.errors.partition";
    pub(super) const OFFSET: &str = "__dlq.errors.offset";
    pub(super) const GROUP: &str = "__dlq.errors.group";
    pub(super) const DELIVERY_COUNT: &str = "__dlq.errors.delivery.count";
    pub(super) const MESSAGE: &str = "__dlq.errors.message";
    pub(super) const KIND: &str = "longshore-error-kind";
    pub(super) const TYPE: &str = "longshore-error-type";
    pub(super) const HANDLER: &str = "longshore-handler";
    pub(super) const FINGERPRINT: &str = "longshore-fingerprint";
    pub(super) const FIRST_FAILED_AT: &str = "longshore-first-failed-at";
    pub(super) const LAST_FAILED_AT: &str = "longshore-last-failed-at";
    pub(super) const REDRIVE_COUNT: &str = "longshore-redrive-count";
}

impl DeadLetter {
    /// The record to publish: key, value and headers of `record` unchanged, these replaced and never appended.
    pub fn record(&self, record: &Record) -> OutgoingRecord {
        let mut headers = record.headers.clone();
        let fingerprint = fingerprint(self.kind, &self.error_type, &self.handler, &self.message);
        for (name, value) in [
            (header::TOPIC, self.topic.as_str()),
            (header::PARTITION, &self.partition.to_string()),
            (header::OFFSET, &self.offset.to_string()),
            (header::GROUP, &self.group),
            (header::DELIVERY_COUNT, &self.delivery_count.to_string()),
            (header::MESSAGE, shortened(&self.message)),
            (header::KIND, self.kind.as_str()),
            (header::TYPE, &self.error_type),
            (header::HANDLER, &self.handler),
            (header::FINGERPRINT, &fingerprint),
            (header::FIRST_FAILED_AT, &self.first_failed_at.to_string()),
            (header::LAST_FAILED_AT, &self.last_failed_at.to_string()),
            (header::REDRIVE_COUNT, &self.redrive_count.to_string()),
        ] {
            headers.replace(name, value);
        }
        OutgoingRecord {
            topic: dead_letter_topic(&self.topic),
            key: record.key.clone(),
            value: record.value.clone(),
            headers,
        }
    }

    /// Reads the headers of a dead letter; `None` if it is not one of Longshore's.
    pub fn read(headers: &Headers) -> Option<Self> {
        let text = |name| headers.get_str(name);
        Some(Self {
            topic: text(header::TOPIC)?.to_owned(),
            partition: text(header::PARTITION)?.parse().ok()?,
            offset: text(header::OFFSET)?.parse().ok()?,
            group: text(header::GROUP)?.to_owned(),
            delivery_count: text(header::DELIVERY_COUNT)?.parse().ok()?,
            message: text(header::MESSAGE)?.to_owned(),
            kind: ErrorKind::parse(text(header::KIND)?)?,
            error_type: text(header::TYPE)?.to_owned(),
            handler: text(header::HANDLER)?.to_owned(),
            first_failed_at: text(header::FIRST_FAILED_AT)?.parse().ok()?,
            last_failed_at: text(header::LAST_FAILED_AT)?.parse().ok()?,
            redrive_count: redrive_count(headers),
        })
    }
}

impl Record {
    /// How often this record was redriven, by its header; zero if it never was.
    pub fn redrive_count(&self) -> u32 {
        redrive_count(&self.headers)
    }
}

/// Groups failures that have the same cause: digits are left out of the message, since they tell one record from
/// another and not one cause from another.
pub fn fingerprint(kind: ErrorKind, error_type: &str, handler: &str, message: &str) -> String {
    fingerprint_of(kind.as_str(), error_type, handler, message)
}

fn fingerprint_of(kind: &str, error_type: &str, handler: &str, message: &str) -> String {
    let message: String = shortened(message)
        .chars()
        .filter(|letter| !letter.is_ascii_digit())
        .collect();
    let name = format!("{kind}\n{error_type}\n{handler}\n{message}");
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes());
    format!("{:016x}", id.as_u64_pair().0)
}

fn redrive_count(headers: &Headers) -> u32 {
    headers
        .get_str(header::REDRIVE_COUNT)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

fn shortened(message: &str) -> &str {
    &message[..message.floor_char_boundary(MAX_MESSAGE_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Offset, TopicPartition};

    fn letter() -> DeadLetter {
        DeadLetter {
            topic: "order.created".into(),
            partition: 2,
            offset: 41,
            group: "workers".into(),
            delivery_count: 4,
            message: "payment 17 refused".into(),
            kind: ErrorKind::Transient,
            error_type: "Refused".into(),
            handler: "charge".into(),
            first_failed_at: Timestamp::UNIX_EPOCH,
            last_failed_at: Timestamp::UNIX_EPOCH,
            redrive_count: 1,
        }
    }

    fn record() -> Record {
        let mut headers = Headers::new();
        headers.push("custom", Some(&[0xff, 0]));
        headers.push_str(header::GROUP, "somebody before");
        Record {
            partition: TopicPartition::new("order.created", 2),
            offset: Offset(41),
            timestamp: None,
            key: Some("o-1".into()),
            value: None,
            headers,
        }
    }

    #[test]
    fn a_dead_letter_keeps_the_record_and_replaces_its_own_headers() {
        let dead = letter().record(&record());

        assert_eq!(&*dead.topic, "order.created.dlq");
        assert_eq!(dead.key.as_deref(), Some(&b"o-1"[..]));
        assert_eq!(dead.value, None);
        assert_eq!(dead.headers.get("custom"), Some(&[0xff, 0][..]));
        let groups = dead
            .headers
            .iter()
            .filter(|(name, _)| *name == header::GROUP);
        assert_eq!(groups.count(), 1);
        assert_eq!(DeadLetter::read(&dead.headers), Some(letter()));
    }

    #[test]
    fn a_fingerprint_ignores_digits_but_not_words() {
        let of = |message| fingerprint(ErrorKind::Transient, "E", "h", message);
        assert_eq!(of("payment 17 refused"), of("payment 18 refused"));
        assert_ne!(of("payment 17 refused"), of("payment 17 lost"));
    }
}
