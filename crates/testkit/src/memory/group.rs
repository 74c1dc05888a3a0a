//! A consumer group's committed offsets, shared by all its members over all their lives.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use longshore_event::{NextOffset, TopicPartition};

use super::{MemoryLog, MemorySource, lock};

/// A consumer group on a [`MemoryLog`]. Clones share the committed offsets. Who owns what is up to the test: see
/// [`SourceControl`](super::SourceControl).
#[derive(Clone, Debug)]
pub struct MemoryGroup {
    log: MemoryLog,
    commits: Arc<Mutex<Commits>>,
}

#[derive(Default)]
struct Commits {
    committed: BTreeMap<TopicPartition, NextOffset>,
    history: Vec<(TopicPartition, NextOffset)>,
    witness: Option<Witness>,
}

/// Somebody who is told of every commit as it happens.
type Witness = Arc<dyn Fn(&TopicPartition, NextOffset) + Send + Sync>;

impl fmt::Debug for Commits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commits")
            .field("committed", &self.committed)
            .finish_non_exhaustive()
    }
}

impl MemoryGroup {
    /// A group that has committed nothing yet.
    pub fn new(log: &MemoryLog) -> Self {
        Self {
            log: log.clone(),
            commits: Arc::default(),
        }
    }

    /// A new member, without partitions so far, that never has more than `max_in_flight` records out.
    pub fn join(&self, max_in_flight: usize) -> MemorySource {
        MemorySource::new(self.clone(), max_in_flight)
    }

    /// The log it reads.
    pub fn log(&self) -> &MemoryLog {
        &self.log
    }

    /// The offset that a new owner of the partition starts at; `None` if nothing was committed.
    pub fn committed(&self, partition: &TopicPartition) -> Option<NextOffset> {
        lock(&self.commits).committed.get(partition).copied()
    }

    /// Every commit that was accepted, in order.
    pub fn history(&self) -> Vec<(TopicPartition, NextOffset)> {
        lock(&self.commits).history.clone()
    }

    /// Tells `witness` of every commit that is accepted from now on, when it is: what is true at that moment may not be
    /// later. There is one witness at most.
    pub fn witness(&self, witness: impl Fn(&TopicPartition, NextOffset) + Send + Sync + 'static) {
        lock(&self.commits).witness = Some(Arc::new(witness));
    }

    pub(super) fn record(&self, partition: &TopicPartition, offset: NextOffset) {
        let mut commits = lock(&self.commits);
        commits.committed.insert(partition.clone(), offset);
        commits.history.push((partition.clone(), offset));
        let witness = commits.witness.clone();
        drop(commits);
        if let Some(witness) = witness {
            witness(partition, offset);
        }
    }
}
