//! SyncGroup: a member asks what it is to consume; the leader brings the answer for all.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::text;
use crate::group::{Answer, Caller, Sync};
use crate::node::Node;

pub(crate) async fn handle(node: &Node, request: SyncGroupRequest) -> SyncGroupResponse {
    let group_id = request.group_id.to_string();
    let assignments = request
        .assignments
        .into_iter()
        .map(|assigned| (assigned.member_id.to_string(), assigned.assignment.to_vec()));
    let sync = Sync {
        call: 0,
        caller: Caller {
            member_id: request.member_id.to_string(),
            instance_id: request.group_instance_id.map(|id| id.to_string()),
            generation: request.generation_id,
        },
        protocol_type: request.protocol_type.map(|name| name.to_string()),
        protocol: request.protocol_name.map(|name| name.to_string()),
        assignments: assignments.collect(),
    };
    let response = SyncGroupResponse::default();
    match node.coordinator.sync(&group_id, sync).await {
        Answer::Synced(synced) => response
            .with_protocol_type(Some(text(synced.protocol_type)))
            .with_protocol_name(Some(text(synced.protocol)))
            .with_assignment(synced.assignment.into()),
        Answer::Failed(error) => response.with_error_code(error.code()),
        Answer::Joined(_) | Answer::MemberIdRequired(_) => {
            response.with_error_code(ResponseError::UnknownServerError.code())
        }
    }
}
