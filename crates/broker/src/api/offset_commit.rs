//! OffsetCommit: where a group goes on from.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::OffsetCommitRequest;
use kafka_protocol::messages::offset_commit_request::OffsetCommitRequestPartition;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

use super::code;
use crate::catalog::Topic;
use crate::group::{Caller, Committed, Offsets};
use crate::node::Node;

/// Most characters of metadata with an offset: Kafka's `offset.metadata.max.bytes`.
const MAX_METADATA_BYTES: usize = 4_096;

pub(crate) fn handle(node: &Node, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let caller = Caller {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_ref().map(ToString::to_string),
        generation: request.generation_id_or_member_epoch,
    };
    let topics = node.catalog.topics();
    let mut offsets = Offsets::default();
    let mut checked = Vec::with_capacity(request.topics.len());
    for asked in &request.topics {
        let topic = topics.get(&asked.name).map(|topic| &**topic);
        let results: Vec<Result<(), ResponseError>> = asked
            .partitions
            .iter()
            .map(|partition| {
                let committed = check(topic, partition)?;
                offsets.set(&asked.name, partition.partition_index, committed);
                Ok(())
            })
            .collect();
        checked.push(results);
    }
    let committed = if request.group_id.is_empty() {
        Err(ResponseError::InvalidGroupId)
    } else {
        node.coordinator.commit(&request.group_id, &caller, offsets)
    };
    let responses = request
        .topics
        .into_iter()
        .zip(checked)
        .map(|(asked, results)| {
            let partitions = asked
                .partitions
                .iter()
                .zip(results)
                .map(|(partition, result)| {
                    OffsetCommitResponsePartition::default()
                        .with_partition_index(partition.partition_index)
                        .with_error_code(code(&result.and(committed)))
                });
            OffsetCommitResponseTopic::default()
                .with_partitions(partitions.collect())
                .with_name(asked.name)
        });
    OffsetCommitResponse::default().with_topics(responses.collect())
}

fn check(
    topic: Option<&Topic>,
    asked: &OffsetCommitRequestPartition,
) -> Result<Committed, ResponseError> {
    topic
        .and_then(|topic| topic.partition(asked.partition_index))
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    let metadata = asked.committed_metadata.as_deref().unwrap_or_default();
    if metadata.len() > MAX_METADATA_BYTES {
        return Err(ResponseError::OffsetMetadataTooLarge);
    }
    Ok(Committed {
        offset: asked.committed_offset,
        leader_epoch: asked.committed_leader_epoch,
        metadata: metadata.to_owned(),
    })
}
