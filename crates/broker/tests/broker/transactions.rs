//! All or nothing: transactions as raw clients see them.

mod cleaning;
mod kills;

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use kafka_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestTopic};
use kafka_protocol::messages::{InitProducerIdRequest, TransactionalId};
use kafka_protocol::records::RecordBatchDecoder;

use crate::raw::RawClient;
use crate::support::{DEADLINE, TestBroker};
use crate::versions::transactions::{NEWEST, Producer};
use crate::versions::{batch, group, name, produce_request, text};

const OK: i16 = 0;
const ILLEGAL_GENERATION: i16 = 22;
const UNKNOWN_MEMBER_ID: i16 = 25;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const INVALID_TXN_STATE: i16 = 48;
const INVALID_PRODUCER_ID_MAPPING: i16 = 49;
const INVALID_TRANSACTION_TIMEOUT: i16 = 50;
const UNSTABLE_OFFSET_COMMIT: i16 = 88;
const PRODUCER_FENCED: i16 = 90;
const TRANSACTION_ABORTABLE: i16 = 120;

const MINUTE_MS: i32 = 60_000;

async fn fetch(client: &mut RawClient, offset: i64, committed: bool) -> PartitionData {
    client
        .send(12, &fetch_request(offset, committed, Duration::ZERO))
        .await;
    fetched(client).await
}

fn fetch_request(offset: i64, committed: bool, wait: Duration) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1_000_000);
    let topic = FetchTopic::default()
        .with_topic(name("t"))
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_isolation_level(i8::from(committed))
        .with_max_wait_ms(wait.as_millis() as i32)
        .with_min_bytes(1)
        .with_max_bytes(1_000_000)
        .with_topics(vec![topic])
}

async fn fetched(client: &mut RawClient) -> PartitionData {
    let mut answer = client.answer::<FetchRequest>(12).await;
    answer.responses.remove(0).partitions.remove(0)
}

/// The offsets of all batches in an answer, which hold a record each.
fn offsets(data: &PartitionData) -> Vec<i64> {
    let mut records = data.records.clone().unwrap_or_default();
    let sets = RecordBatchDecoder::decode_all(&mut records).unwrap();
    let records = sets.iter().flat_map(|set| &set.records);
    records.map(|record| record.offset).collect()
}

/// Producer id and first offset of each aborted transaction in an answer.
fn aborted(data: &PartitionData) -> Vec<(i64, i64)> {
    let aborted = data.aborted_transactions.iter().flatten();
    aborted
        .map(|aborted| (*aborted.producer_id, aborted.first_offset))
        .collect()
}

async fn list_offset(client: &mut RawClient, timestamp: i64, committed: bool) -> i64 {
    let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default()
        .with_name(name("t"))
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_isolation_level(i8::from(committed))
        .with_topics(vec![topic]);
    let answer = client.call(7, &request).await;
    answer.topics[0].partitions[0].offset
}

/// Error and offset that group `g` gets for partition 0.
async fn committed(client: &mut RawClient, stable: bool) -> (i16, i64) {
    let topic = OffsetFetchRequestTopic::default()
        .with_name(name("t"))
        .with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default()
        .with_group_id(group("g"))
        .with_require_stable(stable)
        .with_topics(Some(vec![topic]));
    let answer = client.call(7, &request).await;
    let partition = &answer.topics[0].partitions[0];
    (partition.error_code, partition.committed_offset)
}

/// A broker with topic `t` of one partition, and a client.
async fn start() -> (TestBroker, RawClient) {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let client = RawClient::connect(&test.broker).await;
    (test, client)
}

/// A producer in a transaction that has written `records` records.
async fn begun(client: &mut RawClient, id: &'static str, records: usize) -> Producer {
    let mut producer = Producer::init(client, NEWEST, id, MINUTE_MS).await;
    begin(client, &mut producer, records).await;
    producer
}

async fn begin(client: &mut RawClient, producer: &mut Producer, records: usize) {
    assert_eq!(producer.add_partition(client, 0).await, OK);
    for _ in 0..records {
        assert_eq!(producer.produce(client).await, OK);
    }
}

#[tokio::test]
async fn readers_of_committed_records_stop_where_the_first_open_transaction_begins() {
    let (_test, mut client) = start().await;
    let plain = produce_request(name("t"), batch(-1, -1, -1));
    client.call(9, &plain).await;
    let first = begun(&mut client, "first", 1).await;
    let second = begun(&mut client, "second", 1).await;
    client.call(9, &plain).await;

    let open = fetch(&mut client, 0, true).await;
    assert_eq!((open.last_stable_offset, open.high_watermark), (1, 4));
    assert_eq!(offsets(&open), [0]);
    assert_eq!(offsets(&fetch(&mut client, 0, false).await), [0, 1, 2, 3]);
    assert_eq!(list_offset(&mut client, -1, true).await, 1);
    assert_eq!(list_offset(&mut client, -1, false).await, 4);
    // The records have the timestamp 1,000, and the first of them is the plain one.
    assert_eq!(list_offset(&mut client, 1_000, true).await, 0);

    second.end(&mut client, true).await;
    assert_eq!(offsets(&fetch(&mut client, 0, true).await), [0]);
    first.end(&mut client, true).await;

    let ended = fetch(&mut client, 0, true).await;
    assert_eq!((ended.last_stable_offset, ended.high_watermark), (6, 6));
    assert_eq!(offsets(&ended), [0, 1, 2, 3, 4, 5]);
    assert_eq!(aborted(&ended), []);
}

#[tokio::test]
async fn a_timestamp_leads_readers_of_committed_records_to_no_open_transaction() {
    let (_test, mut client) = start().await;
    let producer = begun(&mut client, "a", 1).await;

    let open = list_offset(&mut client, 1_000, true).await;
    let uncommitted = list_offset(&mut client, 1_000, false).await;
    producer.end(&mut client, true).await;
    let ended = list_offset(&mut client, 1_000, true).await;

    assert_eq!((open, uncommitted, ended), (-1, 0, 0));
}

#[tokio::test]
async fn a_reader_is_told_which_transactions_in_its_records_were_aborted_and_of_no_others() {
    let (test, mut client) = start().await;
    let mut producer = begun(&mut client, "a", 2).await;
    producer.end(&mut client, false).await;
    begin(&mut client, &mut producer, 2).await;
    producer.end(&mut client, true).await;
    begin(&mut client, &mut producer, 1).await;
    producer.end(&mut client, false).await;
    let id = producer.producer_id;

    // Aborted 0 to 1, marker 2; committed 3 to 4, marker 5; aborted 6, marker 7.
    let test = test.restart().await;
    let mut client = RawClient::connect(&test.broker).await;
    let told = async |client: &mut RawClient, from| aborted(&fetch(client, from, true).await);
    assert_eq!(told(&mut client, 0).await, [(id, 0), (id, 6)]);
    assert_eq!(told(&mut client, 1).await, [(id, 0), (id, 6)]);
    assert_eq!(told(&mut client, 2).await, [(id, 0), (id, 6)]);
    // With the first one a reader would skip what was committed behind it.
    assert_eq!(told(&mut client, 3).await, [(id, 6)]);
    assert_eq!(told(&mut client, 8).await, []);
    let uncommitted = fetch(&mut client, 0, false).await;
    assert!(uncommitted.aborted_transactions.is_none());
}

#[tokio::test]
async fn a_fetch_of_committed_records_waits_for_the_end_of_the_transaction() {
    let (test, mut client) = start().await;
    let mut reader = RawClient::connect(&test.broker).await;
    let mut producer = begun(&mut client, "a", 1).await;

    reader.send(12, &fetch_request(0, true, DEADLINE)).await;
    producer.produce(&mut client).await;
    assert!(reader.is_silent_for(Duration::from_millis(100)).await);
    producer.end(&mut client, true).await;

    assert_eq!(offsets(&fetched(&mut reader).await), [0, 1, 2]);
}

#[tokio::test]
async fn offsets_count_when_their_transaction_is_committed() {
    let (_test, mut client) = start().await;
    let mut producer = begun(&mut client, "a", 0).await;
    for (commits, expected) in [(true, 5), (false, 5), (true, 6)] {
        let before = committed(&mut client, true).await;
        producer.add_group(&mut client, "g").await;
        let offset = before.1.max(4) + 1;
        assert_eq!(producer.commit_offset(&mut client, "g", offset).await, OK);

        let unstable = (UNSTABLE_OFFSET_COMMIT, -1);
        assert_eq!(committed(&mut client, true).await, unstable);
        assert_eq!(committed(&mut client, false).await, before);
        assert_eq!(producer.end(&mut client, commits).await, OK);

        assert_eq!(committed(&mut client, true).await, (OK, expected));
        begin(&mut client, &mut producer, 1).await;
    }
}

#[tokio::test]
async fn pending_offsets_survive_a_restart() {
    let (test, mut client) = start().await;
    let producer = begun(&mut client, "a", 1).await;
    producer.add_group(&mut client, "g").await;
    producer.commit_offset(&mut client, "g", 5).await;

    let test = test.restart().await;
    let mut client = RawClient::connect(&test.broker).await;

    let pending = committed(&mut client, true).await;
    assert_eq!(pending, (UNSTABLE_OFFSET_COMMIT, -1));
    assert_eq!(fetch(&mut client, 0, true).await.last_stable_offset, 0);
    assert_eq!(producer.end(&mut client, true).await, OK);
    assert_eq!(committed(&mut client, true).await, (OK, 5));
}

#[tokio::test]
async fn offsets_are_refused_from_who_is_no_member_of_this_generation() {
    let (_test, mut client) = start().await;
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"metadata"));
    let join = JoinGroupRequest::default()
        .with_group_id(group("g"))
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    let joined = client.call(2, &join).await;
    let (member, generation) = (joined.member_id, joined.generation_id);
    let producer = begun(&mut client, "a", 0).await;
    producer.add_group(&mut client, "g").await;
    let client = &mut client;
    let mut commit = async |member, generation| {
        let commit = producer.commit_offset_as(client, "g", 5, member, generation);
        commit.await
    };

    assert_eq!(commit(member.clone(), generation).await, OK);
    let former = commit(member.clone(), generation - 1).await;
    assert_eq!(former, ILLEGAL_GENERATION);
    let nobody = commit(text("nobody"), generation).await;
    assert_eq!(nobody, UNKNOWN_MEMBER_ID);
    let unnamed = commit(text(""), generation).await;
    assert_eq!(unnamed, UNKNOWN_MEMBER_ID);
    // As clients from before KIP-447 do, which name neither.
    assert_eq!(commit(text(""), -1).await, OK);
}

#[tokio::test]
async fn a_zombie_is_fenced_and_what_it_left_is_aborted() {
    let (_test, mut client) = start().await;
    let mut zombie = begun(&mut client, "a", 1).await;
    zombie.add_group(&mut client, "g").await;
    zombie.commit_offset(&mut client, "g", 5).await;

    let mut present = Producer::init(&mut client, NEWEST, "a", MINUTE_MS).await;

    assert!(present.epoch > zombie.epoch);
    let left = fetch(&mut client, 0, true).await;
    assert_eq!(aborted(&left), [(zombie.producer_id, 0)]);
    assert_eq!(left.last_stable_offset, left.high_watermark);
    assert_eq!(committed(&mut client, true).await, (OK, -1));
    begin(&mut client, &mut present, 1).await;
    assert_eq!(zombie.produce(&mut client).await, INVALID_PRODUCER_EPOCH);
    assert_eq!(zombie.end(&mut client, true).await, PRODUCER_FENCED);
    assert_eq!(zombie.end(&mut client, false).await, PRODUCER_FENCED);
    assert_eq!(zombie.init_again(&mut client).await, PRODUCER_FENCED);
    assert_eq!(present.end(&mut client, true).await, OK);
}

#[tokio::test]
async fn a_producer_that_vanishes_holds_readers_back_no_longer_than_its_time() {
    let (test, mut client) = start().await;
    let mut reader = RawClient::connect(&test.broker).await;
    let mut producer = Producer::init(&mut client, NEWEST, "a", 5_000).await;
    begin(&mut client, &mut producer, 1).await;

    reader.send(12, &fetch_request(0, true, DEADLINE)).await;
    let freed = fetched(&mut reader).await;

    assert_eq!(aborted(&freed), [(producer.producer_id, 0)]);
    assert_eq!(offsets(&freed), [0, 1]);
    assert_eq!(producer.end(&mut client, true).await, PRODUCER_FENCED);
}

#[tokio::test]
async fn what_was_open_when_the_broker_stopped_is_aborted_in_time_after_it_started() {
    let (test, mut client) = start().await;
    let mut producer = Producer::init(&mut client, NEWEST, "a", 5_000).await;
    begin(&mut client, &mut producer, 1).await;

    let test = test.restart().await;
    let mut reader = RawClient::connect(&test.broker).await;
    reader.send(12, &fetch_request(0, true, DEADLINE)).await;

    let freed = fetched(&mut reader).await;
    assert_eq!(aborted(&freed), [(producer.producer_id, 0)]);
}

#[tokio::test]
async fn only_what_a_transaction_named_can_be_written_in_it() {
    let (_test, mut client) = start().await;
    let mut producer = Producer::init(&mut client, NEWEST, "a", MINUTE_MS).await;

    let unnamed = producer.produce(&mut client).await;
    let unnamed_v11 = producer.produce_in(&mut client, 11).await;
    let no_group = producer.commit_offset(&mut client, "g", 5).await;
    let no_transaction = producer.end(&mut client, true).await;
    begin(&mut client, &mut producer, 1).await;
    let plain = batch(producer.producer_id, producer.epoch, 1);
    let plain = client.call(9, &produce_request(name("t"), plain)).await;
    producer.end(&mut client, true).await;
    let behind = producer.produce(&mut client).await;

    assert_eq!(unnamed, INVALID_TXN_STATE);
    assert_eq!(unnamed_v11, TRANSACTION_ABORTABLE);
    assert_eq!(
        (no_group, no_transaction),
        (INVALID_TXN_STATE, INVALID_TXN_STATE)
    );
    let plain = plain.responses[0].partition_responses[0].error_code;
    assert_eq!((plain, behind), (INVALID_TXN_STATE, INVALID_TXN_STATE));
    assert_eq!(offsets(&fetch(&mut client, 0, true).await), [0, 1]);
}

#[tokio::test]
async fn ids_and_times_that_are_not_the_brokers_are_refused() {
    let (_test, mut client) = start().await;
    let init = |timeout_ms| {
        InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text("a"))))
            .with_transaction_timeout_ms(timeout_ms)
    };
    for timeout_ms in [-1, 0, 15 * MINUTE_MS + 1] {
        let refused = client.call(4, &init(timeout_ms)).await;
        assert_eq!(refused.error_code, INVALID_TRANSACTION_TIMEOUT);
    }
    let mut producer = Producer::init(&mut client, NEWEST, "a", MINUTE_MS).await;

    producer.producer_id += 1;

    let end = producer.end(&mut client, true).await;
    assert_eq!(end, INVALID_PRODUCER_ID_MAPPING);
    let add = producer.add_partition(&mut client, 0).await;
    assert_eq!(add, INVALID_PRODUCER_ID_MAPPING);
    producer.id = "nobody";
    let end = producer.end(&mut client, true).await;
    assert_eq!(end, INVALID_PRODUCER_ID_MAPPING);
}
