//! A broker for one test, and clients with short timeouts.

use std::time::{Duration, Instant};

use longshore_broker::{Broker, BrokerConfig};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use tempfile::TempDir;

/// How long anything may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A broker and its data directory.
pub(crate) struct TestBroker {
    pub(crate) broker: Broker,
    pub(crate) data: TempDir,
}

impl TestBroker {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts a broker with other settings than usual.
    pub(crate) async fn start_with(change: impl FnOnce(&mut BrokerConfig)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut config = BrokerConfig::new(data.path());
        change(&mut config);
        let broker = Broker::start(config).await.unwrap();
        Self { broker, data }
    }

    /// Starts a broker with `topics`, given by name and number of partitions.
    pub(crate) async fn with_topics(topics: &[(&str, i32)]) -> Self {
        let started = Self::start().await;
        for (name, partitions) in topics {
            started
                .create_topic(&NewTopic::new(
                    name,
                    *partitions,
                    TopicReplication::Fixed(1),
                ))
                .await;
        }
        started
    }

    pub(crate) async fn create_topic(&self, topic: &NewTopic<'_>) {
        let created = self
            .admin()
            .create_topics([topic], &AdminOptions::new())
            .await;
        created.unwrap().pop().unwrap().unwrap();
    }

    /// Stops the broker, and starts one on the same port and data.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    /// As [`Self::restart`], with other settings than usual.
    pub(crate) async fn restart_with(self, change: impl FnOnce(&mut BrokerConfig)) -> Self {
        let mut config = BrokerConfig::new(self.data.path());
        config.listen = self.broker.address();
        change(&mut config);
        self.broker.shutdown().await;
        Self {
            broker: Broker::start(config).await.unwrap(),
            data: self.data,
        }
    }

    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.broker.bootstrap());
        config
    }

    pub(crate) fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    pub(crate) fn producer(&self) -> FutureProducer {
        self.client()
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .create()
            .unwrap()
    }

    /// The settings of a consumer of `group`, which starts at the beginning.
    pub(crate) fn group(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", group)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "false")
            .set("session.timeout.ms", "30000")
            .set("heartbeat.interval.ms", "100")
            .set("partition.assignment.strategy", "cooperative-sticky");
        config
    }

    pub(crate) fn consumer(&self, group: &str, topics: &[&str]) -> BaseConsumer {
        let consumer: BaseConsumer = self.group(group).create().unwrap();
        consumer.subscribe(topics).unwrap();
        consumer
    }

    /// Reads partition 0 of `topic`, which has records, from `offset` to its end, without a group.
    pub(crate) fn read_from(&self, topic: &str, offset: i64) -> Vec<OwnedMessage> {
        let consumer: BaseConsumer = self.group("none").create().unwrap();
        let (_, end) = consumer.fetch_watermarks(topic, 0, DEADLINE).unwrap();
        let mut begin = TopicPartitionList::new();
        let from = Offset::Offset(offset);
        begin.add_partition_offset(topic, 0, from).unwrap();
        consumer.assign(&begin).unwrap();
        let mut read: Vec<OwnedMessage> = Vec::new();
        while read.last().is_none_or(|last| last.offset() < end - 1) {
            read.extend(take(&consumer, 1));
        }
        read
    }

    /// Sends `values` to partition 0 of `topic`, in order.
    pub(crate) async fn send(&self, topic: &str, values: &[&str]) {
        let producer = self.producer();
        for value in values {
            let record = FutureRecord::<(), str>::to(topic)
                .payload(value)
                .partition(0);
            producer.send(record, DEADLINE).await.unwrap();
        }
    }
}

/// Polls until `count` records came.
pub(crate) fn take(consumer: &BaseConsumer, count: usize) -> Vec<OwnedMessage> {
    let mut taken = Vec::with_capacity(count);
    let deadline = Instant::now() + DEADLINE;
    while taken.len() < count {
        assert!(
            Instant::now() < deadline,
            "{} of {count} records came",
            taken.len()
        );
        match consumer.poll(Duration::from_millis(50)) {
            Some(Ok(message)) => taken.push(message.detach()),
            // What a client says while its broker restarts; it goes on by itself.
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure,
            )))
            | None => {}
            Some(Err(error)) => panic!("{} of {count} records came: {error}", taken.len()),
        }
    }
    taken
}

/// Polls all `consumers` until `reached`, and returns the records that came meanwhile.
pub(crate) fn poll_until(
    consumers: &[&BaseConsumer],
    what: &str,
    mut reached: impl FnMut() -> bool,
) -> Vec<OwnedMessage> {
    let mut records = Vec::new();
    let deadline = Instant::now() + DEADLINE;
    while !reached() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        for consumer in consumers {
            if let Some(message) = consumer.poll(Duration::from_millis(10)) {
                records.push(message.unwrap().detach());
            }
        }
    }
    records
}

/// How many partitions `consumer` has.
pub(crate) fn assigned(consumer: &BaseConsumer) -> usize {
    consumer.assignment().unwrap().count()
}

pub(crate) fn text(message: &impl Message) -> &str {
    std::str::from_utf8(message.payload().unwrap()).unwrap()
}
