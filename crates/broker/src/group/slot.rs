//! A group with its offsets, and how it comes out of the journal and goes back into it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;

use super::consumer::ConsumerGroup;
use super::entry::Entry;
use super::machine::{Action, Caller, Group};
use super::offsets::Offsets;
use super::pending::PendingOffsets;
use crate::log::Outcome;

/// A group and its offsets.
#[derive(Debug)]
pub(super) struct Slot {
    /// Of the classic protocol; empty if there is a group of the other.
    pub(super) group: Group,
    /// Of the consumer protocol (KIP-848).
    pub(super) consumers: Option<ConsumerGroup>,
    pub(super) offsets: Offsets,
    pub(super) pending: PendingOffsets,
}

impl Slot {
    pub(super) fn new(initial_delay: Duration) -> Self {
        Self {
            group: Group::new(initial_delay),
            consumers: None,
            offsets: Offsets::default(),
            pending: PendingOffsets::default(),
        }
    }

    /// Whether there is nothing to remember: neither members nor offsets.
    pub(super) fn is_unused(&self) -> bool {
        let idle = self.group.is_idle() && !self.has_consumers();
        idle && self.offsets.is_empty() && self.pending.is_empty()
    }

    /// Whether nobody is in the group, by either protocol.
    pub(super) fn is_empty(&self) -> bool {
        self.group.is_empty() && !self.has_consumers()
    }

    pub(super) fn has_consumers(&self) -> bool {
        let consumers = self.consumers.as_ref();
        consumers.is_some_and(|group| !group.is_empty())
    }

    /// Whether a member may join by the classic protocol.
    pub(super) fn may_join(&self) -> Result<(), ResponseError> {
        match self.has_consumers() {
            true => Err(ResponseError::InconsistentGroupProtocol),
            false => Ok(()),
        }
    }

    /// The group of the consumer protocol, which one without members becomes.
    pub(super) fn as_consumers(&mut self) -> Result<&mut ConsumerGroup, ResponseError> {
        if !self.group.is_idle() {
            return Err(ResponseError::GroupIdNotFound);
        }
        Ok(self.consumers.get_or_insert_default())
    }

    /// Whether `caller` may commit offsets now.
    pub(super) fn may_commit(
        &mut self,
        caller: &Caller,
        now: Instant,
    ) -> Result<(), ResponseError> {
        match &self.consumers {
            Some(group) if !group.is_empty() => group.may_commit(caller),
            _ => self.group.may_commit(caller, now),
        }
    }

    /// Whether `caller` may commit offsets in a transaction; see [`Group::may_commit_in_transaction`].
    pub(super) fn may_commit_in_transaction(
        &mut self,
        caller: &Caller,
    ) -> Result<(), ResponseError> {
        match &self.consumers {
            Some(group) if !group.is_empty() && caller.names_itself() => {
                group.may_commit(caller).map_err(|error| match error {
                    // The request has no word for it.
                    ResponseError::StaleMemberEpoch => ResponseError::IllegalGeneration,
                    error => error,
                })
            }
            _ => self.group.may_commit_in_transaction(caller),
        }
    }

    /// Does what is due at `now`.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = self.group.tick(now);
        if let Some(consumers) = &mut self.consumers
            && consumers.tick(now)
        {
            actions.push(Action::Persist);
        }
        actions
    }

    /// When something is due next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let consumers = self.consumers.as_ref();
        let consumers = consumers.and_then(ConsumerGroup::next_deadline);
        self.group
            .next_deadline()
            .into_iter()
            .chain(consumers)
            .min()
    }

    /// Takes over what was committed outside a transaction. It takes the place of what is pending, which
    /// was committed before.
    pub(super) fn commit(&mut self, offsets: Offsets) {
        for (topic, partitions) in offsets.iter() {
            for (partition, _) in partitions {
                self.pending.forget(topic, partition);
            }
        }
        self.offsets.merge(offsets);
    }

    /// Removes what is committed in one partition, and what is pending.
    pub(super) fn forget(&mut self, topic: &str, partition: i32) {
        self.offsets.remove(topic, partition);
        self.pending.forget(topic, partition);
    }

    /// The partitions of `topic` that have a committed or a pending offset.
    pub(super) fn partitions_of(&self, topic: &str) -> Vec<i32> {
        let mut partitions = self.offsets.partitions_of(topic);
        partitions.extend(self.pending.partitions_of(topic));
        partitions
    }

    /// Takes over or drops what the transaction of `producer_id` committed.
    pub(super) fn settle(&mut self, producer_id: i64, outcome: Outcome) {
        let pending = self.pending.take(producer_id);
        if outcome == Outcome::Committed {
            self.offsets.merge(pending);
        }
    }

    /// What the journal has to say for its members to be as they are.
    pub(super) fn members_entry(&self, id: &str) -> Entry {
        let group = id.to_owned();
        match &self.consumers {
            Some(consumers) => Entry::Consumers {
                group,
                state: consumers.stored(),
            },
            None => Entry::Members {
                group,
                state: self.group.stored(),
            },
        }
    }

    /// What the journal has to say for this group to be as it is.
    pub(super) fn entries(&self, id: &str) -> impl Iterator<Item = Entry> {
        let members = self.members_entry(id);
        let offsets = (!self.offsets.is_empty()).then(|| Entry::Committed {
            group: id.to_owned(),
            offsets: self.offsets.clone(),
        });
        let pending = self
            .pending
            .iter()
            .map(|(producer_id, offsets)| Entry::Pending {
                group: id.to_owned(),
                producer_id,
                offsets: offsets.clone(),
            });
        std::iter::once(members).chain(offsets).chain(pending)
    }
}

/// Changes `groups` as `entry` says.
pub(super) fn replay(
    groups: &mut BTreeMap<String, Slot>,
    entry: Entry,
    initial_delay: Duration,
    now: Instant,
) {
    let new = || Slot::new(initial_delay);
    match entry {
        Entry::Committed { group, offsets } => {
            let slot = groups.entry(group).or_insert_with(new);
            slot.commit(offsets);
        }
        Entry::Pending {
            group,
            producer_id,
            offsets,
        } => {
            let slot = groups.entry(group).or_insert_with(new);
            slot.pending.add(producer_id, offsets);
        }
        Entry::Settled {
            group,
            producer_id,
            outcome,
        } => {
            let slot = groups.entry(group).or_insert_with(new);
            slot.settle(producer_id, outcome);
        }
        Entry::Forgotten {
            group,
            topic,
            partitions,
        } => {
            let slot = groups.entry(group).or_insert_with(new);
            for partition in partitions {
                slot.forget(&topic, partition);
            }
        }
        Entry::Members { group, state } => {
            let slot = groups.entry(group).or_insert_with(new);
            slot.group = Group::restore(state, initial_delay, now);
            slot.consumers = None;
        }
        Entry::Consumers { group, state } => {
            let slot = groups.entry(group).or_insert_with(new);
            slot.group = Group::new(initial_delay);
            slot.consumers = Some(ConsumerGroup::restore(state, now));
        }
        Entry::Deleted { group } => {
            groups.remove(&group);
        }
    }
}
