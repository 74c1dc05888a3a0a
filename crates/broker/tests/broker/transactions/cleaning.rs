//! Retention, compaction and deletion by offset in a log with transactions, for readers of an ordinary client.

use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::Offset;

use super::{MINUTE_MS, OK, aborted, begin, begun, fetch};
use crate::raw::RawClient;
use crate::support::{DEADLINE, TestBroker};
use crate::upkeep::{clean_all_the_time, cleaning, delete_below, put, until, watermarks};
use crate::versions::transactions::{NEWEST, Producer};
use crate::versions::{batch, name, produce_request};

/// Every batch has a segment of its own.
const SMALL_SEGMENTS: (&str, &str) = ("segment.bytes", "14");

const COMMITTED: &str = "read_committed";
const UNCOMMITTED: &str = "read_uncommitted";

/// The offsets of all records that a reader sees from the start of `t` to its end.
fn read(test: &TestBroker, isolation: &str) -> Vec<i64> {
    let mut config = test.group("reader");
    config
        .set("isolation.level", isolation)
        .set("enable.partition.eof", "true");
    let reader: BaseConsumer = config.create().unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset("t", 0, Offset::Beginning)
        .unwrap();
    reader.assign(&from).unwrap();
    let mut offsets = Vec::new();
    let deadline = Instant::now() + DEADLINE;
    loop {
        assert!(Instant::now() < deadline, "no end after {offsets:?}");
        match reader.poll(Duration::from_millis(50)) {
            Some(Ok(record)) => offsets.push(record.offset()),
            Some(Err(KafkaError::PartitionEOF(_))) => return offsets,
            Some(Err(error)) => panic!("after {offsets:?}: {error}"),
            None => {}
        }
    }
}

/// A topic whose records go as soon as upkeep comes to it.
async fn create_fence(test: &TestBroker) {
    let fence = NewTopic::new("fence", 1, TopicReplication::Fixed(1)).set("retention.ms", "1");
    test.create_topic(&fence).await;
}

/// Returns after upkeep has looked at every topic since the call.
async fn whole_round(test: &TestBroker) {
    // The round that empties it first may have come to other topics before the call; the next has not.
    for _ in 0..2 {
        test.send("fence", &["x"]).await;
        let reader: BaseConsumer = test.client().create().unwrap();
        until("the fence is empty", || {
            let (start, end) = reader.fetch_watermarks("fence", 0, DEADLINE).unwrap();
            start == end
        })
        .await;
    }
}

async fn put_plain(client: &mut RawClient) {
    let request = produce_request(name("t"), batch(-1, -1, -1));
    let answer = client.call(9, &request).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, OK);
}

#[tokio::test]
async fn retention_stops_at_an_open_transaction_and_goes_on_after_it() {
    let test = cleaning(&[("retention.ms", "1"), SMALL_SEGMENTS]).await;
    create_fence(&test).await;
    let mut client = RawClient::connect(&test.broker).await;
    let open = begun(&mut client, "open", 1).await;
    let mut other = begun(&mut client, "other", 1).await;
    other.end(&mut client, false).await;
    begin(&mut client, &mut other, 1).await;
    other.end(&mut client, true).await;
    put_plain(&mut client).await;
    let check = async |test: &TestBroker| {
        whole_round(test).await;
        // Open 0; aborted 1, marker 2; committed 3, marker 4; plain 5.
        assert_eq!(read(test, COMMITTED), [0; 0]);
        assert_eq!(read(test, UNCOMMITTED), [0, 1, 3, 5]);
    };

    check(&test).await;
    let test = test.restart_with(clean_all_the_time).await;
    check(&test).await;

    let mut client = RawClient::connect(&test.broker).await;
    assert_eq!(open.end(&mut client, true).await, OK);
    until("the log is empty", || watermarks(&test) == (7, 7)).await;
    begin(&mut client, &mut other, 1).await;
    assert_eq!(fetch(&mut client, 7, true).await.last_stable_offset, 7);
}

#[tokio::test]
async fn compaction_stops_at_an_open_transaction_and_brings_no_aborted_record_back() {
    let test = cleaning(&[
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.01"),
        SMALL_SEGMENTS,
    ])
    .await;
    create_fence(&test).await;
    let mut client = RawClient::connect(&test.broker).await;
    // Plain 0; aborted 1, marker 2; plain 3; committed 4, marker 5; open 6; plain 7 to 9. All but the last have one key.
    put(&test, &[("key", Some("superseded"))]).await;
    let mut producer = begun(&mut client, "a", 1).await;
    producer.end(&mut client, false).await;
    put(&test, &[("key", Some("superseded"))]).await;
    begin(&mut client, &mut producer, 1).await;
    producer.end(&mut client, true).await;
    let open = begun(&mut client, "open", 1).await;
    put(&test, &[("other", Some("7")), ("other", Some("8"))]).await;
    put(&test, &[("other", Some("9"))]).await;
    let id = producer.producer_id;
    let check = async |test: &TestBroker, told: &[(i64, i64)]| {
        whole_round(test).await;
        assert_eq!(read(test, COMMITTED), [4]);
        assert_eq!(read(test, UNCOMMITTED), [4, 6, 7, 8, 9]);
        let mut client = RawClient::connect(&test.broker).await;
        assert_eq!(aborted(&fetch(&mut client, 1, true).await), told);
    };

    // Its marker is there, and nothing else of it; a broker that starts knows it by its records.
    check(&test, &[(id, 1)]).await;
    let test = test.restart_with(clean_all_the_time).await;
    check(&test, &[]).await;

    let mut client = RawClient::connect(&test.broker).await;
    assert_eq!(open.end(&mut client, true).await, OK);
    until("what was behind it is compacted", || {
        read(&test, COMMITTED) == [6, 9]
    })
    .await;
    let test = test.restart().await;
    assert_eq!(read(&test, COMMITTED), [6, 9]);
    assert_eq!(read(&test, UNCOMMITTED), [6, 9]);
}

#[tokio::test]
async fn a_transaction_whose_records_are_deleted_holds_nobody_back_and_hides_nothing() {
    // The records are of 1970.
    let test = cleaning(&[("retention.ms", "-1"), SMALL_SEGMENTS]).await;
    let mut client = RawClient::connect(&test.broker).await;
    // Aborted 0 and 1, marker 2; committed 3, marker 4; open 5; plain 6.
    let mut producer = begun(&mut client, "a", 2).await;
    producer.end(&mut client, false).await;
    begin(&mut client, &mut producer, 1).await;
    producer.end(&mut client, true).await;
    let mut open = Producer::init(&mut client, NEWEST, "open", MINUTE_MS).await;
    begin(&mut client, &mut open, 1).await;
    put_plain(&mut client).await;

    // In the middle of the aborted one.
    assert_eq!(delete_below(&mut client, 1).await, (0, 1));
    assert_eq!(read(&test, COMMITTED), [3]);
    let test = test.restart().await;
    assert_eq!(read(&test, COMMITTED), [3]);

    // Behind the only record of the open one.
    let mut client = RawClient::connect(&test.broker).await;
    assert_eq!(delete_below(&mut client, 6).await, (0, 6));
    assert_eq!(read(&test, COMMITTED), [6]);
    let test = test.restart().await;
    assert_eq!(read(&test, COMMITTED), [6]);

    // It goes on with a record of its own.
    let mut client = RawClient::connect(&test.broker).await;
    assert_eq!(open.produce(&mut client).await, OK);
    assert_eq!(read(&test, COMMITTED), [6]);
    assert_eq!(open.end(&mut client, true).await, OK);
    assert_eq!(read(&test, COMMITTED), [6, 7]);
}
