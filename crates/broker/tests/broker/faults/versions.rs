//! Every error answer, in every version the broker offers.

use std::collections::HashMap;

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic,
};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ApiVersionsRequest, EndTxnRequest,
    FetchRequest, FindCoordinatorRequest, HeartbeatRequest, InitProducerIdRequest,
    JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
    TxnOffsetCommitRequest,
};
use longshore_broker::faults::{ApiKey, Effect, Fault, ResponseError};

use crate::raw::RawClient;
use crate::support::TestBroker;
use crate::versions::{batch, group, name, produce_request, text};

const FAILING: [ApiKey; 14] = [
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::SyncGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::InitProducerId,
    ApiKey::AddPartitionsToTxn,
    ApiKey::AddOffsetsToTxn,
    ApiKey::TxnOffsetCommit,
    ApiKey::EndTxn,
];

/// The lowest and the highest version of each API.
async fn offered(client: &mut RawClient) -> HashMap<i16, (i16, i16)> {
    let answer = client.call(0, &ApiVersionsRequest::default()).await;
    let versions = answer.api_keys.iter();
    versions
        .map(|api| (api.api_key, (api.min_version, api.max_version)))
        .collect()
}

/// Sends a request for one partition, group or transactional id, and returns the error of the answer.
async fn error_of(client: &mut RawClient, api: ApiKey, version: i16) -> i16 {
    match api {
        ApiKey::Produce => {
            let request = produce_request(name("t"), batch(-1, -1, -1));
            let answer = client.call(version, &request).await;
            answer.responses[0].partition_responses[0].error_code
        }
        ApiKey::Fetch => fetch(client, version).await,
        ApiKey::OffsetCommit => {
            let partition = OffsetCommitRequestPartition::default();
            let topic = OffsetCommitRequestTopic::default()
                .with_name(name("t"))
                .with_partitions(vec![partition]);
            let request = OffsetCommitRequest::default()
                .with_group_id(group("g"))
                .with_topics(vec![topic]);
            let answer = client.call(version, &request).await;
            answer.topics[0].partitions[0].error_code
        }
        ApiKey::OffsetFetch => fetch_offsets(client, version).await,
        ApiKey::AddPartitionsToTxn => {
            let topic = AddPartitionsToTxnTopic::default()
                .with_name(name("t"))
                .with_partitions(vec![0]);
            let request =
                AddPartitionsToTxnRequest::default().with_v3_and_below_topics(vec![topic]);
            let answer = client.call(version, &request).await;
            let topic = &answer.results_by_topic_v3_and_below[0];
            topic.results_by_partition[0].partition_error_code
        }
        ApiKey::TxnOffsetCommit => {
            let partition = TxnOffsetCommitRequestPartition::default();
            let topic = TxnOffsetCommitRequestTopic::default()
                .with_name(name("t"))
                .with_partitions(vec![partition]);
            let request = TxnOffsetCommitRequest::default()
                .with_group_id(group("g"))
                .with_topics(vec![topic]);
            let answer = client.call(version, &request).await;
            answer.topics[0].partitions[0].error_code
        }
        ApiKey::FindCoordinator if version < 4 => {
            let request = FindCoordinatorRequest::default().with_key(text("g"));
            client.call(version, &request).await.error_code
        }
        ApiKey::FindCoordinator => {
            let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")]);
            let answer = client.call(version, &request).await;
            answer.coordinators[0].error_code
        }
        other => error_of_whole(client, other, version).await,
    }
}

/// As [`error_of`], for the APIs whose answers have one error.
async fn error_of_whole(client: &mut RawClient, api: ApiKey, version: i16) -> i16 {
    match api {
        ApiKey::JoinGroup => {
            let request = JoinGroupRequest::default();
            client.call(version, &request).await.error_code
        }
        ApiKey::SyncGroup => {
            let request = SyncGroupRequest::default();
            client.call(version, &request).await.error_code
        }
        ApiKey::Heartbeat => {
            let request = HeartbeatRequest::default();
            client.call(version, &request).await.error_code
        }
        ApiKey::LeaveGroup => {
            let request = LeaveGroupRequest::default();
            client.call(version, &request).await.error_code
        }
        ApiKey::InitProducerId => {
            let request = InitProducerIdRequest::default();
            client.call(version, &request).await.error_code
        }
        ApiKey::AddOffsetsToTxn => {
            let request = AddOffsetsToTxnRequest::default();
            client.call(version, &request).await.error_code
        }
        ApiKey::EndTxn => {
            let request = EndTxnRequest::default();
            client.call(version, &request).await.error_code
        }
        other => panic!("{other:?} is not tested here"),
    }
}

async fn fetch(client: &mut RawClient, version: i16) -> i16 {
    let topic = FetchTopic::default().with_partitions(vec![FetchPartition::default()]);
    let topic = if version < 13 {
        topic.with_topic(name("t"))
    } else {
        topic.with_topic_id(uuid::Uuid::from_u128(1))
    };
    let request = FetchRequest::default().with_topics(vec![topic]);
    let answer = client.call(version, &request).await;
    answer.responses[0].partitions[0].error_code
}

async fn fetch_offsets(client: &mut RawClient, version: i16) -> i16 {
    if version >= 8 {
        let group = OffsetFetchRequestGroup::default().with_group_id(group("g"));
        let request = OffsetFetchRequest::default().with_groups(vec![group]);
        let answer = client.call(version, &request).await;
        return answer.groups[0].error_code;
    }
    let topic = OffsetFetchRequestTopic::default()
        .with_name(name("t"))
        .with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default()
        .with_group_id(group("g"))
        .with_topics(Some(vec![topic]));
    let answer = client.call(version, &request).await;
    if version >= 2 {
        return answer.error_code;
    }
    answer.topics[0].partitions[0].error_code
}

#[tokio::test]
async fn an_error_answer_can_be_read_in_every_version() {
    let test = TestBroker::start().await;
    let client = &mut RawClient::connect(&test.broker).await;
    let offered = offered(client).await;
    // An error that the broker gives of itself to none of these requests.
    let error = ResponseError::PolicyViolation;

    for api in FAILING {
        let (lowest, highest) = offered[&(api as i16)];
        for version in lowest..=highest {
            test.inject(Fault::new(api, Effect::Fail(error)));
            let code = error_of(client, api, version).await;
            assert_eq!(code, error.code(), "{api:?} version {version}");
        }
    }
}
