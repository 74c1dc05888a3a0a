//! What a transaction concerns: the partitions it writes to and the groups it commits offsets of.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The participants of a transaction by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scope {
    partitions: BTreeMap<String, BTreeSet<i32>>,
    groups: BTreeSet<String>,
}

impl Scope {
    /// Only a group.
    pub(super) fn of_group(group_id: &str) -> Self {
        Self {
            groups: BTreeSet::from([group_id.to_owned()]),
            ..Self::default()
        }
    }

    pub(crate) fn add_partition(&mut self, topic: &str, partition: i32) {
        let partitions = self.partitions.entry(topic.to_owned()).or_default();
        partitions.insert(partition);
    }

    /// Takes over everything in `more`.
    pub(super) fn merge(&mut self, more: Self) {
        for (topic, partitions) in more.partitions {
            self.partitions.entry(topic).or_default().extend(partitions);
        }
        self.groups.extend(more.groups);
    }

    /// Whether everything in `other` is here.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let covers = |(topic, partitions): (&String, &BTreeSet<i32>)| {
            let here = self.partitions.get(topic);
            here.is_some_and(|here| here.is_superset(partitions))
        };
        other.partitions.iter().all(covers) && self.groups.is_superset(&other.groups)
    }

    pub(super) fn has_partition(&self, topic: &str, partition: i32) -> bool {
        let partitions = self.partitions.get(topic);
        partitions.is_some_and(|partitions| partitions.contains(&partition))
    }

    pub(super) fn has_group(&self, group_id: &str) -> bool {
        self.groups.contains(group_id)
    }

    /// By topic name, then by partition.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = i32>)> {
        self.partitions
            .iter()
            .map(|(topic, partitions)| (topic.as_str(), partitions.iter().copied()))
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(String::as_str)
    }
}
