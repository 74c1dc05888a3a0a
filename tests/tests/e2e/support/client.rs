//! A producer and a consumer that know nothing of Longshore.

use std::time::Duration;

use longshore_event::TopicPartition;
use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Message, Offset, TopicPartitionList};

/// A call to the broker has this long.
pub(crate) const WITHIN: Duration = Duration::from_secs(30);

/// A record to send, with a null key and value until told otherwise.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since 1970.
    pub(crate) timestamp: Option<i64>,
    pub(crate) partition: Option<i32>,
}

impl Sent {
    pub(crate) fn new(key: &str, value: impl Into<Vec<u8>>) -> Self {
        Self {
            key: Some(key.into()),
            value: Some(value.into()),
            ..Self::default()
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), Some(value.into())));
        self
    }
}

/// An idempotent producer, with these properties on top.
pub(crate) fn producer(bootstrap: &str, properties: &[(&str, &str)]) -> FutureProducer {
    let defaults = [
        ("enable.idempotence", "true"),
        ("message.max.bytes", "4000000"),
        ("message.timeout.ms", "30000"),
    ];
    client(bootstrap, &[&defaults, properties].concat())
}

/// Sends one record and returns where it stands: partition and offset.
pub(crate) async fn send(
    producer: &FutureProducer,
    topic: &str,
    sent: &Sent,
) -> Result<(i32, i64), KafkaError> {
    let mut headers = OwnedHeaders::new();
    for (key, value) in &sent.headers {
        let value = value.as_deref();
        headers = headers.insert(Header { key, value });
    }
    let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(topic).headers(headers);
    record.key = sent.key.as_deref();
    record.payload = sent.value.as_deref();
    record.timestamp = sent.timestamp;
    record.partition = sent.partition;
    let delivery = producer.send(record, WITHIN).await;
    delivery
        .map(|delivery| (delivery.partition, delivery.offset))
        .map_err(|(error, _)| error)
}

/// A member of a group that reads from the beginning and commits only when told.
pub(crate) fn member(
    bootstrap: &str,
    group: &str,
    topic: &str,
    properties: &[(&str, &str)],
) -> BaseConsumer {
    let defaults = [
        ("group.id", group),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
        ("session.timeout.ms", "6000"),
        ("heartbeat.interval.ms", "500"),
    ];
    let member: BaseConsumer = client(bootstrap, &[&defaults, properties].concat());
    member.subscribe(&[topic]).expect("subscribes");
    member
}

/// Reads partitions from an offset on, without a group, until `count` records are there.
pub(crate) async fn read(
    bootstrap: &str,
    partitions: &[TopicPartition],
    from: Offset,
    count: usize,
) -> Vec<OwnedMessage> {
    let consumer = consumer(bootstrap);
    let mut assignment = TopicPartitionList::new();
    for partition in partitions {
        assignment
            .add_partition_offset(&partition.topic, partition.partition, from)
            .expect("a valid offset");
    }
    consumer.assign(&assignment).expect("assigns");
    let reading = tokio::task::spawn_blocking(move || take(&consumer, count, WITHIN));
    let found = reading.await.expect("reads");
    assert_eq!(found.len(), count, "of {partitions:?} in {WITHIN:?}");
    found
}

/// A consumer of partitions that are given to it; it joins no group.
pub(crate) fn consumer(bootstrap: &str) -> BaseConsumer {
    let properties = [
        ("group.id", "none"),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
        ("fetch.message.max.bytes", "4000000"),
    ];
    client(bootstrap, &properties)
}

/// Polls until `count` records came or `within` has passed.
pub(crate) fn take(consumer: &BaseConsumer, count: usize, within: Duration) -> Vec<OwnedMessage> {
    let deadline = std::time::Instant::now() + within;
    let mut found = Vec::with_capacity(count);
    while found.len() < count && std::time::Instant::now() < deadline {
        // An error is an outage or a rebalance: the client goes on by itself.
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
            found.push(message.detach());
        }
    }
    found
}

/// The headers of a message, in order.
pub(crate) fn headers(message: &OwnedMessage) -> Vec<(String, Option<Vec<u8>>)> {
    let headers = message.headers().into_iter();
    headers
        .flat_map(|headers| headers.iter())
        .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
        .collect()
}

/// A client of any kind with these properties.
pub(crate) fn client<T: FromClientConfig>(bootstrap: &str, properties: &[(&str, &str)]) -> T {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    for (name, value) in properties {
        config.set(*name, *value);
    }
    config.create().expect("a client")
}
