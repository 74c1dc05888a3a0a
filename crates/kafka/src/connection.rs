//! Where the brokers are and how to talk to them: properties of the user over our defaults, save those that guard a
//! promise.

use rdkafka::ClientConfig;
use rdkafka::config::NativeClientConfig;

use crate::KafkaError;

/// Brokers and librdkafka properties, as a user gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Any librdkafka property; a later one of the same name wins. They override Longshore's defaults, except those
    /// that guard a promise, which are refused. A property that only another kind of client has does nothing.
    pub properties: Vec<(String, String)>,
}

impl Connection {
    /// Brokers, and no properties yet.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            properties: Vec::new(),
        }
    }

    /// Adds a property.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// The user's value of a property.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.properties.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The same connection for a client that joins no group: without the properties of group members.
    pub(crate) fn without_group(&self) -> Self {
        let properties = self.properties.iter();
        Self {
            brokers: self.brokers.clone(),
            properties: properties
                .filter(|(name, _)| !OF_MEMBERS.contains(&name.as_str()))
                .cloned()
                .collect(),
        }
    }

    /// Properties of a client: ours, then the user's, then those that nobody changes.
    pub(crate) fn config(
        &self,
        defaults: &[(&str, &str)],
        fixed: &[(&str, &str)],
    ) -> Result<NativeClientConfig, KafkaError> {
        let mut config = ClientConfig::new();
        for (name, value) in COMMON.iter().chain(defaults) {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            if let Some((_, reason)) = RESERVED.iter().find(|(reserved, _)| reserved == name) {
                return Err(KafkaError::ReservedProperty {
                    name: name.clone(),
                    reason,
                });
            }
            config.set(name, value);
        }
        for (name, value) in fixed {
            config.set(*name, *value);
        }
        config.set("bootstrap.servers", &self.brokers);
        config.create_native_config().map_err(|error| match error {
            rdkafka::error::KafkaError::ClientConfig(_, reason, name, value) => {
                KafkaError::Property {
                    name,
                    value,
                    reason,
                }
            }
            other => self.unusable(other.to_string()),
        })
    }

    /// What librdkafka says about properties that do not fit together.
    pub(crate) fn unusable(&self, reason: String) -> KafkaError {
        KafkaError::Client {
            brokers: self.brokers.clone(),
            reason,
        }
    }
}

/// Defaults of every client.
const COMMON: &[(&str, &str)] = &[
    ("client.id", "longshore"),
    // A broker that is back is noticed within this many milliseconds.
    ("reconnect.backoff.max.ms", "2000"),
    // A topic that is created while a worker waits for it is noticed within this many milliseconds.
    ("topic.metadata.refresh.interval.ms", "60000"),
    // Small requests are sent at once; Nagle's algorithm would hold them for up to 40 ms.
    ("socket.nagle.disable", "true"),
    // Nobody asked to tell the broker about this process (KIP-714), and leaving would wait for it.
    ("enable.metrics.push", "false"),
];

/// Properties that guard a promise, and what to do instead.
const RESERVED: &[(&str, &str)] = &[
    ("bootstrap.servers", "give the brokers with --brokers"),
    ("metadata.broker.list", "give the brokers with --brokers"),
    ("group.id", "give the consumer group with --group"),
    (
        "enable.auto.commit",
        "offsets are committed when their messages are finished, never by a timer",
    ),
    (
        "enable.auto.offset.store",
        "offsets are committed when their messages are finished, never because they were read",
    ),
    (
        "allow.auto.create.topics",
        "topics are created by `longshore topics apply`, never by a client that misspells one",
    ),
    (
        "enable.idempotence",
        "follow-on events are published once and in order, so the producer is always idempotent",
    ),
    (
        "acks",
        "an event counts as published when all in-sync replicas have it",
    ),
    (
        "request.required.acks",
        "an event counts as published when all in-sync replicas have it",
    ),
    (
        "transactional.id",
        "it is made of the group and group.instance.id, so that no two instances share one",
    ),
    (
        "transaction.timeout.ms",
        "give the time of a transaction with --transaction-timeout",
    ),
];

/// Properties that make sense for a member of a consumer group alone.
const OF_MEMBERS: &[&str] = &[
    "group.protocol",
    "group.remote.assignor",
    "group.instance.id",
    "partition.assignment.strategy",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_properties_override_defaults() {
        let connection = Connection::new("127.0.0.1:1").property("client.id", "mine");
        let config = connection
            .config(&[("linger.ms", "2")], &[])
            .expect("valid");
        assert_eq!(config.get("client.id").expect("set"), "mine");
        assert_eq!(config.get("linger.ms").expect("set"), "2");
    }

    #[test]
    fn an_unknown_property_is_an_error_that_names_it() {
        let error = Connection::new("127.0.0.1:1")
            .property("fetch.speed", "9")
            .config(&[], &[])
            .err()
            .expect("unknown");
        assert!(error.to_string().contains("fetch.speed=9"), "{error}");
    }

    #[test]
    fn a_property_that_guards_a_promise_is_refused_with_the_reason() {
        let error = Connection::new("127.0.0.1:1")
            .property("enable.auto.commit", "true")
            .config(&[], &[])
            .err()
            .expect("reserved");
        let message = error.to_string();
        assert!(message.contains("enable.auto.commit"), "{message}");
        assert!(message.contains("never by a timer"), "{message}");
    }
}
