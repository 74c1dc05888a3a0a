//! The queues of a worker: what each may do at once, what its jobs get if they ask for nothing else, and who runs them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::handler::{JobHandler, Run, Runner};
use crate::{Backoff, JobPayload};

/// The limits of one queue, and the defaults of its jobs.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// Jobs that run at once in one process; at least 1.
    pub concurrency: usize,
    /// Runs that are started in a time, over all instances; `None` for no limit.
    pub rate: Option<Rate>,
    /// Runs of a job in all, the first one included; at least 1.
    pub attempts: u32,
    /// The waits between them.
    pub backoff: Backoff,
    /// Time for one run.
    pub time_limit: Duration,
    /// How long a claim on a job holds without being renewed. If a process dies, its jobs are recovered after that; where
    /// no other process can have them (SQLite), at its next start.
    pub lease: Duration,
    /// Whether nothing is kept of a job that succeeded.
    pub remove_on_complete: bool,
    /// How long jobs are kept that succeeded, or were dropped as duplicates.
    pub keep_completed: Duration,
    /// How long jobs are kept that failed.
    pub keep_failed: Duration,
}

/// A limit on how many runs are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many.
    pub runs: u32,
    /// In this time.
    pub per: Duration,
}

impl Default for QueueConfig {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            concurrency: 8,
            rate: None,
            attempts: 5,
            backoff: Backoff::Exponential {
                first_ms: 1_000,
                longest_ms: 600_000,
                jitter: 0.5,
            },
            time_limit: Duration::from_secs(60),
            lease: Duration::from_secs(30),
            remove_on_complete: false,
            keep_completed: 7 * DAY,
            keep_failed: 90 * DAY,
        }
    }
}

/// The queues of a worker by their names.
#[derive(Default)]
pub struct Queues(BTreeMap<&'static str, Queue>);

/// One queue.
pub(crate) struct Queue {
    pub(crate) topic: &'static str,
    pub(crate) config: QueueConfig,
    pub(crate) runner: Arc<dyn Runner>,
}

impl Queues {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the queue whose jobs `handler` runs.
    #[must_use]
    pub fn queue<H: JobHandler>(mut self, handler: H, config: QueueConfig) -> Self {
        let queue = Queue {
            topic: H::Payload::TOPIC,
            config,
            runner: Arc::new(Run(Arc::new(handler))),
        };
        self.0.insert(H::Payload::queue(), queue);
        self
    }

    /// The topics through which jobs are added.
    pub fn topics(&self) -> impl Iterator<Item = &'static str> {
        self.0.values().map(|queue| queue.topic)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Queue> {
        self.0.get(name)
    }

    /// In the order of their names, which is the order in which they are locked.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &Queue)> {
        self.0.iter().map(|(name, queue)| (*name, queue))
    }
}

impl std::fmt::Debug for Queues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let configs = self.iter().map(|(name, queue)| (name, &queue.config));
        f.debug_map().entries(configs).finish()
    }
}
