//! JoinGroup: a member joins or comes back; the answer waits for the rebalance.

use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::JoinGroupRequest;
use kafka_protocol::messages::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};
use uuid::Uuid;

use super::text;
use crate::group::{Answer, Client, Join, Joined, Protocol};
use crate::node::Node;
use crate::wire::Call;

/// The longest session, in milliseconds: Kafka's `group.max.session.timeout.ms`.
const MAX_SESSION_MS: i32 = 30 * 60 * 1000;

/// The first version with a rebalance timeout of its own.
const REBALANCE_TIMEOUT_SINCE: i16 = 1;
/// The first version that understands `MEMBER_ID_REQUIRED` (KIP-394).
const MEMBER_ID_SINCE: i16 = 4;
/// The first version in which a leader can be told not to assign (KIP-814).
const SKIP_ASSIGNMENT_SINCE: i16 = 9;

pub(crate) async fn handle(
    node: &Node,
    call: &Call,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let member_id = request.member_id.clone();
    let joined = match check(&request) {
        Ok(()) => {
            node.coordinator
                .join(&request.group_id.0.clone(), join(call, request))
                .await
        }
        Err(error) => Answer::Failed(error),
    };
    let response = JoinGroupResponse::default();
    match joined {
        Answer::Joined(joined) => accepted(response, call, joined),
        Answer::MemberIdRequired(id) => response
            .with_error_code(ResponseError::MemberIdRequired.code())
            .with_member_id(text(id)),
        Answer::Failed(error) => response
            .with_error_code(error.code())
            .with_member_id(member_id),
        Answer::Synced(_) => response.with_error_code(ResponseError::UnknownServerError.code()),
    }
}

fn check(request: &JoinGroupRequest) -> Result<(), ResponseError> {
    if request.group_id.is_empty() {
        return Err(ResponseError::InvalidGroupId);
    }
    if !(1..=MAX_SESSION_MS).contains(&request.session_timeout_ms) {
        return Err(ResponseError::InvalidSessionTimeout);
    }
    Ok(())
}

fn join(call: &Call, request: JoinGroupRequest) -> Join {
    let own_rebalance_timeout =
        call.version >= REBALANCE_TIMEOUT_SINCE && request.rebalance_timeout_ms > 0;
    let rebalance_timeout_ms = if own_rebalance_timeout {
        request.rebalance_timeout_ms
    } else {
        request.session_timeout_ms
    };
    // As in Kafka, the id says who it belongs to.
    let owner = request
        .group_instance_id
        .as_ref()
        .unwrap_or(&call.client_id);
    let fresh_id = format!("{}-{}", owner.as_str(), Uuid::new_v4());
    let protocols = request.protocols.iter().map(|protocol| Protocol {
        name: protocol.name.to_string(),
        metadata: protocol.metadata.to_vec(),
    });
    Join {
        call: 0,
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_ref().map(ToString::to_string),
        client: Client {
            id: call.client_id.to_string(),
            host: format!("/{}", call.peer.ip()),
        },
        session_timeout: milliseconds(request.session_timeout_ms),
        rebalance_timeout: milliseconds(rebalance_timeout_ms),
        protocol_type: request.protocol_type.to_string(),
        protocols: protocols.collect(),
        fresh_id,
        hand_out_id: call.version >= MEMBER_ID_SINCE,
        can_skip_assignment: call.version >= SKIP_ASSIGNMENT_SINCE,
    }
}

fn accepted(response: JoinGroupResponse, call: &Call, joined: Joined) -> JoinGroupResponse {
    let members = joined.members.into_iter().map(|member| {
        let seen = JoinGroupResponseMember::default()
            .with_member_id(text(member.id))
            .with_metadata(member.metadata.into());
        // Before version 5 there are no static members to tell of.
        seen.with_group_instance_id(member.instance_id.filter(|_| call.version >= 5).map(text))
    });
    response
        .with_generation_id(joined.generation)
        .with_protocol_type(Some(text(joined.protocol_type)))
        .with_protocol_name(Some(text(joined.protocol)))
        .with_leader(text(joined.leader))
        .with_skip_assignment(joined.skip_assignment)
        .with_member_id(text(joined.member_id))
        .with_members(members.collect())
}

fn milliseconds(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
