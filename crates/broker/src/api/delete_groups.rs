//! DeleteGroups: groups without members go, with what they committed.

use kafka_protocol::messages::DeleteGroupsRequest;
use kafka_protocol::messages::delete_groups_response::{
    DeletableGroupResult, DeleteGroupsResponse,
};

use super::code;
use crate::node::Node;

pub(crate) fn handle(node: &Node, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
    let results = request.groups_names.into_iter().map(|group_id| {
        let deleted = node.coordinator.delete(&group_id);
        DeletableGroupResult::default()
            .with_error_code(code(&deleted))
            .with_group_id(group_id)
    });
    DeleteGroupsResponse::default().with_results(results.collect())
}
