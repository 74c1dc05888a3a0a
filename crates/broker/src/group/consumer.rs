//! A group of the consumer protocol (KIP-848) as a pure state machine: heartbeats and the time go in, answers come out.
//!
//! The coordinator decides who has which partition. Each change of members, subscriptions or topics raises the group's
//! epoch and makes a new target; every member moves towards it by its own heartbeats: first it gives up what is no longer
//! its own, and only when it says so is it given what is free. No partition has two owners meanwhile, and nobody waits
//! for a slow member but those who are to have its partitions.

mod assign;
mod member;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use kafka_protocol::error::ResponseError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::machine::{Caller, MAX_MEMBERS};
use super::member::Client;
pub(crate) use member::ConsumerMember;
use member::StoredConsumerMember;

/// How often members are asked to send a heartbeat. Kafka's default is 5 s; a laptop has few members, and what one of them
/// gives up reaches the next at its heartbeat.
pub(crate) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// A member that is not heard of for so long is removed: Kafka's `group.consumer.session.timeout.ms`.
pub(crate) const SESSION_TIMEOUT: Duration = Duration::from_secs(45);

/// The epoch of a member that joins.
pub(crate) const JOINS: i32 = 0;
/// The epoch of a member that leaves.
pub(crate) const LEAVES: i32 = -1;
/// The epoch of a static member that leaves and will be back.
pub(crate) const LEAVES_FOR_A_WHILE: i32 = -2;

/// The one way to assign that there is: as even as subscriptions allow, and moving as little as that needs.
pub(crate) const ASSIGNOR: &str = "uniform";

/// Partitions by topic id.
pub(crate) type Partitions = BTreeSet<(Uuid, i32)>;

/// The topics that the group subscribes to, by name, with their ids and numbers of partitions.
pub(crate) type Subscribed = BTreeMap<String, (Uuid, i32)>;

/// What a member says in a heartbeat. What is `None` is as it was.
#[derive(Debug, Clone)]
pub(crate) struct Beat {
    pub(crate) member_id: String,
    pub(crate) epoch: i32,
    pub(crate) instance_id: Option<String>,
    pub(crate) client: Client,
    pub(crate) rebalance_timeout: Option<Duration>,
    pub(crate) topics: Option<BTreeSet<String>>,
    pub(crate) owned: Option<Partitions>,
}

impl Beat {
    /// A client that does not know whether its last heartbeat arrived says everything again.
    fn says_everything(&self) -> bool {
        self.rebalance_timeout.is_some() && self.topics.is_some() && self.owned.is_some()
    }
}

/// What a member is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Beaten {
    pub(crate) epoch: i32,
    /// What it may consume, if that is news.
    pub(crate) assignment: Option<Partitions>,
    /// Whether the group is to be written to the journal.
    pub(crate) changed: bool,
}

/// A group of the consumer protocol.
#[derive(Debug, Default)]
pub(crate) struct ConsumerGroup {
    epoch: i32,
    /// By member id, in the order of joining.
    members: IndexMap<String, ConsumerMember>,
    /// What the current targets were made of.
    subscribed: Subscribed,
}

/// A group as it is kept across restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredConsumerGroup {
    epoch: i32,
    members: Vec<StoredConsumerMember>,
    subscribed: Subscribed,
}

impl ConsumerGroup {
    /// The group after a restart at `now`; its members have a session timeout to be heard of.
    pub(crate) fn restore(stored: StoredConsumerGroup, now: Instant) -> Self {
        Self {
            epoch: stored.epoch,
            members: stored
                .members
                .into_iter()
                .map(|member| member.restore(now))
                .collect(),
            subscribed: stored.subscribed,
        }
    }

    pub(crate) fn stored(&self) -> StoredConsumerGroup {
        StoredConsumerGroup {
            epoch: self.epoch,
            members: self
                .members
                .iter()
                .map(|(id, member)| member.stored(id))
                .collect(),
            subscribed: self.subscribed.clone(),
        }
    }

    /// Takes in a heartbeat. `find` tells id and number of partitions of a topic that exists.
    pub(crate) fn heartbeat(
        &mut self,
        beat: &Beat,
        find: impl Fn(&str) -> Option<(Uuid, i32)>,
        now: Instant,
    ) -> Result<Beaten, ResponseError> {
        if matches!(beat.epoch, LEAVES | LEAVES_FOR_A_WHILE) {
            return self.leave(beat);
        }
        let joined = match beat.epoch {
            JOINS => self.join(beat, now)?,
            _ => self.check_current(beat).map(|()| false)?,
        };
        let member = self.members.get_mut(&beat.member_id);
        let resubscribed = member
            .ok_or(ResponseError::UnknownMemberId)?
            .update(beat, now);
        let retargeted = self.retarget(joined || resubscribed, find)
            || self.give_back(&beat.member_id, beat.owned.as_ref());
        let moved = self.reconcile(&beat.member_id, beat.owned.as_ref(), now);
        let member = &self.members[&beat.member_id];
        let tell = moved || beat.epoch == JOINS || beat.says_everything();
        Ok(Beaten {
            epoch: member.epoch,
            assignment: tell.then(|| member.assigned.clone()),
            changed: joined || resubscribed || retargeted || moved,
        })
    }

    /// Whether `caller` may commit offsets now; only whoever has seen the newest epoch it was given may.
    pub(crate) fn may_commit(&self, caller: &Caller) -> Result<(), ResponseError> {
        if caller.generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        let member = self.members.get(&caller.member_id);
        let member = member.ok_or(ResponseError::UnknownMemberId)?;
        match caller.generation == member.epoch {
            true => Ok(()),
            false => Err(ResponseError::StaleMemberEpoch),
        }
    }

    /// Removes the members that were not heard of, and those that did not give up what they were to.
    pub(crate) fn tick(&mut self, now: Instant) -> bool {
        let before = self.members.len();
        self.members.retain(|_, member| member.deadline() > now);
        let removed = self.members.len() < before;
        if removed {
            self.raise_epoch();
        }
        removed
    }

    /// When [`ConsumerGroup::tick`] has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.members.values().map(ConsumerMember::deadline).min()
    }

    /// Takes every partition from every member; they are given out anew once all have let go.
    pub(crate) fn force_rebalance(&mut self) {
        self.epoch += 1;
        for member in self.members.values_mut() {
            member.target.clear();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn epoch(&self) -> i32 {
        self.epoch
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &ConsumerMember)> {
        self.members
            .iter()
            .map(|(id, member)| (id.as_str(), member))
    }

    /// The name of a topic that somebody subscribes to.
    pub(crate) fn topic_name(&self, id: Uuid) -> Option<&str> {
        let mut topics = self.subscribed.iter();
        topics
            .find(|(_, (of, _))| *of == id)
            .map(|(name, _)| name.as_str())
    }

    /// The state by the name Kafka's tools show.
    pub(crate) fn state_name(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.members.values().all(|member| member.is_at(self.epoch)) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    /// Takes in a member, or one that starts over; returns whether it is new.
    fn join(&mut self, beat: &Beat, now: Instant) -> Result<bool, ResponseError> {
        let owns_nothing = beat.owned.as_ref().is_some_and(Partitions::is_empty);
        if beat.topics.is_none() || beat.rebalance_timeout.is_none() || !owns_nothing {
            return Err(ResponseError::InvalidRequest);
        }
        if let Some(former) = self.id_of_instance(beat.instance_id.as_deref())
            && former != beat.member_id
        {
            let (index, _, member) = self
                .members
                .get_full(&former)
                .ok_or(ResponseError::UnknownMemberId)?;
            if !member.is_away {
                return Err(ResponseError::UnreleasedInstanceId);
            }
            // It takes the place, and the partitions, of what it was before.
            if let Some((_, member)) = self.members.swap_remove_index(index) {
                let member = member.back(beat, now);
                self.members.insert(beat.member_id.clone(), member);
            }
            return Ok(true);
        }
        if self.members.contains_key(&beat.member_id) {
            return Ok(false);
        }
        if self.members.len() >= MAX_MEMBERS {
            return Err(ResponseError::GroupMaxSizeReached);
        }
        let member = ConsumerMember::of(beat, now);
        self.members.insert(beat.member_id.clone(), member);
        Ok(true)
    }

    /// Whether the heartbeat comes from somebody who knows what was decided last. An answer may have been lost: whoever is
    /// one epoch behind and owns nothing that is not its own is told again.
    fn check_current(&self, beat: &Beat) -> Result<(), ResponseError> {
        if let Some(current) = self.id_of_instance(beat.instance_id.as_deref())
            && current != beat.member_id
        {
            return Err(ResponseError::FencedInstanceId);
        }
        let member = self.members.get(&beat.member_id);
        let member = member.ok_or(ResponseError::UnknownMemberId)?;
        let one_behind = beat.epoch == member.previous_epoch
            && beat
                .owned
                .as_ref()
                .is_some_and(|owned| owned.is_subset(&member.assigned));
        match beat.epoch == member.epoch || one_behind {
            true => Ok(()),
            false => Err(ResponseError::FencedMemberEpoch),
        }
    }

    fn leave(&mut self, beat: &Beat) -> Result<Beaten, ResponseError> {
        if let Some(current) = self.id_of_instance(beat.instance_id.as_deref())
            && current != beat.member_id
        {
            return Err(ResponseError::FencedInstanceId);
        }
        let member = self.members.get_mut(&beat.member_id);
        let member = member.ok_or(ResponseError::UnknownMemberId)?;
        if beat.epoch == LEAVES_FOR_A_WHILE && member.instance_id.is_some() {
            member.is_away = true;
        } else {
            self.members.shift_remove(&beat.member_id);
            self.raise_epoch();
        }
        Ok(Beaten {
            epoch: beat.epoch,
            assignment: None,
            changed: true,
        })
    }

    /// Makes new targets if the members or what they subscribe to have changed; returns whether it did.
    fn retarget(
        &mut self,
        members_changed: bool,
        find: impl Fn(&str) -> Option<(Uuid, i32)>,
    ) -> bool {
        let names = self.members.values().flat_map(|member| &member.topics);
        let subscribed: Subscribed = names
            .filter_map(|name| Some((name.clone(), find(name)?)))
            .collect();
        if !members_changed && subscribed == self.subscribed {
            return false;
        }
        self.subscribed = subscribed;
        self.raise_epoch();
        true
    }

    /// Ends a forced rebalance if nobody holds anything any more, now that this member says what it owns. Without one there is
    /// a target for each partition.
    fn give_back(&mut self, id: &str, owned: Option<&Partitions>) -> bool {
        let has_partitions = self.subscribed.values().any(|(_, count)| *count > 0);
        let mut members = self.members.values();
        if !has_partitions || members.any(|member| !member.target.is_empty()) {
            return false;
        }
        if let Some(member) = self.members.get_mut(id) {
            member.has_given_up(owned);
        }
        let is_held = self
            .members
            .values()
            .any(|member| member.holds().next().is_some());
        if !is_held {
            self.raise_epoch();
        }
        !is_held
    }

    fn raise_epoch(&mut self) {
        self.epoch += 1;
        assign::spread(&mut self.members, &self.subscribed);
    }

    /// Moves a member as far towards its target as it may go now; returns whether that is news to it.
    fn reconcile(&mut self, id: &str, owned: Option<&Partitions>, now: Instant) -> bool {
        let epoch = self.epoch;
        let Some(member) = self.members.get_mut(id) else {
            return false;
        };
        if !member.has_given_up(owned) {
            return false;
        }
        if member.is_at(epoch) {
            return false;
        }
        if member.gives_up(owned, now) {
            return true;
        }
        let wanted: Partitions = member
            .target
            .difference(&member.assigned)
            .copied()
            .collect();
        let free = self.free(id, wanted);
        self.members[id].take(free, epoch)
    }

    /// Those of `wanted` that nobody else has or still has to give up.
    fn free(&self, id: &str, wanted: Partitions) -> Partitions {
        let others = self.members.iter().filter(|(other, _)| *other != id);
        let taken: Partitions = others.flat_map(|(_, member)| member.holds()).collect();
        wanted.difference(&taken).copied().collect()
    }

    fn id_of_instance(&self, instance_id: Option<&str>) -> Option<String> {
        let instance_id = instance_id?;
        let mut members = self.members.iter();
        members
            .find(|(_, member)| member.instance_id.as_deref() == Some(instance_id))
            .map(|(id, _)| id.clone())
    }
}
