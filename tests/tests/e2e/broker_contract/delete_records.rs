//! DeleteRecords: what is below an offset is gone, and readers that were there go on as they asked to (KIP-107).

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use longshore_testkit::broker::TestBroker;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::FutureProducer;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::{bounds, configured_topic, partition, topic};
use crate::support::client::{Sent, WITHIN, client, producer, read, send, take};

/// A topic with records at the offsets 0 to 4, in one batch if the client has no pause in between.
async fn five_records() -> (&'static TestBroker, String) {
    let (broker, topic) = topic(1).await;
    let producer = producer(broker.bootstrap(), &[("linger.ms", "50")]);
    let sent = try_join_all((0..5).map(|_| append(&producer, &topic))).await;
    assert_eq!(sent, Ok(vec![0, 1, 2, 3, 4]));
    (broker, topic)
}

/// Sends a record and returns its offset.
async fn append(producer: &FutureProducer, topic: &str) -> Result<i64, KafkaError> {
    let (_, offset) = send(producer, topic, &Sent::new("k", "v")).await?;
    Ok(offset)
}

/// Deletes what is below an offset of partition 0; returns the first offset that is left.
async fn delete_below(
    broker: &TestBroker,
    topic: &str,
    offset: Offset,
) -> Result<Offset, RDKafkaErrorCode> {
    let admin: AdminClient<DefaultClientContext> = client(broker.bootstrap(), &[]);
    let mut offsets = TopicPartitionList::new();
    let added = offsets.add_partition_offset(topic, 0, offset);
    added.expect("a valid offset");
    let options = AdminOptions::new().request_timeout(Some(WITHIN));
    let deleted = admin.delete_records(&offsets, &options).await;
    let deleted = deleted.expect("an answer");
    let partition = deleted.find_partition(topic, 0).expect("asked for");
    match partition.error() {
        Ok(()) => Ok(partition.offset()),
        Err(error) => Err(error.rdkafka_error_code().expect("a code")),
    }
}

/// A reader of partition 0 from an offset on, which does this when the offset is not there.
fn reader(broker: &TestBroker, topic: &str, from: i64, reset: &str) -> BaseConsumer {
    let properties = [
        ("group.id", "none"),
        ("auto.offset.reset", reset),
        ("enable.partition.eof", "true"),
    ];
    let reader: BaseConsumer = client(broker.bootstrap(), &properties);
    let mut assignment = TopicPartitionList::new();
    let added = assignment.add_partition_offset(topic, 0, Offset::Offset(from));
    added.expect("a valid offset");
    reader.assign(&assignment).expect("assigns");
    reader
}

/// The first thing that a reader meets, be it a record or an error that does not pass.
fn meets(reader: &BaseConsumer) -> Result<i64, KafkaError> {
    let deadline = Instant::now() + WITHIN;
    while Instant::now() < deadline {
        match reader.poll(Duration::from_millis(50)) {
            Some(Ok(message)) => return Ok(message.offset()),
            Some(Err(error)) => return Err(error),
            None => {}
        }
    }
    panic!("nothing in {WITHIN:?}");
}

#[tokio::test]
async fn deleted_records_are_gone_and_the_others_keep_their_offsets() {
    let (broker, topic) = five_records().await;

    let start = delete_below(broker, &topic, Offset::Offset(3)).await;

    assert_eq!(start, Ok(Offset::Offset(3)));
    assert_eq!(bounds(broker, &topic).await, (3, 5));
    let bootstrap = broker.bootstrap();
    let left = read(bootstrap, &[partition(&topic, 0)], Offset::Beginning, 2).await;
    let offsets: Vec<_> = left.iter().map(|message| message.offset()).collect();
    assert_eq!(offsets, [3, 4]);
}

#[tokio::test]
async fn a_reader_of_deleted_records_goes_on_as_it_asked_to() {
    let (broker, topic) = five_records().await;
    let deleted = delete_below(broker, &topic, Offset::Offset(3)).await;
    deleted.expect("deleted");

    let earliest = meets(&reader(broker, &topic, 1, "earliest"));
    let error = meets(&reader(broker, &topic, 1, "error"));
    let latest = reader(broker, &topic, 1, "latest");
    let at_the_end = meets(&latest);
    let producer = producer(broker.bootstrap(), &[]);
    let next = append(&producer, &topic).await;

    assert_eq!(earliest, Ok(3));
    let refused = KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset);
    assert_eq!(error, Err(refused));
    assert_eq!(at_the_end, Err(KafkaError::PartitionEOF(0)));
    assert_eq!(next, Ok(5));
    assert_eq!(take(&latest, 1, WITHIN)[0].offset(), 5);
}

#[tokio::test]
async fn everything_can_be_deleted_but_nothing_that_is_still_to_come() {
    let (broker, topic) = five_records().await;

    let beyond = delete_below(broker, &topic, Offset::Offset(6)).await;
    let untouched = bounds(broker, &topic).await;
    let all = delete_below(broker, &topic, Offset::End).await;
    let next = append(&producer(broker.bootstrap(), &[]), &topic).await;

    assert_eq!(beyond, Err(RDKafkaErrorCode::OffsetOutOfRange));
    assert_eq!(untouched, (0, 5));
    assert_eq!(all, Ok(Offset::Offset(5)));
    assert_eq!(next, Ok(5));
    assert_eq!(bounds(broker, &topic).await, (5, 6));
}

#[tokio::test]
async fn the_start_of_a_log_does_not_go_back() {
    let (broker, topic) = five_records().await;
    let deleted = delete_below(broker, &topic, Offset::Offset(3)).await;
    deleted.expect("deleted");

    let below = delete_below(broker, &topic, Offset::Offset(1)).await;

    assert_eq!(below, Ok(Offset::Offset(3)));
    assert_eq!(bounds(broker, &topic).await, (3, 5));
}

#[tokio::test]
async fn a_topic_that_is_only_compacted_loses_no_records_by_offset() {
    let (broker, topic) = configured_topic(&[("cleanup.policy", "compact")]).await;
    let sent = append(&producer(broker.bootstrap(), &[]), &topic).await;
    sent.expect("sent");

    let refused = delete_below(broker, &topic, Offset::Offset(1)).await;

    assert_eq!(refused, Err(RDKafkaErrorCode::PolicyViolation));
    assert_eq!(bounds(broker, &topic).await, (0, 1));
}
