//! Heartbeat: a member is alive, and learns whether a rebalance is under way.

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::code;
use crate::group::Caller;
use crate::node::Node;

pub(crate) fn handle(node: &Node, request: &HeartbeatRequest) -> HeartbeatResponse {
    let caller = Caller {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_ref().map(ToString::to_string),
        generation: request.generation_id,
    };
    let beat = node.coordinator.heartbeat(&request.group_id, &caller);
    HeartbeatResponse::default().with_error_code(code(&beat))
}
