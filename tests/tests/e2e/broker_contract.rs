//! What Longshore and its users need of a broker, held against whichever one is chosen, with a client that is not ours.

mod admin;
mod groups;
mod records;
mod transactions;

use longshore_event::TopicPartition;
use longshore_testkit::broker::TestBroker;

/// A topic of one's own on the shared broker.
async fn topic(partitions: i32) -> (&'static TestBroker, String) {
    let broker = TestBroker::shared();
    let topic = broker.prefix();
    broker.create_topics(&[(&topic, partitions)]).await;
    (broker, topic)
}

fn partition(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}
