//! DescribeGroups: members, what they support and what they have.

use kafka_protocol::messages::describe_groups_response::{
    DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use kafka_protocol::messages::{DescribeGroupsRequest, GroupId};

use super::text;
use crate::group::GroupDescription;
use crate::node::Node;

/// The state of a group that does not exist, which in these versions is no error.
const DEAD: &str = "Dead";

pub(crate) fn handle(node: &Node, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
    let groups = request
        .groups
        .into_iter()
        .map(|id| match node.coordinator.describe(&id) {
            Some(description) => describe(id, description),
            None => DescribedGroup::default()
                .with_group_id(id)
                .with_group_state(text(DEAD)),
        });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

fn describe(id: GroupId, description: GroupDescription) -> DescribedGroup {
    let members = description.members.into_iter().map(|member| {
        DescribedGroupMember::default()
            .with_member_id(text(member.id))
            .with_group_instance_id(member.instance_id.map(text))
            .with_client_id(text(member.client_id))
            .with_client_host(text(member.client_host))
            .with_member_metadata(member.metadata.into())
            .with_member_assignment(member.assignment.into())
    });
    DescribedGroup::default()
        .with_group_id(id)
        .with_group_state(text(description.state))
        .with_protocol_type(text(description.protocol_type))
        .with_protocol_data(text(description.protocol))
        .with_members(members.collect())
}
