//! Records: producing, fetching, and where they are.

use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kafka_protocol::messages::metadata_request::MetadataRequest;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{BrokerId, InitProducerIdRequest};
use uuid::Uuid;

use super::{batch, name, produce_request};
use crate::raw::RawClient;

pub(super) async fn topic_id(client: &mut RawClient) -> Uuid {
    let answer = client
        .call(12, &MetadataRequest::default().with_topics(None))
        .await;
    answer.topics[0].topic_id
}

pub(super) async fn produce(client: &mut RawClient, version: i16) {
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

pub(super) async fn end_offset(client: &mut RawClient) -> i64 {
    list(client, 2, -1).await.1
}

pub(super) async fn list(client: &mut RawClient, version: i16, timestamp: i64) -> (i16, i64) {
    let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default()
        .with_name(name("t"))
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_topics(vec![topic]);
    let answer = client.call(version, &request).await;
    let partition = &answer.topics[0].partitions[0];
    (partition.error_code, partition.offset)
}

pub(super) async fn list_offsets(client: &mut RawClient, version: i16) {
    let end = end_offset(client).await;

    assert_eq!(list(client, version, -1).await, (0, end));
    assert_eq!(list(client, version, -2).await, (0, 0));
    assert_eq!(list(client, version, 1_000).await, (0, 0));
    assert_eq!(list(client, version, 1_001).await, (0, -1));
    assert_eq!(list(client, version, -7).await, (35, -1));
}

pub(super) async fn fetch(client: &mut RawClient, version: i16) {
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

pub(super) async fn delete_records(client: &mut RawClient, version: i16) {
    let end = end_offset(client).await;
    let delete = |topic: &'static str, offset: i64| {
        let partition = DeleteRecordsPartition::default().with_offset(offset);
        let topic = DeleteRecordsTopic::default()
            .with_name(name(topic))
            .with_partitions(vec![partition]);
        DeleteRecordsRequest::default().with_topics(vec![topic])
    };

    let mut results = Vec::new();
    for request in [delete("t", 1), delete("t", end + 1), delete("x", 0)] {
        let answer = client.call(version, &request).await;
        let partition = &answer.topics[0].partitions[0];
        results.push((partition.error_code, partition.low_watermark));
    }

    assert_eq!(results, [(0, 1), (1, -1), (3, -1)]);
    assert_eq!(list(client, 8, -2).await, (0, 1));
}

pub(super) async fn offset_for_leader_epoch(client: &mut RawClient, version: i16) {
    let end = end_offset(client).await;
    let ask = |current: i32, epoch: i32| {
        let partition = OffsetForLeaderPartition::default()
            .with_current_leader_epoch(current)
            .with_leader_epoch(epoch);
        let topic = OffsetForLeaderTopic::default()
            .with_topic(name("t"))
            .with_partitions(vec![partition]);
        let request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
        // A consumer, and no replica.
        match version {
            3.. => request.with_replica_id(BrokerId(-1)),
            _ => request,
        }
    };

    let mut results = Vec::new();
    for request in [ask(0, 0), ask(-1, 7), ask(7, 0)] {
        let answer = client.call(version, &request).await;
        let partition = &answer.topics[0].partitions[0];
        results.push((
            partition.error_code,
            partition.leader_epoch,
            partition.end_offset,
        ));
    }

    assert_eq!(results, [(0, 0, end), (0, -1, -1), (75, -1, -1)]);
}

pub(super) async fn init_producer_id(client: &mut RawClient, version: i16) {
    let request = InitProducerIdRequest::default().with_transactional_id(None);

    let first = client.call(version, &request).await;
    let second = client.call(version, &request).await;

    assert_eq!((first.error_code, first.producer_epoch), (0, 0));
    assert_ne!(first.producer_id, second.producer_id);
}
