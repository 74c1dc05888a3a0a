//! What Longshore and its users need of a broker, held against whichever one is chosen, with a client that is not ours.

mod admin;
mod delete_records;
mod groups;
mod leader_epochs;
mod raw;
mod records;
mod transactions;

use longshore_event::TopicPartition;
use longshore_kafka::NewTopic;
use longshore_testkit::broker::TestBroker;

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
