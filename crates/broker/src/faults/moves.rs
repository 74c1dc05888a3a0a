//! Coordinators that move: who is told, and until when.

use bytes::Bytes;
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, ApiKey, ConsumerGroupHeartbeatRequest,
    EndTxnRequest, FindCoordinatorRequest, HeartbeatRequest, InitProducerIdRequest,
    JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
    TxnOffsetCommitRequest,
};

use super::ConnectionNumber;
use crate::wire::{Call, WireError};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// The first version of FindCoordinator that asks for several keys at once (KIP-699).
const SEVERAL_KEYS_SINCE: i16 = 4;

/// The first version of OffsetFetch with a list of groups (KIP-709).
const SEVERAL_GROUPS_SINCE: i16 = 8;

/// What has a coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coordinated {
    /// The consumer group with this id.
    Group(String),
    /// The transactional id.
    Transaction(String),
}

/// A coordinator that moved, and whose clients do not all know.
#[derive(Debug)]
pub(super) struct Move {
    pub(super) of: Coordinated,
    /// The first connection that leads to the new coordinator.
    since: ConnectionNumber,
    was_told: bool,
}

impl Move {
    pub(super) fn new(of: Coordinated, since: ConnectionNumber) -> Self {
        Self {
            of,
            since,
            was_told: false,
        }
    }

    /// Whether a client was told.
    pub(super) fn was_told(&self) -> bool {
        self.was_told
    }

    /// Whether what comes on `connection` is refused, which is told then.
    pub(super) fn refuses(&mut self, connection: ConnectionNumber) -> bool {
        let refuses = connection < self.since;
        self.was_told |= refuses;
        refuses
    }
}

/// Whose coordinator has to answer `call`; `None` when any broker may.
pub(super) fn key_of(call: &Call, body: &Bytes) -> Result<Option<Coordinated>, WireError> {
    let body = body.clone();
    let group = |id: &str| Some(Coordinated::Group(id.to_owned()));
    let transaction = |id: &str| Some(Coordinated::Transaction(id.to_owned()));
    Ok(match call.api {
        ApiKey::JoinGroup => group(&call.decode::<JoinGroupRequest>(body)?.group_id),
        ApiKey::SyncGroup => group(&call.decode::<SyncGroupRequest>(body)?.group_id),
        ApiKey::Heartbeat => group(&call.decode::<HeartbeatRequest>(body)?.group_id),
        ApiKey::ConsumerGroupHeartbeat => {
            group(&call.decode::<ConsumerGroupHeartbeatRequest>(body)?.group_id)
        }
        ApiKey::LeaveGroup => group(&call.decode::<LeaveGroupRequest>(body)?.group_id),
        ApiKey::OffsetCommit => group(&call.decode::<OffsetCommitRequest>(body)?.group_id),
        ApiKey::TxnOffsetCommit => group(&call.decode::<TxnOffsetCommitRequest>(body)?.group_id),
        ApiKey::OffsetFetch => {
            let request: OffsetFetchRequest = call.decode(body)?;
            if call.version < SEVERAL_GROUPS_SINCE {
                group(&request.group_id)
            } else {
                // Consumers ask for their own group only.
                request
                    .groups
                    .first()
                    .and_then(|first| group(&first.group_id))
            }
        }
        ApiKey::InitProducerId => {
            let request: InitProducerIdRequest = call.decode(body)?;
            request.transactional_id.and_then(|id| transaction(&id))
        }
        ApiKey::AddPartitionsToTxn => {
            let request: AddPartitionsToTxnRequest = call.decode(body)?;
            transaction(&request.v3_and_below_transactional_id)
        }
        ApiKey::AddOffsetsToTxn => transaction(
            &call
                .decode::<AddOffsetsToTxnRequest>(body)?
                .transactional_id,
        ),
        ApiKey::EndTxn => transaction(&call.decode::<EndTxnRequest>(body)?.transactional_id),
        _ => None,
    })
}

/// Whose coordinators `call` looks for.
pub(super) fn keys_sought(call: &Call, body: &Bytes) -> Result<Vec<Coordinated>, WireError> {
    if call.api != ApiKey::FindCoordinator {
        return Ok(Vec::new());
    }
    let request: FindCoordinatorRequest = call.decode(body.clone())?;
    let keys = if call.version < SEVERAL_KEYS_SINCE {
        vec![request.key]
    } else {
        request.coordinator_keys
    };
    let coordinated = keys.iter().filter_map(|key| match request.key_type {
        GROUP => Some(Coordinated::Group(key.to_string())),
        TRANSACTION => Some(Coordinated::Transaction(key.to_string())),
        _ => None,
    });
    Ok(coordinated.collect())
}
