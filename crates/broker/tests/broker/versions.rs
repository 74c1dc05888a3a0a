//! Every API in every version that is offered: the answer is complete, and means what it should.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use kafka_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use kafka_protocol::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use kafka_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use kafka_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use kafka_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use kafka_protocol::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, DeleteGroupsRequest, DescribeClusterRequest, DescribeGroupsRequest,
    FindCoordinatorRequest, GroupId, HeartbeatRequest, InitProducerIdRequest, ListGroupsRequest,
    TopicName,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use uuid::Uuid;

use crate::raw::RawClient;
use crate::support::TestBroker;

const TOPIC: i8 = 2;

#[tokio::test]
async fn every_offered_version_is_answered_in_full() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let mut client = RawClient::connect(&test.broker).await;
    let offered = client
        .call(0, &ApiVersionsRequest::default())
        .await
        .api_keys;
    assert!(offered.len() > 20);

    for api in offered {
        let key = ApiKey::try_from(api.api_key).unwrap();
        for version in api.min_version..=api.max_version {
            exercise(&mut client, key, version).await;
        }
    }
}

async fn exercise(client: &mut RawClient, key: ApiKey, version: i16) {
    match key {
        ApiKey::Produce => produce(client, version).await,
        ApiKey::Fetch => fetch(client, version).await,
        ApiKey::ListOffsets => list_offsets(client, version).await,
        ApiKey::InitProducerId => init_producer_id(client, version).await,
        ApiKey::ApiVersions => api_versions(client, version).await,
        ApiKey::Metadata => metadata(client, version).await,
        ApiKey::DescribeCluster => describe_cluster(client, version).await,
        ApiKey::CreateTopics => create_topics(client, version).await,
        ApiKey::DeleteTopics => delete_topics(client, version).await,
        ApiKey::CreatePartitions => create_partitions(client, version).await,
        ApiKey::DescribeConfigs => describe_configs(client, version).await,
        ApiKey::IncrementalAlterConfigs => alter_configs(client, version).await,
        ApiKey::FindCoordinator => find_coordinator(client, version).await,
        ApiKey::JoinGroup => membership(client, [version, 3, 3, 3]).await,
        ApiKey::SyncGroup => membership(client, [5, version, 3, 3]).await,
        ApiKey::Heartbeat => membership(client, [5, 3, version, 3]).await,
        ApiKey::LeaveGroup => membership(client, [5, 3, 3, version]).await,
        ApiKey::OffsetCommit => offsets(client, version, 7).await,
        ApiKey::OffsetFetch => offsets(client, 7, version).await,
        ApiKey::OffsetDelete => offset_delete(client, version).await,
        ApiKey::ListGroups => list_groups(client, version).await,
        ApiKey::DescribeGroups => describe_groups(client, version).await,
        ApiKey::DeleteGroups => delete_groups(client, version).await,
        other => panic!("{other:?} is offered, and not tested here"),
    }
}

pub(crate) fn name(name: &'static str) -> TopicName {
    TopicName(text(name))
}

pub(crate) fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

pub(crate) fn group(id: &'static str) -> GroupId {
    GroupId(text(id))
}

/// One record in a batch, from an idempotent producer unless its id is -1.
pub(crate) fn batch(producer_id: i64, epoch: i16, sequence: i32) -> Bytes {
    let idempotent = producer_id != NO_PRODUCER_ID;
    let record = Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id,
        producer_epoch: if idempotent { epoch } else { NO_PRODUCER_EPOCH },
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: if idempotent { sequence } else { NO_SEQUENCE },
        timestamp: 1_000,
        key: None,
        value: Some(Bytes::from_static(b"value")),
        headers: Default::default(),
    };
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, [&record], &options).unwrap();
    bytes.freeze()
}

pub(crate) fn produce_request(topic: TopicName, records: Bytes) -> ProduceRequest {
    let partition = PartitionProduceData::default().with_records(Some(records));
    let topic = TopicProduceData::default()
        .with_name(topic)
        .with_partition_data(vec![partition]);
    ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(1_000)
        .with_topic_data(vec![topic])
}

async fn topic_id(client: &mut RawClient) -> Uuid {
    let answer = client
        .call(12, &MetadataRequest::default().with_topics(None))
        .await;
    answer.topics[0].topic_id
}

async fn produce(client: &mut RawClient, version: i16) {
    let before = end_offset(client).await;

    let answer = client
        .call(version, &produce_request(name("t"), batch(-1, -1, -1)))
        .await;
    let missing = client
        .call(version, &produce_request(name("x"), batch(-1, -1, -1)))
        .await;

    let partition = &answer.responses[0].partition_responses[0];
    assert_eq!((partition.error_code, partition.base_offset), (0, before));
    assert_eq!(missing.responses[0].partition_responses[0].error_code, 3);
}

async fn end_offset(client: &mut RawClient) -> i64 {
    list(client, 2, -1).await.1
}

async fn list(client: &mut RawClient, version: i16, timestamp: i64) -> (i16, i64) {
    let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default()
        .with_name(name("t"))
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_topics(vec![topic]);
    let answer = client.call(version, &request).await;
    let partition = &answer.topics[0].partitions[0];
    (partition.error_code, partition.offset)
}

async fn list_offsets(client: &mut RawClient, version: i16) {
    let end = end_offset(client).await;

    assert_eq!(list(client, version, -1).await, (0, end));
    assert_eq!(list(client, version, -2).await, (0, 0));
    assert_eq!(list(client, version, 1_000).await, (0, 0));
    assert_eq!(list(client, version, 1_001).await, (0, -1));
}

async fn fetch(client: &mut RawClient, version: i16) {
    let id = topic_id(client).await;
    let end = end_offset(client).await;
    let request = |offset| {
        let partition = FetchPartition::default()
            .with_fetch_offset(offset)
            .with_partition_max_bytes(1_000_000);
        let topic = FetchTopic::default().with_partitions(vec![partition]);
        let topic = if version >= 13 {
            topic.with_topic_id(id)
        } else {
            topic.with_topic(name("t"))
        };
        FetchRequest::default()
            .with_max_bytes(1_000_000)
            .with_topics(vec![topic])
    };

    let first = client.call(version, &request(end - 1)).await;
    let outside = client.call(version, &request(end + 1)).await;

    let partition = &first.responses[0].partitions[0];
    assert_eq!((partition.error_code, partition.high_watermark), (0, end));
    let records = partition.records.clone().unwrap();
    assert_eq!(records[..8], (end - 1).to_be_bytes());
    assert_eq!(outside.responses[0].partitions[0].error_code, 1);
}

async fn init_producer_id(client: &mut RawClient, version: i16) {
    let request = InitProducerIdRequest::default().with_transactional_id(None);

    let first = client.call(version, &request).await;
    let second = client.call(version, &request).await;

    assert_eq!((first.error_code, first.producer_epoch), (0, 0));
    assert_ne!(first.producer_id, second.producer_id);
}

async fn api_versions(client: &mut RawClient, version: i16) {
    let answer = client.call(version, &ApiVersionsRequest::default()).await;

    assert_eq!(answer.error_code, 0);
    assert!(
        answer
            .api_keys
            .iter()
            .any(|api| api.api_key == ApiKey::Fetch as i16)
    );
}

async fn metadata(client: &mut RawClient, version: i16) {
    let asked = |topic| MetadataRequestTopic::default().with_name(Some(name(topic)));
    let all = (version > 0)
        .then_some(())
        .map_or(Some(Vec::new()), |()| None);

    let all = client
        .call(version, &MetadataRequest::default().with_topics(all))
        .await;
    let request = MetadataRequest::default().with_topics(Some(vec![asked("t"), asked("x")]));
    let two = client.call(version, &request).await;

    assert_eq!((all.brokers.len(), all.topics.len()), (1, 1));
    let codes: Vec<i16> = two.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes, [0, 3]);
    assert_eq!(
        two.topics[0].partitions[0].leader_id,
        two.brokers[0].node_id
    );
}

async fn describe_cluster(client: &mut RawClient, version: i16) {
    let answer = client
        .call(version, &DescribeClusterRequest::default())
        .await;

    assert_eq!((answer.error_code, answer.brokers.len()), (0, 1));
}

async fn create_topics(client: &mut RawClient, version: i16) {
    let topic = CreatableTopic::default()
        .with_name(name("created"))
        .with_num_partitions(2)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]);

    let created = client.call(version, &request).await;
    let again = client.call(version, &request).await;

    assert_eq!(
        (created.topics[0].error_code, again.topics[0].error_code),
        (0, 36)
    );
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![name("created")]);
    client.call(1, &delete).await;
}

async fn delete_topics(client: &mut RawClient, version: i16) {
    let topic = CreatableTopic::default()
        .with_name(name("deleted"))
        .with_num_partitions(1)
        .with_replication_factor(1);
    client
        .call(2, &CreateTopicsRequest::default().with_topics(vec![topic]))
        .await;
    let request = if version >= 6 {
        let by_name = DeleteTopicState::default().with_name(Some(name("deleted")));
        DeleteTopicsRequest::default().with_topics(vec![by_name])
    } else {
        DeleteTopicsRequest::default().with_topic_names(vec![name("deleted")])
    };

    let deleted = client.call(version, &request).await;
    let again = client.call(version, &request).await;

    assert_eq!(
        (
            deleted.responses[0].error_code,
            again.responses[0].error_code
        ),
        (0, 3)
    );
}

async fn create_partitions(client: &mut RawClient, version: i16) {
    let grow = |topic, count| {
        let topic = CreatePartitionsTopic::default()
            .with_name(name(topic))
            .with_count(count)
            .with_assignments(None);
        CreatePartitionsRequest::default()
            .with_topics(vec![topic])
            .with_validate_only(true)
    };

    let more = client.call(version, &grow("t", 5)).await;
    let fewer = client.call(version, &grow("t", 1)).await;

    assert_eq!(
        (more.results[0].error_code, fewer.results[0].error_code),
        (0, 37)
    );
}

async fn describe_configs(client: &mut RawClient, version: i16) {
    let resource = |topic| {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(topic))
            .with_configuration_keys(None);
        DescribeConfigsRequest::default()
            .with_resources(vec![resource])
            .with_include_synonyms(true)
    };

    let described = client.call(version, &resource("t")).await;
    let missing = client.call(version, &resource("x")).await;

    assert!(described.results[0].configs.len() > 20);
    assert_eq!(
        (
            described.results[0].error_code,
            missing.results[0].error_code
        ),
        (0, 3)
    );
}

async fn alter_configs(client: &mut RawClient, version: i16) {
    let set = |value| {
        let config = AlterableConfig::default()
            .with_name(text("retention.ms"))
            .with_value(Some(text(value)));
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text("t"))
            .with_configs(vec![config]);
        IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
    };

    let altered = client.call(version, &set("5000")).await;
    let refused = client.call(version, &set("soon")).await;

    assert_eq!(
        (
            altered.responses[0].error_code,
            refused.responses[0].error_code
        ),
        (0, 40)
    );
}

async fn find_coordinator(client: &mut RawClient, version: i16) {
    let request = FindCoordinatorRequest::default();
    if version < 4 {
        let answer = client.call(version, &request.with_key(text("g"))).await;
        assert_eq!((answer.error_code, answer.node_id.0), (0, 1));
    } else {
        let several = request.with_coordinator_keys(vec![text("g"), text("h")]);
        let answer = client.call(version, &several).await;
        assert_eq!(answer.coordinators.len(), 2);
        assert_eq!(
            (
                answer.coordinators[1].error_code,
                answer.coordinators[1].node_id.0
            ),
            (0, 1)
        );
    }
}

/// One member joins, syncs, lives and leaves; the versions are those of the four APIs.
async fn membership(client: &mut RawClient, [join, sync, beat, leave]: [i16; 4]) {
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text("range"))
        .with_metadata(Bytes::from_static(b"metadata"));
    let request = JoinGroupRequest::default()
        .with_group_id(group("members"))
        .with_session_timeout_ms(5_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    let request = if join > 0 {
        request.with_rebalance_timeout_ms(5_000)
    } else {
        request
    };
    let mut joined = client.call(join, &request).await;
    if joined.error_code == 79 {
        assert!(join >= 4, "older clients do not know this error");
        joined = client
            .call(join, &request.with_member_id(joined.member_id))
            .await;
    }
    assert_eq!((joined.error_code, joined.members.len()), (0, 1));
    assert_eq!(joined.leader, joined.member_id);

    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(joined.member_id.clone())
        .with_assignment(Bytes::from_static(b"assignment"));
    let request = SyncGroupRequest::default()
        .with_group_id(group("members"))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone())
        .with_assignments(vec![assignment]);
    let synced = client.call(sync, &request).await;
    assert_eq!(
        (synced.error_code, &synced.assignment[..]),
        (0, &b"assignment"[..])
    );

    let request = HeartbeatRequest::default()
        .with_group_id(group("members"))
        .with_generation_id(joined.generation_id)
        .with_member_id(joined.member_id.clone());
    assert_eq!(client.call(beat, &request).await.error_code, 0);

    let request = LeaveGroupRequest::default().with_group_id(group("members"));
    let request = if leave < 3 {
        request.with_member_id(joined.member_id)
    } else {
        request.with_members(vec![
            MemberIdentity::default().with_member_id(joined.member_id),
        ])
    };
    let left = client.call(leave, &request).await;
    assert_eq!(left.error_code, 0);
    assert!(left.members.iter().all(|member| member.error_code == 0));
}

async fn offsets(client: &mut RawClient, commit: i16, fetch: i16) {
    let partition = OffsetCommitRequestPartition::default()
        .with_committed_offset(7)
        .with_committed_metadata(Some(text("note")));
    let topic = OffsetCommitRequestTopic::default()
        .with_name(name("t"))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(group("offsets"))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    let committed = client.call(commit, &request).await;
    assert_eq!(committed.topics[0].partitions[0].error_code, 0);

    if fetch < 8 {
        let topic = OffsetFetchRequestTopic::default()
            .with_name(name("t"))
            .with_partition_indexes(vec![0, 1]);
        let request = OffsetFetchRequest::default()
            .with_group_id(group("offsets"))
            .with_topics(Some(vec![topic]));
        let fetched = client.call(fetch, &request).await;
        let partitions = &fetched.topics[0].partitions;
        assert_eq!(
            (
                partitions[0].committed_offset,
                partitions[1].committed_offset
            ),
            (7, -1)
        );
        assert_eq!(partitions[0].metadata.as_deref(), Some("note"));
    } else {
        let topic = OffsetFetchRequestTopics::default()
            .with_name(name("t"))
            .with_partition_indexes(vec![0]);
        let asked = |id, topics| {
            OffsetFetchRequestGroup::default()
                .with_group_id(group(id))
                .with_topics(topics)
        };
        let request = OffsetFetchRequest::default().with_groups(vec![
            asked("offsets", Some(vec![topic])),
            asked("offsets", None),
            asked("nobody", None),
        ]);
        let fetched = client.call(fetch, &request).await;
        assert_eq!(
            fetched.groups[0].topics[0].partitions[0].committed_offset,
            7
        );
        assert_eq!(
            fetched.groups[1].topics[0].partitions[0].committed_offset,
            7
        );
        assert!(fetched.groups[2].topics.is_empty());
    }
}

async fn offset_delete(client: &mut RawClient, version: i16) {
    offsets(client, 7, 7).await;
    let partition = OffsetDeleteRequestPartition::default();
    let topic = OffsetDeleteRequestTopic::default()
        .with_name(name("t"))
        .with_partitions(vec![partition]);
    let request = OffsetDeleteRequest::default()
        .with_group_id(group("offsets"))
        .with_topics(vec![topic]);

    let deleted = client.call(version, &request).await;
    let nobody = client
        .call(version, &request.with_group_id(group("nobody")))
        .await;

    assert_eq!((deleted.error_code, nobody.error_code), (0, 69));
    assert_eq!(deleted.topics[0].partitions[0].error_code, 0);
}

async fn list_groups(client: &mut RawClient, version: i16) {
    offsets(client, 7, 7).await;

    let listed = client.call(version, &ListGroupsRequest::default()).await;

    assert!(
        listed
            .groups
            .iter()
            .any(|listed| listed.group_id == group("offsets"))
    );
}

async fn describe_groups(client: &mut RawClient, version: i16) {
    offsets(client, 7, 7).await;
    let request =
        DescribeGroupsRequest::default().with_groups(vec![group("offsets"), group("nobody")]);

    let described = client.call(version, &request).await;

    let states: Vec<&str> = described
        .groups
        .iter()
        .map(|group| &*group.group_state)
        .collect();
    assert_eq!(states, ["Empty", "Dead"]);
}

async fn delete_groups(client: &mut RawClient, version: i16) {
    offsets(client, 7, 7).await;
    let request = DeleteGroupsRequest::default().with_groups_names(vec![group("offsets")]);

    let deleted = client.call(version, &request).await;
    let again = client.call(version, &request).await;

    assert_eq!(
        (deleted.results[0].error_code, again.results[0].error_code),
        (0, 69)
    );
}
