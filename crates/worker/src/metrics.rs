//! What a worker counts, named by the OpenTelemetry conventions for messaging where they have a name for it.

use std::sync::Arc;

use longshore_event::{ErrorKind, TopicPartition};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The counters of one worker. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    group: String,
    consumed: Family<Destination, Counter>,
    handled: Family<Destination, Counter>,
    failed: Family<Failed, Counter>,
    retried: Family<Destination, Counter>,
    parked: Family<Destination, Counter>,
    dead_lettered: Family<Failed, Counter>,
    lag: Family<Partition, Gauge>,
    in_flight: Gauge,
    process_seconds: Histogram,
    commit_batch_size: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Destination {
    messaging_system: &'static str,
    messaging_destination_name: String,
    messaging_consumer_group_name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    messaging_system: &'static str,
    messaging_destination_name: String,
    messaging_consumer_group_name: String,
    error_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Partition {
    messaging_system: &'static str,
    messaging_destination_name: String,
    messaging_destination_partition_id: i32,
    messaging_consumer_group_name: String,
}

impl Metrics {
    /// Creates the metrics of a worker of `group` and registers them.
    pub fn register(registry: &mut Registry, group: &str) -> Self {
        let inner = Inner {
            group: group.to_owned(),
            consumed: Family::default(),
            handled: Family::default(),
            failed: Family::default(),
            retried: Family::default(),
            parked: Family::default(),
            dead_lettered: Family::default(),
            lag: Family::default(),
            in_flight: Gauge::default(),
            process_seconds: Histogram::new(exponential_buckets(0.000_1, 4.0, 10)),
            commit_batch_size: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
        };
        inner.add_to(registry);
        Self(Arc::new(inner))
    }

    /// The counters of one topic, found once and then counted without a look-up.
    pub(crate) fn of_topic(&self, topic: &str) -> TopicMetrics {
        let inner = &self.0;
        let destination = Destination {
            messaging_system: SYSTEM,
            messaging_destination_name: topic.to_owned(),
            messaging_consumer_group_name: inner.group.clone(),
        };
        TopicMetrics {
            consumed: inner.consumed.get_or_create_owned(&destination),
            handled: inner.handled.get_or_create_owned(&destination),
            retried: inner.retried.get_or_create_owned(&destination),
            parked: inner.parked.get_or_create_owned(&destination),
            seconds: inner.process_seconds.clone(),
            destination,
            metrics: self.clone(),
        }
    }

    pub(crate) fn in_flight(&self, messages: usize) {
        self.0.in_flight.set(messages as i64);
    }

    pub(crate) fn committed(&self, messages: usize) {
        self.0.commit_batch_size.observe(messages as f64);
    }

    pub(crate) fn lag(&self, partition: &TopicPartition, messages: i64) {
        let gauge = self.0.lag.get_or_create_owned(&self.partition(partition));
        gauge.set(messages);
    }

    /// A partition that is no longer this worker's has no lag to tell.
    pub(crate) fn let_go(&self, partition: &TopicPartition) {
        self.0.lag.remove(&self.partition(partition));
    }

    fn partition(&self, partition: &TopicPartition) -> Partition {
        Partition {
            messaging_system: SYSTEM,
            messaging_destination_name: partition.topic.to_string(),
            messaging_destination_partition_id: partition.partition,
            messaging_consumer_group_name: self.0.group.clone(),
        }
    }
}

const SYSTEM: &str = "kafka";

impl Inner {
    fn add_to(&self, registry: &mut Registry) {
        registry.register(
            "messaging_client_consumed_messages",
            "Messages read",
            self.consumed.clone(),
        );
        registry.register(
            "longshore_handled_messages",
            "Messages that were handled and committed",
            self.handled.clone(),
        );
        registry.register(
            "longshore_failed_attempts",
            "Runs of the handler that failed",
            self.failed.clone(),
        );
        registry.register(
            "longshore_retried_attempts",
            "Runs of the handler after a failed one",
            self.retried.clone(),
        );
        registry.register(
            "longshore_parked_messages",
            "Messages parked, each time they were",
            self.parked.clone(),
        );
        registry.register(
            "longshore_dead_lettered_messages",
            "Messages given up and committed as dead letters",
            self.dead_lettered.clone(),
        );
        registry.register(
            "longshore_consumer_lag_messages",
            "Messages of a partition that are not finished",
            self.lag.clone(),
        );
        registry.register(
            "longshore_in_flight_messages",
            "Messages read and not finished",
            self.in_flight.clone(),
        );
        registry.register(
            "messaging_process_duration_seconds",
            "Time from the first run of the handler to its last",
            self.process_seconds.clone(),
        );
        registry.register(
            "longshore_commit_batch_messages",
            "Messages in one transaction",
            self.commit_batch_size.clone(),
        );
    }
}

/// The counters of one topic.
#[derive(Clone, Debug)]
pub(crate) struct TopicMetrics {
    pub(crate) consumed: Counter,
    pub(crate) handled: Counter,
    pub(crate) retried: Counter,
    pub(crate) parked: Counter,
    pub(crate) seconds: Histogram,
    destination: Destination,
    metrics: Metrics,
}

impl TopicMetrics {
    pub(crate) fn failed(&self, kind: ErrorKind) {
        let family = &self.metrics.0.failed;
        family.get_or_create(&self.labels(kind)).inc();
    }

    pub(crate) fn dead_lettered(&self, kind: ErrorKind) {
        let family = &self.metrics.0.dead_lettered;
        family.get_or_create(&self.labels(kind)).inc();
    }

    fn labels(&self, kind: ErrorKind) -> Failed {
        let destination = self.destination.clone();
        Failed {
            messaging_system: SYSTEM,
            messaging_destination_name: destination.messaging_destination_name,
            messaging_consumer_group_name: destination.messaging_consumer_group_name,
            error_type: kind.as_str(),
        }
    }
}
