//! Which partitions are this member's, looked up once per run of records of one partition.

use std::collections::HashMap;
use std::sync::Arc;

use longshore_event::TopicPartition;

/// The partitions of this member.
#[derive(Debug, Default)]
pub(super) struct Ownership {
    topics: HashMap<Arc<str>, HashMap<i32, TopicPartition>>,
    /// The one that was looked up last: records of a partition come in runs.
    last: Option<TopicPartition>,
}

impl Ownership {
    /// Adds partitions; they share the name of their topic from here on.
    pub(super) fn add(&mut self, partitions: &mut [TopicPartition]) {
        for partition in partitions {
            let name = match self.topics.get_key_value(&partition.topic) {
                Some((name, _)) => Arc::clone(name),
                None => Arc::clone(&partition.topic),
            };
            partition.topic = Arc::clone(&name);
            let owned = self.topics.entry(name).or_default();
            owned.insert(partition.partition, partition.clone());
        }
    }

    /// Takes partitions out.
    pub(super) fn remove(&mut self, partitions: &[TopicPartition]) {
        self.last = None;
        for partition in partitions {
            if let Some(owned) = self.topics.get_mut(&partition.topic) {
                owned.remove(&partition.partition);
            }
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<TopicPartition> {
        let owned = self.topics.values().flat_map(HashMap::values);
        owned.cloned().collect()
    }

    /// The partition, if it is this member's.
    pub(super) fn get(&mut self, topic: &[u8], partition: i32) -> Option<&TopicPartition> {
        let is_last = self
            .last
            .as_ref()
            .is_some_and(|last| last.partition == partition && last.topic.as_bytes() == topic);
        if !is_last {
            let topic = std::str::from_utf8(topic).ok()?;
            self.last = self.topics.get(topic)?.get(&partition).cloned();
        }
        self.last.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_found_until_it_is_removed() {
        let mut ownership = Ownership::default();
        let mut added = [TopicPartition::new("t", 0), TopicPartition::new("t", 1)];
        ownership.add(&mut added);
        assert_eq!(ownership.get(b"t", 1), Some(&added[1]));
        assert_eq!(ownership.get(b"t", 0), Some(&added[0]));
        assert_eq!(ownership.get(b"u", 0), None);

        ownership.remove(&added[..1]);
        assert_eq!(ownership.get(b"t", 0), None);
        assert_eq!(ownership.get(b"t", 1), Some(&added[1]));
    }
}
