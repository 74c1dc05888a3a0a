//! A topic: its identity, its configuration and its partitions.

use std::sync::Arc;

use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::config::{self, TopicConfigs};
use crate::log::{Append, Partition};
use crate::node::now_ms;

/// One version of a topic; a change makes a new one that shares the partitions.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) name: StrBytes,
    pub(crate) id: Uuid,
    pub(crate) configs: TopicConfigs,
    pub(crate) partitions: Vec<Arc<Partition>>,
    /// Bytes of the largest batch, parsed once.
    pub(crate) max_message_bytes: usize,
    pub(crate) segment_bytes: u64,
    pub(crate) log_append_time: bool,
    /// Whether every record must have a key.
    pub(crate) compacted: bool,
}

impl Topic {
    pub(crate) fn new(
        name: &str,
        id: Uuid,
        configs: TopicConfigs,
        partitions: Vec<Arc<Partition>>,
    ) -> Self {
        Self {
            name: StrBytes::from_string(name.to_owned()),
            id,
            max_message_bytes: config::max_message_bytes(&configs),
            segment_bytes: config::segment_bytes(&configs),
            log_append_time: config::uses_log_append_time(&configs),
            compacted: config::is_compacted(&configs),
            configs,
            partitions,
        }
    }

    /// How batches are appended to its partitions.
    pub(crate) fn append(&self) -> Append {
        Append {
            segment_bytes: self.segment_bytes,
            append_time: self.log_append_time.then(now_ms),
        }
    }

    /// Partition `index`, if there is one.
    pub(crate) fn partition(&self, index: i32) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(index).ok()?)
    }
}
