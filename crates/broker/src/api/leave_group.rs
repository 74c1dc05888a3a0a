//! LeaveGroup: members go, themselves or removed by an administrator (KIP-345).

use kafka_protocol::messages::LeaveGroupRequest;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};

use super::code;
use crate::group::Leaver;
use crate::node::Node;
use crate::wire::Call;

/// The first version with a list of members.
const SEVERAL_SINCE: i16 = 3;

pub(crate) fn handle(node: &Node, call: &Call, request: LeaveGroupRequest) -> LeaveGroupResponse {
    let several = call.version >= SEVERAL_SINCE;
    let members = if several {
        request.members
    } else {
        vec![MemberIdentity::default().with_member_id(request.member_id)]
    };
    let leavers: Vec<Leaver> = members
        .iter()
        .map(|member| Leaver {
            member_id: member.member_id.to_string(),
            instance_id: member.group_instance_id.as_ref().map(ToString::to_string),
        })
        .collect();
    let results = node.coordinator.leave(&request.group_id, &leavers);
    let response = LeaveGroupResponse::default();
    if !several {
        return response.with_error_code(results.first().map_or(0, code));
    }
    let members = members.into_iter().zip(&results).map(|(member, result)| {
        MemberResponse::default()
            .with_member_id(member.member_id)
            .with_group_instance_id(member.group_instance_id)
            .with_error_code(code(result))
    });
    response.with_members(members.collect())
}
