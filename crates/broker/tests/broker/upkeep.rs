//! What goes by age, by size, by key and by offset, and how consumers get along with it.

mod compressed;

use std::time::{Duration, Instant};

use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use longshore_broker::BrokerConfig;
use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::FutureRecord;

use crate::raw::RawClient;
use crate::support::{DEADLINE, TestBroker, take, text};
use crate::versions::{batch, name, produce_request};

const OFFSET_OUT_OF_RANGE: i16 = 1;
const POLICY_VIOLATION: i16 = 44;
const INVALID_RECORD: i16 = 87;

/// A broker that cleans all the time, with the topic `t` of one partition.
pub(crate) async fn cleaning(configs: &[(&str, &str)]) -> TestBroker {
    let test = TestBroker::start_with(clean_all_the_time).await;
    let topic = NewTopic::new("t", 1, TopicReplication::Fixed(1));
    let topic = configs
        .iter()
        .fold(topic, |topic, (name, value)| topic.set(name, value));
    test.create_topic(&topic).await;
    test
}

pub(crate) fn clean_all_the_time(config: &mut BrokerConfig) {
    config.upkeep_interval = Duration::from_millis(20);
}

/// Log start and end.
pub(crate) fn watermarks(test: &TestBroker) -> (i64, i64) {
    let consumer: BaseConsumer = test.client().create().unwrap();
    consumer.fetch_watermarks("t", 0, DEADLINE).unwrap()
}

pub(crate) async fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !reached() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn put(test: &TestBroker, entries: &[(&str, Option<&str>)]) {
    let producer = test.producer();
    for (key, value) in entries {
        let record = FutureRecord::<str, str>::to("t").key(key).partition(0);
        let record = match value {
            Some(value) => record.payload(value),
            None => record,
        };
        producer.send(record, DEADLINE).await.unwrap();
    }
}

pub(crate) async fn delete_below(client: &mut RawClient, offset: i64) -> (i16, i64) {
    let partition = DeleteRecordsPartition::default().with_offset(offset);
    let topic = DeleteRecordsTopic::default()
        .with_name(name("t"))
        .with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default().with_topics(vec![topic]);
    let answer = client.call(2, &request).await;
    let partition = &answer.topics[0].partitions[0];
    (partition.error_code, partition.low_watermark)
}

async fn fetch_error(client: &mut RawClient, offset: i64) -> i16 {
    fetch(client, offset, 1_000).await.error_code
}

async fn fetch(client: &mut RawClient, offset: i64, max_bytes: i32) -> PartitionData {
    let partition = FetchPartition::default()
        .with_fetch_offset(offset)
        .with_partition_max_bytes(max_bytes);
    let topic = FetchTopic::default()
        .with_topic(name("t"))
        .with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_max_bytes(max_bytes)
        .with_topics(vec![topic]);
    let mut answer = client.call(12, &request).await;
    answer.responses.remove(0).partitions.remove(0)
}

#[tokio::test]
async fn deleted_records_stay_deleted_and_a_consumer_begins_behind_them() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    test.send("t", &["a", "b", "c", "d"]).await;
    let mut client = RawClient::connect(&test.broker).await;

    assert_eq!(delete_below(&mut client, 2).await, (0, 2));

    let test = test.restart().await;
    let mut client = RawClient::connect(&test.broker).await;
    assert_eq!(watermarks(&test), (2, 4));
    assert_eq!(fetch_error(&mut client, 1).await, OFFSET_OUT_OF_RANGE);
    assert_eq!(fetch_error(&mut client, 2).await, 0);
    let records = take(&test.consumer("g", &["t"]), 2);
    assert_eq!((text(&records[0]), records[0].offset()), ("c", 2));
    assert_eq!(delete_below(&mut client, -1).await, (0, 4));
    assert_eq!(watermarks(&test), (4, 4));
}

#[tokio::test]
async fn records_go_by_age_and_a_consumer_that_was_there_starts_anew() {
    let test = cleaning(&[("retention.ms", "1")]).await;
    test.send("t", &["a", "b"]).await;

    until("the log is empty", || watermarks(&test) == (2, 2)).await;

    test.send("t", &["c"]).await;
    let mut client = RawClient::connect(&test.broker).await;
    assert_eq!(fetch_error(&mut client, 0).await, OFFSET_OUT_OF_RANGE);
    until("also what came later", || watermarks(&test) == (3, 3)).await;
}

#[tokio::test]
async fn a_log_stays_near_its_size() {
    let test = cleaning(&[("retention.bytes", "20000"), ("segment.bytes", "10000")]).await;
    let value = "x".repeat(1_000);
    let values = [value.as_str(); 50];
    for _ in 0..4 {
        test.send("t", &values).await;
    }

    // Fewer than retention and two segments hold, more than retention holds.
    until("the start has moved", || watermarks(&test).0 >= 200 - 40).await;
    let (start, end) = watermarks(&test);
    assert_eq!(end, 200);
    assert!(start <= 200 - 18, "{start}");
    let first = take(&test.consumer("g", &["t"]), 1).remove(0);
    assert_eq!(first.offset(), start);
}

#[tokio::test]
async fn a_compacted_topic_keeps_the_last_value_of_each_key_while_it_is_written_and_read() {
    const ROUNDS: usize = 60;
    let test = cleaning(&[
        ("cleanup.policy", "compact"),
        ("segment.bytes", "2000"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ])
    .await;
    let reader = test.consumer("reader", &["t"]);
    for round in 0..ROUNDS {
        let value = round.to_string();
        let entries = ["a", "b", "c"].map(|key| (key, Some(value.as_str())));
        put(&test, &entries).await;
    }
    // The offsets of the last values are known; whoever has come that far has missed none of them.
    let last = (3 * ROUNDS - 1) as i64;
    while take(&reader, 1)[0].offset() < last {}

    // Two batches of a key fit into a segment that is not compacted yet, with room to spare.
    let mut held = usize::MAX;
    until("the log holds few records", || {
        let consumer = test.consumer("counter", &["t"]);
        held = 1;
        while take(&consumer, 1)[0].offset() < last {
            held += 1;
        }
        held < ROUNDS
    })
    .await;

    let test = test.restart().await;
    let records = take(&test.consumer("after", &["t"]), held.min(3));
    assert!(records[0].offset() > 0, "the first records are gone");
    assert_eq!(watermarks(&test), (0, last + 1), "offsets stay");
}

#[tokio::test]
async fn tombstones_go_after_their_retention() {
    let test = cleaning(&[
        ("cleanup.policy", "compact"),
        ("segment.ms", "1"),
        ("delete.retention.ms", "1"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ])
    .await;

    put(
        &test,
        &[("gone", Some("1")), ("gone", None), ("kept", Some("2"))],
    )
    .await;

    until("only one record is left", || {
        let first = take(&test.consumer("g", &["t"]), 1).remove(0);
        first.key() == Some(b"kept")
    })
    .await;
}

#[tokio::test]
async fn a_compacted_topic_takes_no_record_without_key_and_deletes_by_key_only() {
    let test = cleaning(&[("cleanup.policy", "compact")]).await;
    let mut client = RawClient::connect(&test.broker).await;

    let keyless = produce_request(name("t"), batch(-1, -1, -1));
    let refused = client.call(9, &keyless).await;
    let deleted = delete_below(&mut client, 0).await;

    let partition = &refused.responses[0].partition_responses[0];
    assert_eq!(partition.error_code, INVALID_RECORD);
    assert_eq!(deleted, (POLICY_VIOLATION, -1));
}

#[tokio::test]
async fn a_broker_that_cleans_stops_and_starts_like_any_other() {
    let mut test = cleaning(&[
        ("cleanup.policy", "compact"),
        ("segment.bytes", "1000"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ])
    .await;

    for round in 0..5 {
        let value = round.to_string();
        for _ in 0..10 {
            put(&test, &[("a", Some(&value)), ("b", Some(&value))]).await;
        }
        test = test.restart().await;
    }

    let consumer = test.consumer("g", &["t"]);
    let mut values = std::collections::HashMap::new();
    while values.len() < 2 || values.values().any(|value| value != "4") {
        let record = take(&consumer, 1).remove(0);
        values.insert(record.key().unwrap().to_vec(), text(&record).to_owned());
    }
    assert_eq!(watermarks(&test), (0, 100));
}
