//! A broker for all tests of the process, topics and groups with names of their own, and waiting with a deadline.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use longshore_broker::{Broker, BrokerConfig};
use longshore_event::{Headers, NextOffset, OutgoingRecord, Record, TopicPartition};
use longshore_kafka::{Admin, Connection, KafkaPublisher, KafkaSource, NewTopic};
use longshore_worker::{Publisher, Source, SourceEvent};

/// Longer than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Where the tests' broker is.
#[expect(clippy::print_stdout, reason = "a run says which broker it was on")]
pub(crate) fn brokers() -> &'static str {
    static BROKERS: OnceLock<String> = OnceLock::new();
    BROKERS.get_or_init(|| {
        let brokers = std::env::var("KAFKA_BROKERS").unwrap_or_else(|_| embedded());
        println!("tests run on the broker at {brokers}");
        brokers
    })
}

pub(crate) fn connection() -> Connection {
    // A rebalance is heard of by the next heartbeat: soon, so that tests are quick.
    Connection::new(brokers()).property("heartbeat.interval.ms", "100")
}

/// A name that no other test has, nor an earlier run on the same broker.
pub(crate) fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = jiff::Timestamp::now().as_millisecond();
    format!("{name}-{now}-{count}")
}

pub(crate) async fn new_topic(name: &str, partitions: i32) -> String {
    let name = unique(name);
    create(&name, partitions).await;
    name
}

pub(crate) async fn create(name: &str, partitions: i32) {
    let topic = NewTopic {
        name: name.to_owned(),
        partitions,
        replication: 1,
        configs: BTreeMap::new(),
    };
    let admin = Admin::connect(&connection()).expect("valid properties");
    let created = admin.create_topics(std::slice::from_ref(&topic)).await;
    created.expect("created");
}

pub(crate) fn outgoing(topic: &str, key: &str, value: &str) -> OutgoingRecord {
    OutgoingRecord {
        topic: topic.into(),
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Headers::new(),
    }
}

/// Sends `count` records with the values `0..count` and as many keys as that spreads over all partitions.
pub(crate) async fn fill(topic: &str, count: usize) {
    let publisher = KafkaPublisher::connect(&connection()).expect("valid properties");
    let records: Vec<_> = (0..count)
        .map(|n| outgoing(topic, &format!("k{}", n % 17), &n.to_string()))
        .collect();
    for result in publisher.publish(&records).await {
        result.expect("sent");
    }
}

pub(crate) async fn subscribe(connection: &Connection, group: &str, topic: &str) -> KafkaSource {
    subscribe_with(connection, group, topic, 1000).await
}

pub(crate) async fn subscribe_with(
    connection: &Connection,
    group: &str,
    topic: &str,
    max_in_flight: usize,
) -> KafkaSource {
    let topics = [topic.to_owned()];
    let drain = Duration::from_secs(60);
    KafkaSource::subscribe(connection, group, &topics, max_in_flight, drain)
        .await
        .expect("subscribed")
}

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}

/// The next event, which comes soon.
pub(crate) async fn next(source: &mut KafkaSource) -> SourceEvent {
    within("an event", source.next()).await
}

/// Records until there are `count`, with their budget given back.
pub(crate) async fn records(source: &mut KafkaSource, count: usize) -> Vec<Record> {
    let mut all = Vec::new();
    while all.len() < count {
        if let SourceEvent::Records(batch) = next(source).await {
            source.release(batch.len());
            all.extend(batch);
        }
    }
    all
}

/// What to commit after these records.
pub(crate) fn finished(records: &[Record]) -> Vec<(TopicPartition, NextOffset)> {
    let mut offsets = BTreeMap::new();
    for record in records {
        offsets.insert(record.partition.clone(), record.offset.next());
    }
    offsets.into_iter().collect()
}

/// Stops and answers revocations with `offsets`; returns when the source has closed.
pub(crate) async fn stop(source: &mut KafkaSource, offsets: &[(TopicPartition, NextOffset)]) {
    source.stop();
    loop {
        match next(source).await {
            SourceEvent::Revoked { finished, .. } => {
                finished.send(offsets.to_vec()).expect("asked")
            }
            SourceEvent::Closed(result) => return result.expect("left"),
            _ => {}
        }
    }
}

fn embedded() -> String {
    let data = tempfile::tempdir().expect("a directory").keep();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let address = std::thread::spawn(move || {
        let broker = runtime.block_on(Broker::start(BrokerConfig::new(data)));
        let broker = broker.expect("the embedded broker starts");
        let address = broker.bootstrap().to_string();
        // It serves until the process ends.
        std::mem::forget((broker, runtime));
        address
    });
    address.join().expect("no panic")
}
