//! Groups as administration tools see them.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use uuid::Uuid;

use super::consumer::{ConsumerGroup, ConsumerMember};
use super::coordinator::Coordinator;
use super::slot::Slot;
use super::subscription;

/// What members of a group of the consumer protocol are, by the name of the classic one.
const PROTOCOL_TYPE: &str = "consumer";

/// A line of a list of groups.
#[derive(Debug)]
pub(crate) struct GroupListing {
    pub(crate) id: String,
    pub(crate) protocol_type: String,
    pub(crate) state: &'static str,
    /// Which protocol its members speak.
    pub(crate) kind: &'static str,
}

/// A group of the consumer protocol with its members.
#[derive(Debug)]
pub(crate) struct ConsumerDescription {
    pub(crate) state: &'static str,
    pub(crate) epoch: i32,
    pub(crate) members: Vec<(String, ConsumerMember)>,
    /// The names of the topics that somebody has or is to have.
    pub(crate) topics: BTreeMap<Uuid, String>,
}

/// A group with its members.
#[derive(Debug)]
pub(crate) struct GroupDescription {
    pub(crate) state: &'static str,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) members: Vec<MemberDescription>,
}

/// A member with what it supports and what it has.
#[derive(Debug)]
pub(crate) struct MemberDescription {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) client_host: String,
    pub(crate) metadata: Vec<u8>,
    pub(crate) assignment: Vec<u8>,
}

impl Coordinator {
    pub(crate) fn list(&self) -> Vec<GroupListing> {
        let inner = self.inner();
        let listed = inner.groups.iter().map(|(id, slot)| match &slot.consumers {
            Some(group) => GroupListing {
                id: id.clone(),
                protocol_type: PROTOCOL_TYPE.to_owned(),
                state: group.state_name(),
                kind: "consumer",
            },
            None => GroupListing {
                id: id.clone(),
                protocol_type: slot.group.protocol_type().to_owned(),
                state: slot.group.state_name(),
                kind: "classic",
            },
        });
        listed.collect()
    }

    /// `None` when there is no such group of the consumer protocol.
    pub(crate) fn describe_consumers(&self, group_id: &str) -> Option<ConsumerDescription> {
        let inner = self.inner();
        let group = inner.groups.get(group_id)?.consumers.as_ref()?;
        let members: Vec<_> = group
            .members()
            .map(|(id, member)| (id.to_owned(), member.clone()))
            .collect();
        let partitions = members
            .iter()
            .flat_map(|(_, member)| member.assigned.union(&member.target));
        let topics = partitions
            .filter_map(|(id, _)| Some((*id, group.topic_name(*id)?.to_owned())))
            .collect();
        Some(ConsumerDescription {
            state: group.state_name(),
            epoch: group.epoch(),
            members,
            topics,
        })
    }

    /// `None` when there is no such group.
    pub(crate) fn describe(&self, group_id: &str) -> Option<GroupDescription> {
        self.inner().groups.get(group_id).map(Slot::describe)
    }
}

impl Slot {
    /// Refuses to forget the offsets of a topic that members consume.
    pub(super) fn check_not_subscribed(&self, topic: &str) -> Result<(), ResponseError> {
        let mut consumers = self.consumers.iter().flat_map(ConsumerGroup::members);
        if consumers.any(|(_, member)| member.topics.contains(topic)) {
            return Err(ResponseError::GroupSubscribedToTopic);
        }
        let protocol = self.group.protocol();
        let subscribed = self.group.members().any(|(_, member)| {
            // What cannot be read may subscribe to anything.
            subscription::topics(member.metadata(protocol))
                .is_none_or(|topics| topics.contains(&topic))
        });
        if subscribed {
            return Err(ResponseError::GroupSubscribedToTopic);
        }
        Ok(())
    }

    fn describe(&self) -> GroupDescription {
        let group = &self.group;
        let members = group.members().map(|(id, member)| MemberDescription {
            id: id.to_owned(),
            instance_id: member.instance_id.clone(),
            client_id: member.client.id.clone(),
            client_host: member.client.host.clone(),
            // Outside a generation the chosen protocol and the assignments are of the past.
            metadata: if group.is_stable() {
                member.metadata(group.protocol()).to_vec()
            } else {
                Vec::new()
            },
            assignment: if group.is_stable() {
                member.assignment.clone()
            } else {
                Vec::new()
            },
        });
        GroupDescription {
            state: group.state_name(),
            protocol_type: group.protocol_type().to_owned(),
            protocol: if group.is_stable() {
                group.protocol().to_owned()
            } else {
                String::new()
            },
            members: members.collect(),
        }
    }
}
