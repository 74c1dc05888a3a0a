//! The APIs the broker offers: which versions, and who answers.
//!
//! Everything that is not in `OFFERED` is not there: no authentication and no quotas. A version is offered only if its encoding is tested.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod api_versions;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_transactions;
mod end_txn;
pub(crate) mod failure;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_groups;
mod list_offsets;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sync_group;
mod txn_offset_commit;

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;

use crate::catalog::ChangeError;
use crate::log::LEADER_EPOCH;
use crate::node::Node;
use crate::wire::{Call, WireError};

/// The APIs there are, with the lowest and the highest version.
pub(crate) const OFFERED: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 3, 11),
    (ApiKey::Fetch, 4, 17),
    (ApiKey::ListOffsets, 1, 8),
    (ApiKey::Metadata, 0, 12),
    (ApiKey::OffsetCommit, 2, 9),
    (ApiKey::OffsetFetch, 1, 9),
    (ApiKey::FindCoordinator, 0, 4),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 5),
    (ApiKey::ListGroups, 0, 5),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::DeleteTopics, 1, 6),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::InitProducerId, 0, 4),
    (ApiKey::OffsetForLeaderEpoch, 2, 4),
    (ApiKey::AddPartitionsToTxn, 0, 3),
    (ApiKey::AddOffsetsToTxn, 0, 3),
    (ApiKey::EndTxn, 0, 3),
    (ApiKey::TxnOffsetCommit, 0, 3),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::DeleteGroups, 0, 2),
    (ApiKey::IncrementalAlterConfigs, 0, 1),
    (ApiKey::OffsetDelete, 0, 0),
    (ApiKey::DescribeCluster, 0, 1),
    (ApiKey::DescribeTransactions, 0, 0),
    (ApiKey::ListTransactions, 0, 1),
    (ApiKey::ConsumerGroupHeartbeat, 0, 1),
    (ApiKey::ConsumerGroupDescribe, 0, 1),
];

/// Answers `call` with `body`; `None` when the client does not want an answer.
pub(crate) async fn answer(
    node: &Node,
    call: &Call,
    body: Bytes,
) -> Result<Option<BytesMut>, WireError> {
    if !is_offered(call) {
        return api_versions::refuse(call).map(Some);
    }
    let answer = match call.api {
        ApiKey::Produce => match produce::handle(node, call, call.decode(body)?) {
            Some(answer) => call.encode(&answer),
            None => return Ok(None),
        },
        ApiKey::Fetch => call.encode(&fetch::handle(node, call, call.decode(body)?).await),
        ApiKey::ListOffsets => call.encode(&list_offsets::handle(node, call, call.decode(body)?)),
        ApiKey::OffsetForLeaderEpoch => {
            call.encode(&offset_for_leader_epoch::handle(node, call.decode(body)?))
        }
        ApiKey::DeleteRecords => call.encode(&delete_records::handle(node, call.decode(body)?)),

        ApiKey::InitProducerId => {
            call.encode(&init_producer_id::handle(node, call, call.decode(body)?))
        }
        ApiKey::AddPartitionsToTxn => call.encode(&add_partitions_to_txn::handle(
            node,
            call,
            call.decode(body)?,
        )),
        ApiKey::AddOffsetsToTxn => {
            call.encode(&add_offsets_to_txn::handle(node, call, &call.decode(body)?))
        }
        ApiKey::TxnOffsetCommit => {
            call.encode(&txn_offset_commit::handle(node, call.decode(body)?))
        }
        ApiKey::EndTxn => call.encode(&end_txn::handle(node, call, &call.decode(body)?)),
        ApiKey::DescribeTransactions => {
            call.encode(&describe_transactions::handle(node, call.decode(body)?))
        }
        ApiKey::ListTransactions => {
            call.encode(&list_transactions::handle(node, call, &call.decode(body)?))
        }

        ApiKey::ApiVersions => call.encode(&api_versions::handle()),
        ApiKey::Metadata => call.encode(&metadata::handle(node, call, call.decode(body)?)),
        ApiKey::DescribeCluster => call.encode(&describe_cluster::handle(node, call)),
        ApiKey::CreateTopics => call.encode(&create_topics::handle(node, call.decode(body)?)),
        ApiKey::DeleteTopics => call.encode(&delete_topics::handle(node, call, call.decode(body)?)),
        ApiKey::CreatePartitions => {
            call.encode(&create_partitions::handle(node, call.decode(body)?))
        }
        ApiKey::DescribeConfigs => call.encode(&describe_configs::handle(node, call.decode(body)?)),
        ApiKey::IncrementalAlterConfigs => {
            call.encode(&incremental_alter_configs::handle(node, call.decode(body)?))
        }

        ApiKey::FindCoordinator => call.encode(&find_coordinator::handle(call, call.decode(body)?)),
        ApiKey::JoinGroup => call.encode(&join_group::handle(node, call, call.decode(body)?).await),
        ApiKey::SyncGroup => call.encode(&sync_group::handle(node, call.decode(body)?).await),
        ApiKey::Heartbeat => call.encode(&heartbeat::handle(node, &call.decode(body)?)),
        ApiKey::LeaveGroup => call.encode(&leave_group::handle(node, call, call.decode(body)?)),
        ApiKey::ConsumerGroupHeartbeat => call.encode(&consumer_group_heartbeat::handle(
            node,
            call,
            call.decode(body)?,
        )),
        ApiKey::ConsumerGroupDescribe => call.encode(&consumer_group_describe::handle(
            node,
            call,
            call.decode(body)?,
        )),
        ApiKey::OffsetCommit => call.encode(&offset_commit::handle(node, call, call.decode(body)?)),
        ApiKey::OffsetFetch => call.encode(&offset_fetch::handle(node, call, call.decode(body)?)),
        ApiKey::OffsetDelete => call.encode(&offset_delete::handle(node, call.decode(body)?)),
        ApiKey::ListGroups => call.encode(&list_groups::handle(node, call, call.decode(body)?)),
        ApiKey::DescribeGroups => call.encode(&describe_groups::handle(node, call.decode(body)?)),
        ApiKey::DeleteGroups => call.encode(&delete_groups::handle(node, call.decode(body)?)),

        // `OFFERED` names no other.
        api => Err(WireError::NotOffered {
            api,
            version: call.version,
        }),
    };
    answer.map(Some)
}

fn is_offered(call: &Call) -> bool {
    OFFERED.iter().any(|(api, lowest, highest)| {
        *api == call.api && (*lowest..=*highest).contains(&call.version)
    })
}

/// The error code of `result` as it goes over the wire.
fn code<T>(result: &Result<T, ResponseError>) -> i16 {
    match result {
        Ok(_) => 0,
        Err(error) => error.code(),
    }
}

/// Refuses a client that has heard of a later leader, as the one it asks may not know all there is (KIP-320).
fn check_leader_epoch(current: i32) -> Result<(), ResponseError> {
    if current > LEADER_EPOCH {
        return Err(ResponseError::UnknownLeaderEpoch);
    }
    Ok(())
}

/// What a fenced producer is told: clients that speak a version below `since` do not know the newer
/// error yet (KIP-588).
fn fenced(error: ResponseError, call: &Call, since: i16) -> ResponseError {
    match error {
        ResponseError::ProducerFenced if call.version < since => {
            ResponseError::InvalidProducerEpoch
        }
        error => error,
    }
}

fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}

/// Why an administrative request was refused.
struct Refusal {
    error: ResponseError,
    message: String,
}

impl Refusal {
    fn new(error: ResponseError, message: impl Into<String>) -> Self {
        Self {
            error,
            message: message.into(),
        }
    }
}

impl From<ChangeError> for Refusal {
    fn from(change: ChangeError) -> Self {
        let error = match &change {
            ChangeError::Exists(_) => ResponseError::TopicAlreadyExists,
            ChangeError::Unknown(_) => ResponseError::UnknownTopicOrPartition,
            ChangeError::TooManyPartitions(_) => ResponseError::InvalidPartitions,
            ChangeError::Storage(source) => {
                tracing::error!(error = %source, "cannot write the topic metadata");
                ResponseError::KafkaStorageError
            }
        };
        Self::new(error, change.to_string())
    }
}

/// Error code and message of `result` as they go over the wire.
fn outcome<T>(result: &Result<T, Refusal>) -> (i16, Option<StrBytes>) {
    match result {
        Ok(_) => (0, None),
        Err(refusal) => (refusal.error.code(), Some(text(refusal.message.as_str()))),
    }
}
