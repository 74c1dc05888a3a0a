//! A batch under way to a topic.

use std::time::Duration;

use longshore_event::TopicPartition;
use tokio::time::Instant;

use crate::OutboxRow;

/// After this long without an answer a topic is stuck, and nobody but a hand-over waits for it any more. An election of a
/// leader is over before.
const STUCK: Duration = Duration::from_secs(10);

/// What is known of a batch while the publisher has it.
#[derive(Debug)]
pub(super) struct Sending {
    since: Instant,
    sources: Vec<TopicPartition>,
}

impl Sending {
    /// A batch that leaves now.
    pub(super) fn of(rows: &[OutboxRow]) -> Self {
        Self {
            since: Instant::now(),
            sources: rows.iter().map(|row| row.source.clone()).collect(),
        }
    }

    /// Whether it has rows of these partitions.
    pub(super) fn has_some_of(&self, partitions: &[TopicPartition]) -> bool {
        let mut sources = self.sources.iter();
        sources.any(|source| partitions.contains(source))
    }

    /// When it makes its topic a stuck one.
    pub(super) fn stuck_at(&self) -> Instant {
        self.since + STUCK
    }
}
