//! A topic as it should be and as it is: the two sides that a plan compares.

use std::collections::BTreeMap;

use crate::State;

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredTopic {
    /// The topic's name.
    pub name: String,
    /// Whether it should exist.
    pub state: State,
    /// Partitions.
    pub partitions: i32,
    /// Copies of each partition; `None` is whatever the broker gives.
    pub replication: Option<i32>,
    /// The configurations to set; any other has the broker's default.
    pub configs: BTreeMap<String, String>,
}

/// A topic as the broker describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActualTopic {
    /// The topic's name.
    pub name: String,
    /// Partitions.
    pub partitions: i32,
    /// Copies of each partition.
    pub replication: i32,
    /// The configurations that were set on the topic itself, without the broker's defaults.
    pub configs: BTreeMap<String, String>,
}
