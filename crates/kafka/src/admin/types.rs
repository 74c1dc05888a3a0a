//! What tools ask for and are told about topics.

use std::collections::BTreeMap;

use longshore_event::{NextOffset, TopicPartition};

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many brokers hold each of them.
    pub replication: i32,
    /// All its configs, those inherited from the broker included.
    pub configs: BTreeMap<String, TopicConfig>,
}

/// One config of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// Its value; `None` when the broker keeps it secret.
    pub value: Option<String>,
    /// Whether it is inherited, rather than set on the topic itself.
    pub is_default: bool,
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// How many brokers hold each of them; -1 leaves it to the broker.
    pub replication: i32,
    /// Configs to set on the topic; all others are inherited.
    pub configs: BTreeMap<String, String>,
}

/// Where a partition begins and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionBounds {
    /// The partition.
    pub partition: TopicPartition,
    /// The first offset that can still be read.
    pub begin: NextOffset,
    /// The offset that the next record will get.
    pub end: NextOffset,
}
