//! What no ordinary client does: repeats, gaps, nonsense, silence.

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::fetch_response::FetchResponse;
use kafka_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use kafka_protocol::messages::sync_group_request::SyncGroupRequest;
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse, ResponseHeader};
use kafka_protocol::protocol::Decodable;
use rdkafka::admin::AdminOptions;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::raw::RawClient;
use crate::support::{DEADLINE, TestBroker, assigned, poll_until};
use crate::versions::{batch, group, name, produce_request, text};

const OK: i16 = 0;
const CORRUPT_MESSAGE: i16 = 2;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
const INVALID_PRODUCER_EPOCH: i16 = 47;
const KAFKA_STORAGE_ERROR: i16 = 56;

async fn produce(client: &mut RawClient, records: Bytes) -> (i16, i64) {
    let answer = client.call(9, &produce_request(name("t"), records)).await;
    let partition = &answer.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

#[tokio::test]
async fn a_repeated_batch_is_acknowledged_with_its_first_offset_also_after_a_restart() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let mut client = RawClient::connect(&test.broker).await;
    assert_eq!(produce(&mut client, batch(7, 0, 0)).await, (OK, 0));
    assert_eq!(produce(&mut client, batch(7, 0, 1)).await, (OK, 1));

    assert_eq!(produce(&mut client, batch(7, 0, 0)).await, (OK, 0));
    let test = test.restart().await;
    let mut client = RawClient::connect(&test.broker).await;
    assert_eq!(produce(&mut client, batch(7, 0, 1)).await, (OK, 1));

    assert_eq!(produce(&mut client, batch(7, 0, 2)).await, (OK, 2));
}

#[tokio::test]
async fn a_gap_and_a_former_epoch_are_refused() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let mut client = RawClient::connect(&test.broker).await;
    produce(&mut client, batch(7, 1, 0)).await;

    let gap = produce(&mut client, batch(7, 1, 5)).await;
    let former = produce(&mut client, batch(7, 0, 1)).await;

    assert_eq!(gap, (OUT_OF_ORDER_SEQUENCE_NUMBER, -1));
    assert_eq!(former, (INVALID_PRODUCER_EPOCH, -1));
}

#[tokio::test]
async fn a_batch_with_a_wrong_checksum_is_refused() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let mut client = RawClient::connect(&test.broker).await;
    let mut flipped = batch(-1, -1, -1).to_vec();
    *flipped.last_mut().unwrap() ^= 1;

    assert_eq!(
        produce(&mut client, flipped.into()).await,
        (CORRUPT_MESSAGE, -1)
    );
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_an_error_and_no_acknowledgement() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let mut client = RawClient::connect(&test.broker).await;
    // The directory of the log is made by the first append; a file in its place makes that fail.
    let logs = test.data.path().join("logs");
    std::fs::remove_dir_all(&logs).unwrap();
    std::fs::write(&logs, "in the way").unwrap();

    let refused = produce(&mut client, batch(-1, -1, -1)).await;
    std::fs::remove_file(&logs).unwrap();
    let accepted = produce(&mut client, batch(-1, -1, -1)).await;

    assert_eq!((refused, accepted), ((KAFKA_STORAGE_ERROR, -1), (OK, 0)));
}

#[tokio::test]
async fn without_acknowledgements_nothing_is_answered() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let mut client = RawClient::connect(&test.broker).await;

    let request = produce_request(name("t"), batch(-1, -1, -1)).with_acks(0);
    client.send(9, &request).await;
    assert!(client.is_silent_for(Duration::from_millis(100)).await);

    assert_eq!(produce(&mut client, batch(-1, -1, -1)).await, (OK, 1));
}

fn fetch_request(max_wait: Duration, min_bytes: i32) -> FetchRequest {
    let partition = FetchPartition::default().with_partition_max_bytes(1_000_000);
    let topic = FetchTopic::default()
        .with_topic(name("t"))
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_wait_ms(max_wait.as_millis() as i32)
        .with_min_bytes(min_bytes)
        .with_max_bytes(1_000_000)
        .with_topics(vec![topic])
}

fn records(answer: &FetchResponse) -> usize {
    answer.responses[0].partitions[0]
        .records
        .as_ref()
        .map_or(0, Bytes::len)
}

#[tokio::test]
async fn a_fetch_waits_until_there_is_enough() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let mut producer = RawClient::connect(&test.broker).await;
    let mut reader = RawClient::connect(&test.broker).await;
    let one = batch(-1, -1, -1).len();

    reader
        .send(12, &fetch_request(DEADLINE, 2 * one as i32))
        .await;
    produce(&mut producer, batch(-1, -1, -1)).await;
    assert!(reader.is_silent_for(Duration::from_millis(100)).await);
    produce(&mut producer, batch(-1, -1, -1)).await;

    assert_eq!(records(&reader.answer::<FetchRequest>(12).await), 2 * one);
}

#[tokio::test]
async fn a_fetch_that_waited_long_enough_comes_back_with_what_there_is() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let mut client = RawClient::connect(&test.broker).await;
    let wait = Duration::from_millis(100);

    let began = Instant::now();
    let empty = client.call(12, &fetch_request(wait, 1)).await;
    assert!(began.elapsed() >= wait);
    produce(&mut client, batch(-1, -1, -1)).await;
    let too_few = client.call(12, &fetch_request(wait, 1_000)).await;

    assert_eq!(
        (records(&empty), records(&too_few)),
        (0, batch(-1, -1, -1).len())
    );
}

#[tokio::test]
async fn a_waiting_fetch_learns_at_once_that_its_topic_is_deleted() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let mut reader = RawClient::connect(&test.broker).await;

    reader.send(12, &fetch_request(DEADLINE, 1)).await;
    assert!(reader.is_silent_for(Duration::from_millis(100)).await);
    let deleted = test
        .admin()
        .delete_topics(&["t"], &AdminOptions::new())
        .await;
    deleted.unwrap().remove(0).unwrap();

    let answer = reader.answer::<FetchRequest>(12).await;
    assert_eq!(
        answer.responses[0].partitions[0].error_code,
        UNKNOWN_TOPIC_OR_PARTITION
    );
}

#[tokio::test]
async fn a_client_from_the_future_learns_what_is_offered() {
    let test = TestBroker::start().await;
    let mut client = RawClient::connect(&test.broker).await;
    let mut frame = BytesMut::new();
    frame.put_i16(ApiKey::ApiVersions as i16);
    frame.put_i16(99);
    frame.put_i32(5);
    frame.put_i16(-1);
    frame.put_slice(b"\0whatever comes in version 99");

    client.send_frame(&frame).await;

    let mut answer = client.receive().await.unwrap();
    ResponseHeader::decode(&mut answer, 0).unwrap();
    let answer = ApiVersionsResponse::decode(&mut answer, 0).unwrap();
    assert_eq!(answer.error_code, 35);
    assert!(!answer.api_keys.is_empty());
}

#[tokio::test]
async fn nonsense_closes_its_connection_and_no_other() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let mut other = RawClient::connect(&test.broker).await;
    let announced = |length: i32| length.to_be_bytes().to_vec();
    let frame = |header: &[u8]| [&announced(header.len() as i32)[..], header].concat();

    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        announced(-1),
        announced(0),
        announced(i32::MAX),
        frame(&[0; 7]),
        // API 9999.
        frame(b"\x27\x0f\0\0\0\0\0\x01\xff\xff"),
        // Produce in version 77.
        frame(b"\0\0\0\x4d\0\0\0\x01\xff\xff\0"),
        // A client id that is longer than the frame.
        frame(b"\0\x03\0\x01\0\0\0\x01\x7f\xff"),
        // Metadata for two thousand million topics.
        frame(b"\0\x03\0\x01\0\0\0\x01\xff\xff\x7f\xff\xff\xff"),
    ] {
        let mut client = RawClient::connect(&test.broker).await;
        client.send_bytes(&bytes).await;
        assert!(client.receive().await.is_none(), "{bytes:?}");
    }

    assert_eq!(
        other
            .call(0, &ApiVersionsRequest::default())
            .await
            .error_code,
        0
    );
}

#[tokio::test]
async fn the_partitions_of_a_member_that_vanishes_go_to_the_others() {
    let test = TestBroker::with_topics(&[("t", 4)]).await;
    let stays: BaseConsumer = test
        .group("g")
        .set("partition.assignment.strategy", "range")
        .create()
        .unwrap();
    stays.subscribe(&["t"]).unwrap();
    poll_until(&[&stays], "the first member has all four", || {
        assigned(&stays) == 4
    });

    let address = test.broker.address();
    let vanishes = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(join_and_vanish(address));
    });
    poll_until(&[&stays], "the first member has two", || {
        assigned(&stays) == 2
    });
    vanishes.await.unwrap();

    poll_until(&[&stays], "the first member has all four again", || {
        assigned(&stays) == 4
    });
}

/// Joins group `g` with the subscription a consumer has, takes its assignment, and is never heard of again.
async fn join_and_vanish(address: std::net::SocketAddr) {
    let mut client = RawClient::connect_to(address).await;
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        // Version 0, one topic, no user data.
        .with_metadata(Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\0\0\0\0"));
    let request = JoinGroupRequest::default()
        .with_group_id(group("g"))
        .with_session_timeout_ms(6_000)
        .with_rebalance_timeout_ms(DEADLINE.as_millis() as i32)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    let joined = client.call(2, &request).await;
    assert_eq!(joined.error_code, OK);
    let request = SyncGroupRequest::default()
        .with_group_id(group("g"))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id);
    let synced = client.call(1, &request).await;
    assert_eq!(synced.error_code, OK);
    assert!(!synced.assignment.is_empty());
}
