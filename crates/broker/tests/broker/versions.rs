//! Every API in every version that is offered: the answer is complete, and means what it should.

mod groups;
mod records;
mod topics;
pub(crate) mod transactions;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use crate::raw::RawClient;
use crate::support::TestBroker;
use transactions::{NEWEST, Versions};

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
        ApiKey::Produce => records::produce(client, version).await,
        ApiKey::Fetch => records::fetch(client, version).await,
        ApiKey::ListOffsets => records::list_offsets(client, version).await,
        ApiKey::DeleteRecords => records::delete_records(client, version).await,
        ApiKey::OffsetForLeaderEpoch => records::offset_for_leader_epoch(client, version).await,
        ApiKey::InitProducerId => {
            records::init_producer_id(client, version).await;
            let init = version;
            transactions::transaction(Versions { init, ..NEWEST }).await;
        }
        ApiKey::AddPartitionsToTxn => {
            let add_partitions = version;
            let versions = Versions {
                add_partitions,
                ..NEWEST
            };
            transactions::transaction(versions).await;
        }
        ApiKey::AddOffsetsToTxn => {
            let add_offsets = version;
            let versions = Versions {
                add_offsets,
                ..NEWEST
            };
            transactions::transaction(versions).await;
        }
        ApiKey::TxnOffsetCommit => {
            let commit_offsets = version;
            let versions = Versions {
                commit_offsets,
                ..NEWEST
            };
            transactions::transaction(versions).await;
        }
        ApiKey::EndTxn => {
            let end = version;
            transactions::transaction(Versions { end, ..NEWEST }).await;
        }
        ApiKey::DescribeTransactions => {
            transactions::describe_transactions(client, version).await;
        }
        ApiKey::ListTransactions => transactions::list_transactions(client, version).await,
        ApiKey::ApiVersions => topics::api_versions(client, version).await,
        ApiKey::Metadata => topics::metadata(client, version).await,
        ApiKey::DescribeCluster => topics::describe_cluster(client, version).await,
        ApiKey::CreateTopics => topics::create_topics(client, version).await,
        ApiKey::DeleteTopics => topics::delete_topics(client, version).await,
        ApiKey::CreatePartitions => topics::create_partitions(client, version).await,
        ApiKey::DescribeConfigs => topics::describe_configs(client, version).await,
        ApiKey::IncrementalAlterConfigs => topics::alter_configs(client, version).await,
        ApiKey::FindCoordinator => groups::find_coordinator(client, version).await,
        ApiKey::JoinGroup => groups::membership(client, [version, 3, 3, 3]).await,
        ApiKey::SyncGroup => groups::membership(client, [5, version, 3, 3]).await,
        ApiKey::Heartbeat => groups::membership(client, [5, 3, version, 3]).await,
        ApiKey::LeaveGroup => groups::membership(client, [5, 3, 3, version]).await,
        ApiKey::OffsetCommit => groups::offsets(client, version, 7).await,
        ApiKey::OffsetFetch => groups::offsets(client, 7, version).await,
        ApiKey::ConsumerGroupHeartbeat => groups::consumer_protocol(client, version, 1).await,
        ApiKey::ConsumerGroupDescribe => groups::consumer_protocol(client, 1, version).await,
        ApiKey::OffsetDelete => groups::offset_delete(client, version).await,
        ApiKey::ListGroups => groups::list_groups(client, version).await,
        ApiKey::DescribeGroups => groups::describe_groups(client, version).await,
        ApiKey::DeleteGroups => groups::delete_groups(client, version).await,
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
    batch_in(false, producer_id, epoch, sequence)
}

/// One record in a batch that belongs to a transaction, with a key, as compacted topics want it.
pub(crate) fn transactional(producer_id: i64, epoch: i16, sequence: i32) -> Bytes {
    batch_in(true, producer_id, epoch, sequence)
}

fn batch_in(transactional: bool, producer_id: i64, epoch: i16, sequence: i32) -> Bytes {
    let idempotent = producer_id != NO_PRODUCER_ID;
    let record = Record {
        transactional,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id,
        producer_epoch: if idempotent { epoch } else { NO_PRODUCER_EPOCH },
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: if idempotent { sequence } else { NO_SEQUENCE },
        timestamp: 1_000,
        key: transactional.then(|| Bytes::from_static(b"key")),
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
