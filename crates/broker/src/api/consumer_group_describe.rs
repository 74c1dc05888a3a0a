//! ConsumerGroupDescribe (KIP-848): members, what they have and what they are to have.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, ConsumerGroupDescribeResponse, DescribedGroup, Member, TopicPartitions,
};
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, GroupId, TopicName};
use uuid::Uuid;

use super::text;
use crate::group::ConsumerDescription;
use crate::group::consumer::{ASSIGNOR, ConsumerMember, Partitions};
use crate::node::Node;
use crate::wire::Call;

/// The first version that tells which protocol a member speaks.
const MEMBER_TYPE_SINCE: i16 = 1;
/// A member of the consumer protocol.
const CONSUMER: i8 = 1;

pub(crate) fn handle(
    node: &Node,
    call: &Call,
    request: ConsumerGroupDescribeRequest,
) -> ConsumerGroupDescribeResponse {
    let groups =
        request
            .group_ids
            .into_iter()
            .map(|id| match node.coordinator.describe_consumers(&id) {
                Some(description) => describe(call, id, description),
                None => DescribedGroup::default()
                    .with_error_message(Some(text(format!("{} is no consumer group", &*id))))
                    .with_error_code(ResponseError::GroupIdNotFound.code())
                    .with_group_id(id),
            });
    ConsumerGroupDescribeResponse::default().with_groups(groups.collect())
}

fn describe(call: &Call, id: GroupId, description: ConsumerDescription) -> DescribedGroup {
    let topics = &description.topics;
    let members = description
        .members
        .into_iter()
        .map(|(id, member)| describe_member(call, id, member, topics));
    DescribedGroup::default()
        .with_group_id(id)
        .with_group_state(text(description.state))
        .with_group_epoch(description.epoch)
        .with_assignment_epoch(description.epoch)
        .with_assignor_name(text(ASSIGNOR))
        .with_members(members.collect())
}

fn describe_member(
    call: &Call,
    id: String,
    member: ConsumerMember,
    topics: &BTreeMap<Uuid, String>,
) -> Member {
    let described = Member::default()
        .with_member_id(text(id))
        .with_member_epoch(member.epoch)
        .with_assignment(assignment(&member.assigned, topics))
        .with_target_assignment(assignment(&member.target, topics))
        .with_instance_id(member.instance_id.map(text))
        .with_client_id(text(member.client.id))
        .with_client_host(text(member.client.host))
        .with_subscribed_topic_names(
            member
                .topics
                .into_iter()
                .map(|name| TopicName(text(name)))
                .collect(),
        );
    match call.version >= MEMBER_TYPE_SINCE {
        true => described.with_member_type(CONSUMER),
        false => described,
    }
}

fn assignment(partitions: &Partitions, topics: &BTreeMap<Uuid, String>) -> Assignment {
    let mut by_topic: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for (topic, index) in partitions {
        by_topic.entry(*topic).or_default().push(*index);
    }
    let described = by_topic.into_iter().map(|(id, partitions)| {
        let name = topics.get(&id).cloned().unwrap_or_default();
        TopicPartitions::default()
            .with_topic_id(id)
            .with_topic_name(TopicName(text(name)))
            .with_partitions(partitions)
    });
    Assignment::default().with_topic_partitions(described.collect())
}
