//! A group with its offsets, and how it comes out of the journal and goes back into it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::entry::Entry;
use super::machine::Group;
use super::offsets::Offsets;
use super::pending::PendingOffsets;
use crate::log::Outcome;

/// A group and its offsets.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) group: Group,
    pub(super) offsets: Offsets,
    pub(super) pending: PendingOffsets,
}

impl Slot {
    pub(super) fn new(initial_delay: Duration) -> Self {
        Self {
            group: Group::new(initial_delay),
            offsets: Offsets::default(),
            pending: PendingOffsets::default(),
        }
    }

    /// Whether there is nothing to remember: neither members nor offsets.
    pub(super) fn is_unused(&self) -> bool {
        self.group.is_idle() && self.offsets.is_empty() && self.pending.is_empty()
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

    /// What the journal has to say for this group to be as it is.
    pub(super) fn entries(&self, id: &str) -> impl Iterator<Item = Entry> {
        let members = Entry::Members {
            group: id.to_owned(),
            state: self.group.stored(),
        };
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
        }
        Entry::Deleted { group } => {
            groups.remove(&group);
        }
    }
}
