//! What a broker can be told to do wrong, as a raw client sees it.

mod clients;
mod versions;

use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, FindCoordinatorRequest, HeartbeatRequest, OffsetFetchRequest,
    ProduceRequest,
};
use longshore_broker::faults::{
    ApiKey, Coordinated, Effect, Fault, FaultError, Injected, ResponseError,
};
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::raw::RawClient;
use crate::support::{DEADLINE, TestBroker};
use crate::versions::transactions::{NEWEST, Producer};
use crate::versions::{batch, group, name, produce_request, text};

const NOT_COORDINATOR: i16 = 16;
const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const REBALANCE_IN_PROGRESS: i16 = 27;

impl TestBroker {
    fn inject(&self, fault: Fault) -> Injected {
        self.broker.faults().inject(fault).unwrap()
    }

    /// Counts the requests of `api` and changes nothing.
    fn watch(&self, api: ApiKey) -> Injected {
        self.inject(Fault::new(api, Effect::Delay(Duration::ZERO)).times(u64::MAX))
    }
}

async fn find_coordinator(client: &mut RawClient, key: &'static str, key_type: i8) -> i16 {
    let request = FindCoordinatorRequest::default()
        .with_key(text(key))
        .with_key_type(key_type);
    client.call(3, &request).await.error_code
}

async fn fetch_offsets(client: &mut RawClient, id: &'static str) -> i16 {
    let request = OffsetFetchRequest::default()
        .with_group_id(group(id))
        .with_topics(None);
    client.call(7, &request).await.error_code
}

/// Whether the broker closes the connection instead of answering.
async fn is_dropped(client: &mut RawClient, request: &ProduceRequest) -> bool {
    client.send(9, request).await;
    client.receive().await.is_none()
}

fn end_of_log(test: &TestBroker) -> i64 {
    let consumer: BaseConsumer = test.client().create().unwrap();
    consumer.fetch_watermarks("t", 0, DEADLINE).unwrap().1
}

#[tokio::test]
async fn a_fault_meets_the_requests_it_was_made_for_and_no_others() {
    let test = TestBroker::start().await;
    let client = &mut RawClient::connect(&test.broker).await;
    let unavailable = Effect::Fail(ResponseError::CoordinatorNotAvailable);
    let fault = Fault::new(ApiKey::FindCoordinator, unavailable);
    let others = test.inject(fault.clone().of_client("other"));
    let never = test.inject(fault.clone().times(0));
    let injected = test.inject(fault.of_client("ra").skip(1).times(2));

    let mut codes = Vec::new();
    for _ in 0..4 {
        assert_eq!(fetch_offsets(client, "g").await, 0, "another API");
        codes.push(find_coordinator(client, "g", 0).await);
    }

    let failed = COORDINATOR_NOT_AVAILABLE;
    assert_eq!(codes, [0, failed, failed, 0]);
    assert_eq!((injected.met(), others.met(), never.met()), (2, 0, 0));
}

#[tokio::test]
async fn cleared_faults_are_over() {
    let test = TestBroker::start().await;
    let client = &mut RawClient::connect(&test.broker).await;
    let unavailable = Effect::Fail(ResponseError::CoordinatorNotAvailable);
    test.inject(Fault::new(ApiKey::FindCoordinator, unavailable).times(10));
    let faults = test.broker.faults();
    faults.move_coordinator(Coordinated::Group("g".into()));

    faults.clear();

    assert_eq!(find_coordinator(client, "g", 0).await, 0);
    assert_eq!(fetch_offsets(client, "g").await, 0);
}

#[tokio::test]
async fn a_delayed_request_is_answered_when_its_time_is_over() {
    let test = TestBroker::start().await;
    let client = &mut RawClient::connect(&test.broker).await;
    let time = Duration::from_millis(300);
    test.inject(Fault::new(ApiKey::FindCoordinator, Effect::Delay(time)));

    let began = Instant::now();
    assert_eq!(find_coordinator(client, "g", 0).await, 0);

    assert!(began.elapsed() >= time, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_dropped_request_was_done_or_not_as_was_told() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let request = produce_request(name("t"), batch(-1, -1, -1));
    for (effect, end) in [(Effect::DropUnread, 0), (Effect::DropDone, 1)] {
        test.inject(Fault::new(ApiKey::Produce, effect));
        let mut client = RawClient::connect(&test.broker).await;

        assert!(is_dropped(&mut client, &request).await, "{effect:?}");
        assert_eq!(end_of_log(&test), end, "{effect:?}");
    }
}

#[tokio::test]
async fn a_failed_request_is_not_done() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let client = &mut RawClient::connect(&test.broker).await;
    let full = Effect::Fail(ResponseError::KafkaStorageError);
    test.inject(Fault::new(ApiKey::Produce, full));

    let answer = client
        .call(9, &produce_request(name("t"), batch(-1, -1, -1)))
        .await;

    let partition = &answer.responses[0].partition_responses[0];
    let expected = ResponseError::KafkaStorageError.code();
    assert_eq!(
        (partition.error_code, partition.base_offset),
        (expected, -1)
    );
    assert_eq!(end_of_log(&test), 0);
}

#[tokio::test]
async fn an_api_without_an_error_answer_cannot_be_made_to_fail() {
    let test = TestBroker::start().await;
    let fails = Effect::Fail(ResponseError::UnknownServerError);

    let refused = test
        .broker
        .faults()
        .inject(Fault::new(ApiKey::Metadata, fails));

    let expected = FaultError::NoErrorAnswer {
        api: ApiKey::Metadata,
    };
    assert_eq!(refused.err(), Some(expected));
}

#[tokio::test]
async fn a_coordinator_that_moved_is_found_again_by_who_was_told() {
    let test = TestBroker::start().await;
    let old = &mut RawClient::connect(&test.broker).await;
    let bystander = &mut RawClient::connect(&test.broker).await;
    assert_eq!(fetch_offsets(old, "g").await, 0);
    assert_eq!(fetch_offsets(bystander, "g").await, 0);

    let of = Coordinated::Group("g".into());
    test.broker.faults().move_coordinator(of);

    let new = &mut RawClient::connect(&test.broker).await;
    assert_eq!(fetch_offsets(new, "g").await, 0, "opened after the move");
    assert_eq!(find_coordinator(new, "g", 0).await, 0);
    assert_eq!(fetch_offsets(old, "other").await, 0, "another group");
    for _ in 0..2 {
        assert_eq!(fetch_offsets(old, "g").await, NOT_COORDINATOR);
    }
    assert_eq!(find_coordinator(old, "other", 0).await, 0);
    assert_eq!(find_coordinator(old, "g", 1).await, 0, "a transactional id");
    assert_eq!(fetch_offsets(old, "g").await, NOT_COORDINATOR);
    assert_eq!(find_coordinator(old, "g", 0).await, 0);
    assert_eq!(fetch_offsets(old, "g").await, 0);
    assert_eq!(fetch_offsets(bystander, "g").await, 0);
}

#[tokio::test]
async fn members_by_heartbeat_look_for_a_coordinator_that_moved_too() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let client = &mut RawClient::connect(&test.broker).await;
    let join = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group("g"))
        .with_member_id(text("m"))
        .with_rebalance_timeout_ms(30_000)
        .with_subscribed_topic_names(Some(vec![name("t")]))
        .with_topic_partitions(Some(Vec::new()));
    let joined = client.call(1, &join).await;
    assert_eq!(joined.error_code, 0);
    let beat = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group("g"))
        .with_member_id(text("m"))
        .with_member_epoch(joined.member_epoch);

    let of = Coordinated::Group("g".into());
    test.broker.faults().move_coordinator(of);

    assert_eq!(client.call(1, &beat).await.error_code, NOT_COORDINATOR);
    assert_eq!(find_coordinator(client, "g", 0).await, 0);
    assert_eq!(client.call(1, &beat).await.error_code, 0);
}

#[tokio::test]
async fn a_transaction_goes_on_with_its_coordinator_that_moved() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let client = &mut RawClient::connect(&test.broker).await;
    let mut producer = Producer::init(client, NEWEST, "a", 60_000).await;
    producer.add_partition(client, 0).await;
    producer.produce(client).await;

    let of = Coordinated::Transaction("a".into());
    test.broker.faults().move_coordinator(of);

    assert_eq!(
        producer.produce(client).await,
        0,
        "no matter of coordinators"
    );
    assert_eq!(producer.add_partition(client, 0).await, NOT_COORDINATOR);
    assert_eq!(producer.add_group(client, "g").await, NOT_COORDINATOR);
    assert_eq!(producer.init_again(client).await, NOT_COORDINATOR);
    assert_eq!(producer.end(client, true).await, NOT_COORDINATOR);
    assert_eq!(find_coordinator(client, "a", 1).await, 0);
    assert_eq!(producer.end(client, true).await, 0);
}

#[tokio::test]
async fn members_of_a_group_that_must_rebalance_are_told_and_join_the_next_generation() {
    let test = TestBroker::start().await;
    let faults = test.broker.faults();
    assert!(!faults.force_rebalance("g"), "nobody is in it");
    let client = &mut RawClient::connect(&test.broker).await;
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
    let heartbeat = HeartbeatRequest::default()
        .with_group_id(group("g"))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone());
    assert_eq!(client.call(2, &heartbeat).await.error_code, 0);

    assert!(faults.force_rebalance("g"));

    let told = client.call(2, &heartbeat).await.error_code;
    assert_eq!(told, REBALANCE_IN_PROGRESS);
    let again = client.call(2, &join.with_member_id(joined.member_id)).await;
    assert_eq!(again.generation_id, joined.generation_id + 1);
}
