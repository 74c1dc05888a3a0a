//! Records as Kafka carries them: one that arrived, and one to be sent.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use crate::{Headers, Offset, Position, TopicPartition};

/// A record that was read from the log, undecoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The partition it stands in.
    pub partition: TopicPartition,
    /// Its offset there.
    pub offset: Offset,
    /// When its producer made it or the broker took it, by the topic's setting.
    pub timestamp: Option<Timestamp>,
    /// The key; `None` is Kafka's null.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// The headers, untrusted.
    pub headers: Headers,
}

impl Record {
    /// The place of the record in the log.
    pub fn position(&self) -> Position {
        Position {
            partition: self.partition.clone(),
            offset: self.offset,
        }
    }
}

/// A record to be sent. The partition is left to the key's hash (murmur2, as Kafka's Java client does it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingRecord {
    /// The topic it goes to.
    pub topic: Arc<str>,
    /// The key; `None` is Kafka's null.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: Headers,
}

impl OutgoingRecord {
    /// Bytes that count against a topic's `max.message.bytes`, without the few of framing that Kafka adds.
    pub fn size(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len))
            .sum();
        self.key.as_ref().map_or(0, Bytes::len)
            + self.value.as_ref().map_or(0, Bytes::len)
            + headers
    }
}
