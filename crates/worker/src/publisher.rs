//! Where records go: an idempotent producer, seen as one call that sends a batch.

use std::error::Error;
use std::sync::Arc;

use longshore_event::OutgoingRecord;

/// Sends records to the log.
pub trait Publisher: Send + Sync + 'static {
    /// Sends the records and waits until each is acknowledged by all in-sync replicas, or has failed.
    ///
    /// Records of one call that go to one partition are sent in order, and a call that is made after another one has
    /// returned sends behind it. One result a record, in order. During an outage it waits; it does not fail. When the
    /// future is dropped, any number of the records may still be sent.
    fn publish(
        &self,
        records: &[OutgoingRecord],
    ) -> impl Future<Output = Vec<Result<(), PublishError>>> + Send;
}

/// A record that was not sent.
#[derive(Debug, thiserror::Error)]
#[error("not published to {topic}: {kind}")]
pub struct PublishError {
    /// The topic it should have gone to.
    pub topic: Arc<str>,
    /// What the caller can do.
    pub kind: PublishErrorKind,
    /// What the client says.
    pub source: Box<dyn Error + Send + Sync>,
}

/// What the sender of a record that failed can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishErrorKind {
    /// Wait and try again.
    #[error("the broker is not available")]
    Unavailable,
    /// Create the topic, then try again.
    #[error("the topic does not exist; create it with `longshore topics apply`")]
    UnknownTopic,
    /// Raise the topic's `max.message.bytes`, then try again.
    #[error("the record is larger than the topic's max.message.bytes")]
    TooLarge,
    /// Grant what the message says, then try again.
    #[error("the broker refused it")]
    Refused,
}
