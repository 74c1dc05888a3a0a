//! Groups as administration tools see them.

use kafka_protocol::error::ResponseError;

use super::coordinator::Coordinator;
use super::slot::Slot;
use super::subscription;

/// A line of a list of groups.
#[derive(Debug)]
pub(crate) struct GroupListing {
    pub(crate) id: String,
    pub(crate) protocol_type: String,
    pub(crate) state: &'static str,
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
        let listed = inner.groups.iter().map(|(id, slot)| GroupListing {
            id: id.clone(),
            protocol_type: slot.group.protocol_type().to_owned(),
            state: slot.group.state_name(),
        });
        listed.collect()
    }

    /// `None` when there is no such group.
    pub(crate) fn describe(&self, group_id: &str) -> Option<GroupDescription> {
        self.inner().groups.get(group_id).map(Slot::describe)
    }
}

impl Slot {
    /// Refuses to forget the offsets of a topic that members consume.
    pub(super) fn check_not_subscribed(&self, topic: &str) -> Result<(), ResponseError> {
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
