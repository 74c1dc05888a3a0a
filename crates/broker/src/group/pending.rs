//! Offsets that transactions committed to a group and that do not count yet (KIP-98).

use std::collections::BTreeMap;

use super::offsets::Offsets;

/// Pending offsets by the producer whose transaction they belong to.
#[derive(Debug, Default)]
pub(crate) struct PendingOffsets(BTreeMap<i64, Offsets>);

impl PendingOffsets {
    /// Adds what the transaction of `producer_id` committed; of two offsets of a partition the later counts.
    pub(super) fn add(&mut self, producer_id: i64, offsets: Offsets) {
        self.0.entry(producer_id).or_default().merge(offsets);
    }

    /// Takes out what the transaction of `producer_id` committed.
    pub(super) fn take(&mut self, producer_id: i64) -> Offsets {
        self.0.remove(&producer_id).unwrap_or_default()
    }

    pub(super) fn has(&self, producer_id: i64) -> bool {
        self.0.contains_key(&producer_id)
    }

    /// Whether a transaction that is still open committed an offset of this partition.
    pub(crate) fn concerns(&self, topic: &str, partition: i32) -> bool {
        let mut pending = self.0.values();
        pending.any(|offsets| offsets.get(topic, partition).is_some())
    }

    /// The partitions of `topic` with a pending offset.
    pub(super) fn partitions_of(&self, topic: &str) -> Vec<i32> {
        let pending = self.0.values();
        pending
            .flat_map(|offsets| offsets.partitions_of(topic))
            .collect()
    }

    pub(super) fn forget(&mut self, topic: &str, partition: i32) {
        for offsets in self.0.values_mut() {
            offsets.remove(topic, partition);
        }
        self.0.retain(|_, offsets| !offsets.is_empty());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// By producer id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, &Offsets)> {
        self.0.iter().map(|(id, offsets)| (*id, offsets))
    }
}
