//! What is read while there is no room for more: nothing, but for the redrive topic, which may bring what others wait for.

use std::sync::atomic::Ordering;
use std::time::Duration;

use longshore_event::TopicPartition;

use super::Member;
use crate::native::PartitionList;

/// How long it waits for budget before it pauses the partitions. Short stalls are part of work under load, and a
/// pause throws away what was fetched ahead.
const STALL: Duration = Duration::from_millis(300);

impl Member {
    /// Waits a moment for budget; pauses when the wait becomes long, so that the group sees a live member meanwhile.
    pub(super) fn stall(&mut self) {
        let has_room = self.shared.budget.wait(STALL);
        if has_room || self.shared.stopping.load(Ordering::Acquire) {
            return;
        }
        if self.shared.budget.pause() {
            let (_, others) = self.by_kind(&self.owned.all());
            tracing::debug!(group = self.group, partitions = others.len(), "paused");
            self.read_on(&others, false);
            self.paused = true;
        }
    }

    pub(super) fn resume(&mut self) {
        let owned = self.owned.all();
        tracing::debug!(group = self.group, partitions = owned.len(), "resumed");
        self.read_on(&owned, true);
        self.paused = false;
        self.shut = false;
    }

    /// While the others are paused, the redrive topic is read as far as its reserve goes.
    pub(super) fn keep_to_reserve(&mut self) {
        let shut = self.paused && self.shared.budget.is_shut();
        if shut == self.shut {
            return;
        }
        let (redrives, _) = self.by_kind(&self.owned.all());
        self.read_on(&redrives, !shut);
        self.shut = shut;
    }

    /// Reads partitions on, or pauses them.
    pub(super) fn read_on(&self, partitions: &[TopicPartition], on: bool) {
        let list = PartitionList::of_partitions(partitions.iter());
        let (done, action) = match on {
            true => (self.consumer.client.resume(&list), "resume"),
            false => (self.consumer.client.pause(&list), "pause"),
        };
        self.note(done, action);
    }

    /// The partitions of the redrive topic, and the others.
    pub(super) fn by_kind(
        &self,
        partitions: &[TopicPartition],
    ) -> (Vec<TopicPartition>, Vec<TopicPartition>) {
        let partitions = partitions.iter().cloned();
        partitions.partition(|partition| partition.topic == self.redrive_topic)
    }
}
