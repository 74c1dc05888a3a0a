//! TxnOffsetCommit: where a group goes on from, if the transaction is committed.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::TxnOffsetCommitRequest;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};

use super::code;
use super::offset_commit::{check, metadata};
use crate::group::{Caller, Committed, Offsets};
use crate::node::Node;
use crate::transaction::Producer;

pub(crate) fn handle(node: &Node, request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
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
    let committed = commit(node, &request, offsets);
    let responses = request.topics.into_iter().zip(checked);
    let responses = responses.map(|(asked, results)| {
        let partitions = asked.partitions.iter().zip(results);
        let partitions = partitions.map(|(partition, result)| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code(&result.and(committed)))
        });
        TxnOffsetCommitResponseTopic::default()
            .with_partitions(partitions.collect())
            .with_name(asked.name)
    });
    TxnOffsetCommitResponse::default().with_topics(responses.collect())
}

fn commit(
    node: &Node,
    request: &TxnOffsetCommitRequest,
    offsets: Offsets,
) -> Result<(), ResponseError> {
    if request.group_id.is_empty() {
        return Err(ResponseError::InvalidGroupId);
    }
    let member = Caller {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_ref().map(ToString::to_string),
        generation: request.generation_id,
    };
    let producer = Producer {
        id: *request.producer_id,
        epoch: request.producer_epoch,
    };
    let group_id = &request.group_id;
    let commit = || {
        node.coordinator
            .commit_pending(group_id, &member, producer.id, offsets)
    };
    let id = &request.transactional_id;
    let committed = node.transactions.in_group(id, producer, group_id, commit);
    committed.map_err(|error| match error {
        // No version of this API has the newer error.
        ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
        error => error,
    })
}
