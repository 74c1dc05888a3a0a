//! What can go wrong between this process and Kafka, told by what the user can do about it.

use std::error::Error;
use std::time::Duration;

use crate::native::ClientError;

/// A call to Kafka that did not work.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// librdkafka does not know the property, or not with that value.
    #[error(
        "Kafka property {name}={value} is not accepted: {reason}; see librdkafka's CONFIGURATION.md"
    )]
    Property {
        /// The property's name.
        name: String,
        /// The value it was given.
        value: String,
        /// What librdkafka says.
        reason: String,
    },
    /// The property guards a promise that Longshore makes.
    #[error("Kafka property {name} cannot be set: {reason}")]
    ReservedProperty {
        /// The property's name.
        name: String,
        /// What it guards, and what to do instead.
        reason: &'static str,
    },
    /// The properties do not fit together, or the client cannot start.
    #[error("no Kafka client for {brokers} can be made of these properties: {reason}")]
    Client {
        /// The brokers to connect to.
        brokers: String,
        /// What librdkafka says.
        reason: String,
    },
    /// Nobody answered in time.
    #[error(
        "no answer from {brokers} within {} s to: {action}; check --brokers and that it is running",
        within.as_secs()
    )]
    NoAnswer {
        /// The brokers asked.
        brokers: String,
        /// What was asked for.
        action: String,
        /// How long was waited.
        within: Duration,
        /// What the client says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The topic does not exist.
    #[error("topic {topic} does not exist on {brokers}; create it with `longshore topics apply`")]
    UnknownTopic {
        /// The topic.
        topic: String,
        /// The brokers asked.
        brokers: String,
    },
    /// The topic exists already.
    #[error("topic {topic} exists already; plan again")]
    TopicExists {
        /// The topic.
        topic: String,
    },
    /// The consumer group does not exist.
    #[error(
        "consumer group {group} does not exist on {brokers}; see `longshore groups list` for those that do"
    )]
    UnknownGroup {
        /// The consumer group.
        group: String,
        /// The brokers asked.
        brokers: String,
    },
    /// The consumer group has members, which decide by themselves what they read next.
    #[error("consumer group {group} has members: stop its workers first")]
    ActiveGroup {
        /// The consumer group.
        group: String,
    },
    /// The broker answered no.
    #[error("the broker refused to {action}")]
    Refused {
        /// What was asked for.
        action: String,
        /// What the broker says.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl KafkaError {
    /// An outage or a refusal, by what the client says.
    pub(crate) fn of(brokers: &str, action: String, within: Duration, error: ClientError) -> Self {
        if error.is_outage() {
            return Self::NoAnswer {
                brokers: brokers.to_owned(),
                action,
                within,
                source: error.into(),
            };
        }
        Self::Refused {
            action,
            source: error.into(),
        }
    }
}
