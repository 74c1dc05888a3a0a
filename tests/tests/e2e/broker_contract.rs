//! What Longshore and its users need of a broker, held against whichever one is chosen, with a client that is not ours.

mod admin;
mod compaction;
mod delete_records;
mod groups;
mod leader_epochs;
mod raw;
mod records;
mod retention;
mod transactions;

use std::time::Duration;

use longshore_event::TopicPartition;
use longshore_kafka::NewTopic;
use longshore_testkit::broker::{BrokerKind, TestBroker};

use crate::support::client::WITHIN;

/// The smallest segments that Apache Kafka makes (KIP-1030).
const SEGMENT_BYTES: &str = "1048576";

/// Two values of this size have no place in one segment, so each has its own.
const SEGMENT_FILLER: usize = 700 * 1024;

/// A topic of one's own on the shared broker.
async fn topic(partitions: i32) -> (&'static TestBroker, String) {
    let broker = TestBroker::shared();
    let topic = broker.prefix();
    broker.create_topics(&[(&topic, partitions)]).await;
    (broker, topic)
}

/// A topic of one's own with one partition and these settings.
async fn configured_topic(configs: &[(&str, &str)]) -> (&'static TestBroker, String) {
    let broker = TestBroker::shared();
    let name = broker.prefix();
    let topic = new_topic(&name, 1, configs);
    let created = broker.admin().create_topics(&[topic]).await;
    created.expect("created");
    (broker, name)
}

fn new_topic(name: &str, partitions: i32, configs: &[(&str, &str)]) -> NewTopic {
    let configs = configs.iter();
    NewTopic {
        name: name.to_owned(),
        partitions,
        replication: 1,
        configs: configs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
    }
}

fn partition(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

/// The first offset of partition 0 that can be read, and the one that the next record gets.
async fn bounds(broker: &TestBroker, topic: &str) -> (i64, i64) {
    let told = broker.admin().offsets(topic).await.expect("told");
    (told[0].begin.0, told[0].end.0)
}

/// How long retention and compaction may take to do what is due. The testkit has its brokers look all the time; one
/// that is there already looks at its logs every five minutes unless it was told otherwise.
fn cleaned_within(broker: &TestBroker) -> Duration {
    match broker.kind() {
        BrokerKind::External => Duration::from_secs(7 * 60),
        _ => WITHIN,
    }
}
