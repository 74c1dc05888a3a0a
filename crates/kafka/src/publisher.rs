//! An idempotent producer as a [`Publisher`]: a batch goes in, and its caller is woken once when all is delivered.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longshore_event::OutgoingRecord;
use longshore_worker::{PublishError, PublishErrorKind, Publisher};
use rdkafka::types::RDKafkaErrorCode;

use crate::native::ClientError;
use crate::producer::Producer;
use crate::{Connection, KafkaError};

/// How long a topic that is not known may take to answer whether it exists by now.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// An idempotent producer (acks=all), as a [`Publisher`]. Cloning shares it.
///
/// Memory is bounded by librdkafka's `queue.buffering.max.kbytes` (32 MiB here) and `queue.buffering.max.messages`
/// (100,000): at the bound, [`Publisher::publish`] waits. A record waits through an outage for as long as it takes; a
/// topic that does not exist is reported after about 3 s. A producer that fails for good is replaced, and what it held
/// is reported as [`PublishErrorKind::Unavailable`].
#[derive(Clone, Debug)]
pub struct KafkaPublisher {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    connection: Connection,
    current: Mutex<Arc<Producer>>,
}

impl KafkaPublisher {
    /// Makes a producer. Nothing is sent before the first record.
    ///
    /// # Errors
    /// About properties that are not accepted.
    pub fn connect(connection: &Connection) -> Result<Self, KafkaError> {
        let current = Mutex::new(Arc::new(Producer::idempotent(connection)?));
        let connection = connection.clone();
        Ok(Self {
            shared: Arc::new(Shared {
                connection,
                current,
            }),
        })
    }

    /// The producer, or the next one when it has failed for good.
    fn producer(&self) -> Result<Arc<Producer>, KafkaError> {
        let current = self.shared.current.lock();
        let mut current = current.unwrap_or_else(PoisonError::into_inner);
        if current.has_failed() {
            tracing::warn!("the producer failed for good; it is replaced");
            *current = Arc::new(Producer::idempotent(&self.shared.connection)?);
        }
        Ok(Arc::clone(&current))
    }
}

impl Publisher for KafkaPublisher {
    async fn publish(&self, records: &[OutgoingRecord]) -> Vec<Result<(), PublishError>> {
        let mut results: Vec<Result<(), PublishError>> = records.iter().map(|_| Ok(())).collect();
        if records.is_empty() {
            return results;
        }
        let producer = match self.producer() {
            Ok(producer) => producer,
            Err(error) => {
                return records
                    .iter()
                    .map(|record| not_started(record, &error))
                    .collect();
            }
        };
        let mut unknown = BTreeSet::new();
        for (index, error) in producer.send(records).await {
            let record = &records[index];
            let error = match kind_of(&error) {
                // The broker judges what it got as one batch, which may hold others that are small.
                PublishErrorKind::TooLarge => match send_alone(&producer, record).await {
                    Some(error) => error,
                    None => continue,
                },
                PublishErrorKind::UnknownTopic => {
                    unknown.insert(Arc::clone(&record.topic));
                    error
                }
                _ => error,
            };
            results[index] = Err(PublishError {
                topic: Arc::clone(&record.topic),
                kind: kind_of(&error),
                source: error.into(),
            });
        }
        for topic in unknown {
            look_again(&producer, topic);
        }
        results
    }
}

async fn send_alone(producer: &Producer, record: &OutgoingRecord) -> Option<ClientError> {
    let failures = producer.send(std::slice::from_ref(record)).await;
    failures.into_iter().next().map(|(_, error)| error)
}

/// Lets the producer learn of a topic that was created since: it would not ask by itself for a minute.
fn look_again(producer: &Arc<Producer>, topic: Arc<str>) {
    let producer = Arc::clone(producer);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = producer.look_up(&topic, LOOK_AGAIN) {
            tracing::debug!(topic = &*topic, error = %error, "not known whether the topic exists");
        }
    });
}

fn not_started(record: &OutgoingRecord, error: &KafkaError) -> Result<(), PublishError> {
    Err(PublishError {
        topic: Arc::clone(&record.topic),
        kind: PublishErrorKind::Unavailable,
        source: error.to_string().into(),
    })
}

/// What the sender can do about it.
pub(crate) fn kind_of(error: &ClientError) -> PublishErrorKind {
    use RDKafkaErrorCode as Code;
    match error.code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            PublishErrorKind::UnknownTopic
        }
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
            PublishErrorKind::TooLarge
        }
        Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::InvalidTopic
        | Code::InvalidRecord
        | Code::InvalidMessage
        | Code::InvalidTimestamp
        | Code::InvalidArgument
        | Code::PolicyViolation => PublishErrorKind::Refused,
        _ => PublishErrorKind::Unavailable,
    }
}
