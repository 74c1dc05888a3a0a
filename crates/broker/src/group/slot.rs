//! A group with its offsets, and how it comes out of the journal and goes back into it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::journal::Entry;
use super::machine::Group;
use super::offsets::Offsets;

/// A group and its offsets.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) group: Group,
    pub(super) offsets: Offsets,
}

impl Slot {
    pub(super) fn new(initial_delay: Duration) -> Self {
        Self {
            group: Group::new(initial_delay),
            offsets: Offsets::default(),
        }
    }

    /// Whether there is nothing to remember: neither members nor offsets.
    pub(super) fn is_unused(&self) -> bool {
        self.group.is_idle() && self.offsets.is_empty()
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
        std::iter::once(members).chain(offsets)
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
            slot.offsets.merge(offsets);
        }
        Entry::Forgotten {
            group,
            topic,
            partitions,
        } => {
            let slot = groups.entry(group).or_insert_with(new);
            for partition in partitions {
                slot.offsets.remove(&topic, partition);
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
