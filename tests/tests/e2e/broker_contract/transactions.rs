//! Transactions: records and offsets together or not at all, and one producer to a transactional id.

use std::time::{Duration, Instant};

use longshore_testkit::broker::TestBroker;
use longshore_testkit::wait::eventually;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedMessage;
use rdkafka::producer::{FutureProducer, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use super::topic;
use crate::support::client::{self, Sent, WITHIN, member, send, take};

/// How long a reader is given to come upon what it must not see.
const QUIET: Duration = Duration::from_millis(500);

/// A producer that has taken over transactional id `id`.
pub(super) async fn transactional(
    broker: &TestBroker,
    id: &str,
    properties: &[(&str, &str)],
) -> FutureProducer {
    let defaults = [("transactional.id", id)];
    let producer = client::producer(broker.bootstrap(), &[&defaults, properties].concat());
    blocking(&producer, |producer| producer.init_transactions(WITHIN))
        .await
        .expect("an id");
    producer
}

/// Does what blocks, on a thread where it may.
async fn blocking<T: Send + 'static>(
    producer: &FutureProducer,
    work: impl FnOnce(&FutureProducer) -> T + Send + 'static,
) -> T {
    let producer = producer.clone();
    let done = tokio::task::spawn_blocking(move || work(&producer));
    done.await.expect("no panic")
}

pub(super) async fn commit(producer: &FutureProducer) -> Result<(), KafkaError> {
    blocking(producer, |producer| producer.commit_transaction(WITHIN)).await
}

pub(super) async fn abort(producer: &FutureProducer) -> Result<(), KafkaError> {
    blocking(producer, |producer| producer.abort_transaction(WITHIN)).await
}

async fn write(producer: &FutureProducer, topic: &str, values: &[&str]) {
    for value in values {
        let sent = Sent::new("k", *value);
        send(producer, topic, &sent).await.expect("sent");
    }
}

async fn send_offset(
    producer: &FutureProducer,
    topic: &str,
    offset: i64,
    metadata: ConsumerGroupMetadata,
) -> Result<(), KafkaError> {
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset(topic, 0, Offset::Offset(offset))
        .expect("a valid offset");
    blocking(producer, move |producer| {
        producer.send_offsets_to_transaction(&offsets, &metadata, WITHIN)
    })
    .await
}

/// How somebody who is no member names a group.
fn outsider(broker: &TestBroker, group: &str) -> ConsumerGroupMetadata {
    let consumer = unsubscribed(broker, group, "read_committed");
    consumer.group_metadata().expect("a group")
}

fn unsubscribed(broker: &TestBroker, group: &str, isolation: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", broker.bootstrap())
        .set("group.id", group)
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false");
    config.create().expect("a client")
}

/// A reader of committed records in partition 0, from an offset on, in no group.
fn reader(broker: &TestBroker, topic: &str, from: Offset) -> BaseConsumer {
    reader_of("read_committed", broker, topic, from)
}

fn reader_of(isolation: &str, broker: &TestBroker, topic: &str, from: Offset) -> BaseConsumer {
    let reader = unsubscribed(broker, "none", isolation);
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(topic, 0, from)
        .expect("a valid offset");
    reader.assign(&assignment).expect("assigns");
    reader
}

fn values(messages: &[OwnedMessage]) -> Vec<String> {
    let values = messages.iter().map(|message| message.payload());
    values
        .map(|value| String::from_utf8_lossy(value.expect("a value")).into_owned())
        .collect()
}

/// The next `count` records, and those that come too many.
async fn read(reader: BaseConsumer, count: usize) -> (Vec<String>, BaseConsumer) {
    let reading = tokio::task::spawn_blocking(move || {
        let mut found = take(&reader, count, WITHIN);
        found.extend(take(&reader, 1, QUIET));
        (values(&found), reader)
    });
    reading.await.expect("reads")
}

/// The committed offset of partition 0, once no transaction can change it.
async fn committed(broker: &TestBroker, group: &str, topic: &str) -> Offset {
    let consumer = unsubscribed(broker, group, "read_committed");
    let topic = topic.to_owned();
    let asking = tokio::task::spawn_blocking(move || {
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition(&topic, 0);
        let committed = consumer
            .committed_offsets(partitions, WITHIN)
            .expect("told");
        let found = committed.find_partition(&topic, 0).expect("asked for");
        found.offset()
    });
    asking.await.expect("no panic")
}

#[tokio::test]
async fn records_and_offsets_of_a_transaction_come_with_its_commit() {
    let (broker, topic) = topic(1).await;
    let producer = transactional(broker, &topic, &[]).await;
    let metadata = outsider(broker, &topic);

    producer.begin_transaction().expect("begun");
    write(&producer, &topic, &["a", "b"]).await;
    send_offset(&producer, &topic, 7, metadata)
        .await
        .expect("sent");
    let (before, reader) = read(reader(broker, &topic, Offset::Beginning), 0).await;
    commit(&producer).await.expect("committed");

    assert_eq!(before, [""; 0]);
    let (after, _) = read(reader, 2).await;
    assert_eq!(after, ["a", "b"]);
    assert_eq!(committed(broker, &topic, &topic).await, Offset::Offset(7));
}

#[tokio::test]
async fn an_aborted_transaction_leaves_neither_records_nor_offsets() {
    let (broker, topic) = topic(1).await;
    let producer = transactional(broker, &topic, &[]).await;

    producer.begin_transaction().expect("begun");
    write(&producer, &topic, &["aborted"]).await;
    let offset = send_offset(&producer, &topic, 7, outsider(broker, &topic));
    offset.await.expect("sent");
    abort(&producer).await.expect("aborted");
    assert_eq!(committed(broker, &topic, &topic).await, Offset::Invalid);
    producer.begin_transaction().expect("begun");
    write(&producer, &topic, &["committed"]).await;
    commit(&producer).await.expect("committed");

    let (found, _) = read(reader(broker, &topic, Offset::Beginning), 1).await;
    assert_eq!(found, ["committed"]);
    let everything = reader_of("read_uncommitted", broker, &topic, Offset::Beginning);
    let (everything, _) = read(everything, 2).await;
    assert_eq!(everything, ["aborted", "committed"]);
}

#[tokio::test]
async fn readers_of_committed_records_wait_for_the_first_open_transaction() {
    let (broker, topic) = topic(1).await;
    let slow = transactional(broker, &format!("{topic}-slow"), &[]).await;
    let fast = transactional(broker, &format!("{topic}-fast"), &[]).await;
    let plain = client::producer(broker.bootstrap(), &[]);

    write(&plain, &topic, &["before"]).await;
    slow.begin_transaction().expect("begun");
    write(&slow, &topic, &["slow"]).await;
    fast.begin_transaction().expect("begun");
    write(&fast, &topic, &["fast"]).await;
    commit(&fast).await.expect("committed");
    write(&plain, &topic, &["after"]).await;

    let (stable, reader) = read(reader(broker, &topic, Offset::Beginning), 1).await;
    assert_eq!(stable, ["before"]);
    commit(&slow).await.expect("committed");
    let (rest, _) = read(reader, 3).await;
    assert_eq!(rest, ["slow", "fast", "after"]);
}

#[tokio::test]
async fn a_reader_that_resumes_behind_an_abort_misses_nothing_of_the_same_producer() {
    let (broker, topic) = topic(1).await;
    let producer = transactional(broker, &topic, &[]).await;
    for number in 0..3 {
        for (kind, commits) in [("aborted", false), ("committed", true)] {
            producer.begin_transaction().expect("begun");
            write(&producer, &topic, &[&format!("{kind} {number}")]).await;
            let ended = if commits {
                commit(&producer).await
            } else {
                abort(&producer).await
            };
            ended.expect("ended");
        }
    }

    // Each transaction is a record and its marker: aborted at 0, 4 and 8, committed at 2, 6 and 10.
    for from in 0..12 {
        let expected: Vec<String> = (0..3)
            .filter(|number| 4 * number + 2 >= from)
            .map(|number| format!("committed {number}"))
            .collect();
        let reader = reader(broker, &topic, Offset::Offset(from));
        let (found, _) = read(reader, expected.len()).await;
        assert_eq!(found, expected, "from {from}");
    }
}

#[tokio::test]
async fn a_zombie_is_fenced_and_what_it_left_open_is_aborted() {
    let (broker, topic) = topic(1).await;
    let zombie = transactional(broker, &topic, &[]).await;
    zombie.begin_transaction().expect("begun");
    write(&zombie, &topic, &["zombie"]).await;

    let present = transactional(broker, &topic, &[]).await;
    present.begin_transaction().expect("begun");
    write(&present, &topic, &["present"]).await;
    commit(&present).await.expect("committed");
    let late = commit(&zombie).await;

    let Err(KafkaError::Transaction(error)) = late else {
        panic!("a zombie has committed: {late:?}");
    };
    assert!(error.is_fatal() && !error.is_retriable(), "{error}");
    let (found, _) = read(reader(broker, &topic, Offset::Beginning), 1).await;
    assert_eq!(found, ["present"]);
}

#[tokio::test]
async fn a_producer_that_vanishes_in_a_transaction_holds_readers_back_for_its_time_only() {
    const LIMIT: Duration = Duration::from_secs(5);
    let (broker, topic) = topic(1).await;
    let limited = [
        ("transaction.timeout.ms", "5000"),
        ("message.timeout.ms", "5000"),
        ("socket.timeout.ms", "5000"),
    ];
    let vanishing = transactional(broker, &topic, &limited).await;
    let plain = client::producer(broker.bootstrap(), &[]);
    let begun = Instant::now();
    vanishing.begin_transaction().expect("begun");
    write(&vanishing, &topic, &["vanished"]).await;
    write(&plain, &topic, &["after"]).await;

    // Nobody ends the transaction; Apache looks for those whose time is up every ten seconds.
    let (found, _) = read(reader(broker, &topic, Offset::Beginning), 1).await;

    assert_eq!(found, ["after"]);
    let held = begun.elapsed();
    assert!(held >= LIMIT, "{held:?}");
    drop(vanishing);
}

#[tokio::test]
async fn offsets_from_a_generation_that_is_over_are_refused() {
    let (broker, topic) = topic(1).await;
    let first = member(broker.bootstrap(), &topic, &topic, &[]);
    let assigned = |member: &BaseConsumer| {
        drop(member.poll(Duration::from_millis(50)));
        member.assignment().is_ok_and(|found| found.count() == 1)
    };
    eventually("the only member has the partition", WITHIN, async || {
        assigned(&first).then_some(()).ok_or("none")
    })
    .await;
    let former = first.group_metadata().expect("a group");
    drop(first);
    let second = member(broker.bootstrap(), &topic, &topic, &[]);
    eventually("its successor has the partition", WITHIN, async || {
        assigned(&second).then_some(()).ok_or("none")
    })
    .await;

    let producer = transactional(broker, &topic, &[]).await;
    producer.begin_transaction().expect("begun");
    let refused = send_offset(&producer, &topic, 7, former).await;
    abort(&producer).await.expect("aborted");
    producer.begin_transaction().expect("begun");
    let present = second.group_metadata().expect("a group");
    let accepted = send_offset(&producer, &topic, 8, present).await;
    commit(&producer).await.expect("committed");

    let Err(KafkaError::Transaction(error)) = refused else {
        panic!("a former member has committed: {refused:?}");
    };
    assert!(error.txn_requires_abort(), "{error}");
    accepted.expect("a present member commits");
    assert_eq!(committed(broker, &topic, &topic).await, Offset::Offset(8));
}

#[tokio::test]
async fn a_member_does_not_start_from_offsets_that_a_transaction_may_still_change() {
    let (broker, topic) = topic(1).await;
    let producer = transactional(broker, &topic, &[]).await;
    let plain = client::producer(broker.bootstrap(), &[]);
    write(&plain, &topic, &["0", "1", "2"]).await;
    let group = format!("{topic}-g");
    let metadata = outsider(broker, &group);
    producer.begin_transaction().expect("begun");
    send_offset(&producer, &topic, 2, metadata)
        .await
        .expect("sent");

    let starting = member(broker.bootstrap(), &group, &topic, &[]);
    let (before, starting) = read(starting, 0).await;
    commit(&producer).await.expect("committed");
    let (after, _) = read(starting, 1).await;

    assert_eq!(before, [""; 0]);
    assert_eq!(after, ["2"]);
}

#[tokio::test]
async fn a_transaction_goes_on_through_a_restart_of_the_broker() {
    let broker = TestBroker::own(&["restarted"]).await;
    broker.create_topics(&[("restarted", 1)]).await;
    let producer = transactional(&broker, "restarted", &[]).await;
    producer.begin_transaction().expect("begun");
    write(&producer, "restarted", &["before"]).await;

    if broker.stop().await.is_ok() {
        broker.restart().await.expect("restarted");
    }
    write(&producer, "restarted", &["after"]).await;
    commit(&producer).await.expect("committed");

    let (found, _) = read(reader(&broker, "restarted", Offset::Beginning), 2).await;
    assert_eq!(found, ["before", "after"]);
}
