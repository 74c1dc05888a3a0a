//! ListGroups: all groups, or those in given states.

use kafka_protocol::messages::list_groups_response::{ListGroupsResponse, ListedGroup};
use kafka_protocol::messages::{GroupId, ListGroupsRequest};
use kafka_protocol::protocol::StrBytes;

use super::text;
use crate::node::Node;
use crate::wire::Call;

const STATES_SINCE: i16 = 4;
const TYPES_SINCE: i16 = 5;

pub(crate) fn handle(node: &Node, call: &Call, request: ListGroupsRequest) -> ListGroupsResponse {
    let wanted = |filter: &[StrBytes], value: &str| {
        filter.is_empty()
            || filter
                .iter()
                .any(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    let groups = node
        .coordinator
        .list()
        .into_iter()
        .filter(|group| wanted(&request.states_filter, group.state))
        .filter(|group| wanted(&request.types_filter, group.kind));
    let listed = groups.map(|group| {
        let mut listed = ListedGroup::default()
            .with_group_id(GroupId(text(group.id)))
            .with_protocol_type(text(group.protocol_type));
        if call.version >= STATES_SINCE {
            listed = listed.with_group_state(text(group.state));
        }
        if call.version >= TYPES_SINCE {
            listed = listed.with_group_type(text(group.kind));
        }
        listed
    });
    ListGroupsResponse::default().with_groups(listed.collect())
}
