//! Consumer groups: partitions are shared out, move when members come and go, and start where the group left off.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use longshore_kafka::GroupDescription;
use longshore_testkit::broker::TestBroker;
use longshore_testkit::wait::eventually;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::topic;
use crate::support::client::{Sent, WITHIN, member, producer, send, take};

/// A member that polls on a thread of its own until it is dropped; it then leaves the group.
struct Polling {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Option<RDKafkaErrorCode>>>>,
    consumer: Arc<BaseConsumer>,
}

impl Polling {
    fn start(consumer: BaseConsumer) -> Self {
        let consumer = Arc::new(consumer);
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (consumer, stop) = (consumer.clone(), stop.clone());
            move || {
                let mut errors = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    if let Some(Err(error)) = consumer.poll(Duration::from_millis(50)) {
                        errors.push(error.rdkafka_error_code());
                    }
                }
                errors
            }
        });
        Self {
            stop,
            thread: Some(thread),
            consumer,
        }
    }

    fn partitions(&self) -> BTreeSet<i32> {
        let assignment = self.consumer.assignment().expect("told");
        let elements = assignment.elements();
        elements.iter().map(|element| element.partition()).collect()
    }

    /// Ends the polling, and the member.
    fn leave(mut self) -> Vec<Option<RDKafkaErrorCode>> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("runs");
        thread.join().expect("no panic")
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Waits until the members own exactly these numbers of partitions, in any order, and no partition twice.
async fn settled(members: &[&Polling], mut sizes: Vec<usize>) {
    sizes.sort_unstable();
    let total: usize = sizes.iter().sum();
    eventually("a balanced group", WITHIN, async || {
        let owned: Vec<_> = members.iter().map(|member| member.partitions()).collect();
        let mut found: Vec<_> = owned.iter().map(BTreeSet::len).collect();
        found.sort_unstable();
        let distinct: BTreeSet<_> = owned.iter().flatten().collect();
        (found == sizes && distinct.len() == total)
            .then_some(())
            .ok_or(owned)
    })
    .await;
}

async fn describe(broker: &TestBroker, group: &str) -> GroupDescription {
    let described = broker.admin().describe_group(group).await;
    described.expect("a group")
}

#[tokio::test]
async fn members_share_the_partitions_and_take_over_from_one_that_leaves() {
    for strategy in ["range", "cooperative-sticky"] {
        let (broker, topic) = topic(6).await;
        let join = || {
            let properties = [("partition.assignment.strategy", strategy)];
            Polling::start(member(broker.bootstrap(), &topic, &topic, &properties))
        };

        let first = join();
        settled(&[&first], vec![6]).await;
        let second = join();
        settled(&[&first, &second], vec![3, 3]).await;
        let third = join();
        settled(&[&first, &second, &third], vec![2, 2, 2]).await;
        let described = describe(broker, &topic).await;
        second.leave();

        settled(&[&first, &third], vec![3, 3]).await;
        assert_eq!(described.state, "Stable");
        assert_eq!(described.assignor, strategy);
        assert_eq!(described.members.len(), 3);
    }
}

#[tokio::test]
async fn a_group_goes_on_where_it_committed_and_its_lag_is_told() {
    let (broker, topic) = topic(1).await;
    let producer = producer(broker.bootstrap(), &[]);
    for number in 0..10 {
        let sent = Sent::new("k", number.to_string());
        send(&producer, &topic, &sent).await.expect("sent");
    }
    let bootstrap = broker.bootstrap();
    let read = |count| {
        let consumer = member(bootstrap, &topic, &topic, &[]);
        tokio::task::spawn_blocking(move || {
            let found = take(&consumer, count, WITHIN);
            consumer
                .commit_consumer_state(CommitMode::Sync)
                .expect("committed");
            found.last().map(|message| message.offset())
        })
    };

    let first = read(4).await.expect("read");
    let described = describe(broker, &topic).await;
    let second = read(6).await.expect("read");

    assert_eq!((first, second), (Some(3), Some(9)));
    let partition = &described.partitions[0];
    let committed = partition.committed.expect("committed");
    assert_eq!((committed.0, partition.lag), (4, 6));
    assert_eq!(describe(broker, &topic).await.partitions[0].lag, 0);
}

#[tokio::test]
async fn a_static_member_that_comes_back_keeps_its_partitions() {
    let (broker, topic) = topic(4).await;
    let join = |instance: &str| {
        let properties = [
            ("group.instance.id", instance),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("session.timeout.ms", "30000"),
        ];
        Polling::start(member(broker.bootstrap(), &topic, &topic, &properties))
    };
    let (first, second) = (join("one"), join("two"));
    settled(&[&first, &second], vec![2, 2]).await;
    let (before, kept) = (first.partitions(), second.partitions());

    drop(first);
    let again = join("one");

    settled(&[&again, &second], vec![2, 2]).await;
    assert_eq!(again.partitions(), before);
    assert_eq!(second.partitions(), kept);
}

/// A member of the consumer protocol (KIP-848), whose partitions the broker chooses.
fn consumer_protocol(broker: &TestBroker, topic: &str, properties: &[(&str, &str)]) -> Polling {
    let mut config = rdkafka::ClientConfig::new();
    config
        .set("bootstrap.servers", broker.bootstrap())
        .set("group.id", topic)
        .set("group.protocol", "consumer")
        .set("enable.auto.commit", "false");
    for (name, value) in properties {
        config.set(*name, *value);
    }
    let member: BaseConsumer = config.create().expect("a client");
    member.subscribe(&[topic]).expect("subscribes");
    Polling::start(member)
}

#[tokio::test]
async fn members_of_the_consumer_protocol_share_the_partitions_and_commit_as_what_they_are() {
    let (broker, topic) = topic(6).await;
    let join = || consumer_protocol(broker, &topic, &[]);

    let first = join();
    settled(&[&first], vec![6]).await;
    let (second, third) = (join(), join());
    settled(&[&first, &second, &third], vec![2, 2, 2]).await;
    let mut offsets = TopicPartitionList::new();
    let own = *third.partitions().first().expect("two");
    let added = offsets.add_partition_offset(&topic, own, Offset::Offset(7));
    added.expect("a valid offset");
    let committed = third.consumer.commit(&offsets, CommitMode::Sync);
    committed.expect("committed");
    second.leave();

    settled(&[&first, &third], vec![3, 3]).await;
    let read = third.consumer.committed_offsets(offsets, WITHIN);
    assert_eq!(
        read.expect("read").elements()[0].offset(),
        Offset::Offset(7)
    );
    let groups = broker.admin().groups().await.expect("listed");
    let group = groups.iter().find(|group| group.name == topic);
    assert_eq!(group.map(|group| &*group.protocol), Some("Consumer"));
}

#[tokio::test]
async fn a_static_member_of_the_consumer_protocol_that_comes_back_keeps_its_partitions() {
    let (broker, topic) = topic(4).await;
    let join = |instance| consumer_protocol(broker, &topic, &[("group.instance.id", instance)]);
    let (first, second) = (join("one"), join("two"));
    settled(&[&first, &second], vec![2, 2]).await;
    let (before, kept) = (first.partitions(), second.partitions());

    drop(first);
    let again = join("one");

    settled(&[&again, &second], vec![2, 2]).await;
    assert_eq!(again.partitions(), before);
    assert_eq!(second.partitions(), kept);
}

#[tokio::test]
async fn a_second_member_with_the_same_instance_id_fences_the_first() {
    let (broker, topic) = topic(2).await;
    let join = || {
        let properties = [("group.instance.id", "same")];
        Polling::start(member(broker.bootstrap(), &topic, &topic, &properties))
    };
    let first = join();
    settled(&[&first], vec![2]).await;

    let second = join();
    settled(&[&second], vec![2]).await;

    eventually("the first one fenced", WITHIN, async || {
        match first.consumer.client().fatal_error() {
            Some((RDKafkaErrorCode::FencedInstanceId, _)) => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

#[tokio::test]
async fn groups_are_listed_and_stay_when_their_members_leave() {
    let (broker, topic) = topic(1).await;
    let polling = Polling::start(member(broker.bootstrap(), &topic, &topic, &[]));
    settled(&[&polling], vec![1]).await;
    let mut offsets = TopicPartitionList::new();
    let added = offsets.add_partition_offset(&topic, 0, Offset::Offset(0));
    added.expect("a valid offset");
    let committed = polling.consumer.commit(&offsets, CommitMode::Sync);
    committed.expect("committed");

    let groups = broker.admin().groups().await.expect("told");

    let found = groups.iter().find(|group| group.name == topic);
    assert_eq!(found.expect("listed").state, "Stable");
    let errors = polling.leave();
    assert!(errors.is_empty(), "{errors:?}");
    eventually("an empty group", WITHIN, async || {
        let described = describe(broker, &topic).await;
        (described.state == "Empty").then_some(()).ok_or(described)
    })
    .await;
}
