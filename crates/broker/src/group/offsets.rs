//! The offsets a group has committed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A committed position in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Committed {
    /// The offset to go on from.
    pub(crate) offset: i64,
    /// -1 when the client did not say.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: String,
}

/// Committed offsets by topic and partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offsets(BTreeMap<String, BTreeMap<i32, Committed>>);

impl Offsets {
    pub(crate) fn get(&self, topic: &str, partition: i32) -> Option<&Committed> {
        self.0.get(topic)?.get(&partition)
    }

    pub(crate) fn set(&mut self, topic: &str, partition: i32, committed: Committed) {
        match self.0.get_mut(topic) {
            Some(partitions) => {
                partitions.insert(partition, committed);
            }
            None => {
                self.0
                    .insert(topic.to_owned(), BTreeMap::from([(partition, committed)]));
            }
        }
    }

    /// Takes over everything in `later`.
    pub(crate) fn merge(&mut self, later: Self) {
        for (topic, partitions) in later.0 {
            self.0.entry(topic).or_default().extend(partitions);
        }
    }

    pub(crate) fn remove(&mut self, topic: &str, partition: i32) {
        if let Some(partitions) = self.0.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                self.0.remove(topic);
            }
        }
    }

    /// The partitions of `topic` that have a committed offset.
    pub(crate) fn partitions_of(&self, topic: &str) -> Vec<i32> {
        let partitions = self.0.get(topic);
        partitions
            .into_iter()
            .flat_map(BTreeMap::keys)
            .copied()
            .collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// By topic name, then by partition.
    pub(crate) fn iter(
        &self,
    ) -> impl Iterator<Item = (&str, impl Iterator<Item = (i32, &Committed)>)> {
        self.0.iter().map(|(topic, partitions)| {
            let partitions = partitions
                .iter()
                .map(|(index, committed)| (*index, committed));
            (topic.as_str(), partitions)
        })
    }
}
