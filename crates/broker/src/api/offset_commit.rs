//! OffsetCommit: where a group goes on from.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::OffsetCommitRequest;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::protocol::StrBytes;

use super::code;
use crate::catalog::Topic;
use crate::group::{Caller, Committed, Offsets};
use crate::node::Node;
use crate::wire::Call;

/// Most characters of metadata with an offset: Kafka's `offset.metadata.max.bytes`.
const MAX_METADATA_BYTES: usize = 4_096;

/// The first version whose clients know the epochs of members (KIP-848).
const MEMBER_EPOCH_SINCE: i16 = 9;

pub(crate) fn handle(
    node: &Node,
    call: &Call,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
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
                let committed = Committed {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: metadata(&partition.committed_metadata),
                };
                check(topic, partition.partition_index, &committed)?;
                offsets.set(&asked.name, partition.partition_index, committed);
                Ok(())
            })
            .collect();
        checked.push(results);
    }
    let committed = if request.group_id.is_empty() {
        Err(ResponseError::InvalidGroupId)
    } else {
        let committed = node.coordinator.commit(&request.group_id, &caller, offsets);
        committed.map_err(|error| match error {
            ResponseError::StaleMemberEpoch if call.version < MEMBER_EPOCH_SINCE => {
                ResponseError::IllegalGeneration
            }
            error => error,
        })
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

/// Whether `committed` may be committed for a partition.
pub(super) fn check(
    topic: Option<&Topic>,
    partition: i32,
    committed: &Committed,
) -> Result<(), ResponseError> {
    topic
        .and_then(|topic| topic.partition(partition))
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    if committed.metadata.len() > MAX_METADATA_BYTES {
        return Err(ResponseError::OffsetMetadataTooLarge);
    }
    Ok(())
}

/// No metadata and empty metadata are the same.
pub(super) fn metadata(metadata: &Option<StrBytes>) -> String {
    metadata.as_deref().unwrap_or_default().to_owned()
}
