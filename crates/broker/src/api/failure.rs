//! Answers that refuse everything a request asks for, as faults want them.

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{
    AddOffsetsToTxnResponse, ApiKey, BrokerId, ConsumerGroupHeartbeatResponse, EndTxnResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatResponse, InitProducerIdResponse,
    JoinGroupRequest, JoinGroupResponse, LeaveGroupResponse, ProducerId, SyncGroupResponse,
};

use super::text;
use crate::wire::{Call, WireError};

mod by_partition;

/// The first version of FindCoordinator that asks for several keys at once (KIP-699).
const SEVERAL_KEYS_SINCE: i16 = 4;

/// Whether there is an error answer for `api`.
pub(crate) fn is_possible(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::Produce
            | ApiKey::Fetch
            | ApiKey::FindCoordinator
            | ApiKey::JoinGroup
            | ApiKey::SyncGroup
            | ApiKey::Heartbeat
            | ApiKey::LeaveGroup
            | ApiKey::ConsumerGroupHeartbeat
            | ApiKey::OffsetCommit
            | ApiKey::OffsetFetch
            | ApiKey::InitProducerId
            | ApiKey::AddPartitionsToTxn
            | ApiKey::AddOffsetsToTxn
            | ApiKey::TxnOffsetCommit
            | ApiKey::EndTxn
    )
}

/// Answers `call` with `error` for everything in `body`; `None` when the client does not want an answer.
pub(crate) fn answer(
    call: &Call,
    body: Bytes,
    error: ResponseError,
) -> Result<Option<BytesMut>, WireError> {
    let code = error.code();
    let answer = match call.api {
        ApiKey::Produce => match by_partition::produce(&call.decode(body)?, code) {
            Some(answer) => call.encode(&answer),
            None => return Ok(None),
        },
        ApiKey::Fetch => call.encode(&by_partition::fetch(&call.decode(body)?, code)),
        ApiKey::OffsetCommit => {
            call.encode(&by_partition::offset_commit(&call.decode(body)?, code))
        }
        ApiKey::OffsetFetch => {
            call.encode(&by_partition::offset_fetch(call, &call.decode(body)?, code))
        }
        ApiKey::AddPartitionsToTxn => {
            call.encode(&by_partition::add_partitions(&call.decode(body)?, code))
        }
        ApiKey::TxnOffsetCommit => {
            call.encode(&by_partition::txn_offset_commit(&call.decode(body)?, code))
        }
        ApiKey::FindCoordinator => call.encode(&find_coordinator(call, call.decode(body)?, code)),
        ApiKey::JoinGroup => {
            let request: JoinGroupRequest = call.decode(body)?;
            let answer = JoinGroupResponse::default().with_error_code(code);
            call.encode(&answer.with_member_id(request.member_id))
        }
        ApiKey::SyncGroup => call.encode(&SyncGroupResponse::default().with_error_code(code)),
        ApiKey::Heartbeat => call.encode(&HeartbeatResponse::default().with_error_code(code)),
        ApiKey::LeaveGroup => call.encode(&LeaveGroupResponse::default().with_error_code(code)),
        ApiKey::ConsumerGroupHeartbeat => {
            call.encode(&ConsumerGroupHeartbeatResponse::default().with_error_code(code))
        }
        ApiKey::InitProducerId => {
            let answer = InitProducerIdResponse::default().with_error_code(code);
            let nobody = answer.with_producer_id(ProducerId(-1));
            call.encode(&nobody.with_producer_epoch(-1))
        }
        ApiKey::AddOffsetsToTxn => {
            call.encode(&AddOffsetsToTxnResponse::default().with_error_code(code))
        }
        ApiKey::EndTxn => call.encode(&EndTxnResponse::default().with_error_code(code)),
        // `is_possible` names no other.
        api => Err(WireError::NotOffered {
            api,
            version: call.version,
        }),
    };
    answer.map(Some)
}

fn find_coordinator(
    call: &Call,
    request: FindCoordinatorRequest,
    code: i16,
) -> FindCoordinatorResponse {
    if call.version < SEVERAL_KEYS_SINCE {
        return FindCoordinatorResponse::default()
            .with_error_code(code)
            .with_node_id(BrokerId(-1))
            .with_host(text(""))
            .with_port(-1);
    }
    let coordinators = request.coordinator_keys.into_iter().map(|key| {
        Coordinator::default()
            .with_key(key)
            .with_error_code(code)
            .with_node_id(BrokerId(-1))
            .with_port(-1)
    });
    FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
}
