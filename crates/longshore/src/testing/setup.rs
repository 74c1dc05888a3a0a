//! A worker to test: what of its surroundings the test chooses, and how it is started.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use longshore_event::{dead_letter_topic, redrive_topic};
use longshore_testkit::memory::{MemoryGroup, MemoryLog, MemoryPublisher};
use longshore_worker::Handler;

use super::TestWorker;
use super::gate::StoreGate;
use super::site::{Instance, Site, World};
use super::time::StandingClock;
use crate::{WorkerArgs, WorkerBuilder};

/// Partitions of a topic, unless the test says otherwise: more than one, as in production.
const PARTITIONS: i32 = 3;

/// The seed of all jitter, so that waits of one key are the same in two runs of a test.
const SEED: u64 = 1;

/// Starts an instance of the worker at a site.
pub(super) type Start =
    Box<dyn Fn(Arc<Site>) -> Pin<Box<dyn Future<Output = Instance> + Send>> + Send>;

/// Describes a worker under test. [`TestWorker::start`] is enough where the defaults will do.
pub struct TestSetup<F> {
    worker: F,
    args: WorkerArgs,
    partitions: i32,
    topics: Vec<String>,
    world: Option<World>,
}

impl<H, F> TestSetup<F>
where
    H: Handler,
    F: Fn() -> WorkerBuilder<H> + Send + 'static,
{
    /// The worker that `worker` describes: the function that its `main` calls, or a closure with fakes in it. It is called
    /// again for each restart.
    pub fn new(worker: F) -> Self {
        Self {
            worker,
            args: WorkerArgs::new("in memory"),
            partitions: PARTITIONS,
            topics: Vec::new(),
            world: None,
        }
    }

    /// Changes flags of the worker's command line, from their defaults. Where it runs (brokers, store, admin endpoint)
    /// stays the kit's.
    #[must_use]
    pub fn args(mut self, change: impl FnOnce(&mut WorkerArgs)) -> Self {
        change(&mut self.args);
        self
    }

    /// Partitions of each topic that does not exist yet; three by default.
    #[must_use]
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = partitions.max(1);
        self
    }

    /// One more topic that exists, beside those that the worker declares.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.push(topic.into());
        self
    }

    /// On the log of another worker: what one publishes, the other reads. Each has its own store.
    #[must_use]
    pub fn beside(mut self, other: &TestWorker) -> Self {
        self.world = Some(other.site.world.clone());
        self
    }

    /// Starts the worker and waits until it has its partitions.
    ///
    /// # Panics
    /// If the runtime is not one of a single thread, or if the migrations fail.
    pub async fn start(self) -> TestWorker {
        let clock = StandingClock::of_this_test();
        let standing = clock.worker();
        fastrand::seed(SEED);
        let described = (self.worker)();
        let world = self.world.unwrap_or_else(|| World {
            log: MemoryLog::new().stamped_by(clock.clock()),
            clock,
            sent: Arc::default(),
        });
        let site = Site {
            name: described.name,
            group: MemoryGroup::new(&world.log),
            publisher: MemoryPublisher::new(&world.log),
            gate: Arc::new(StoreGate::new(world.clock.clone())),
            brokers_down: AtomicBool::new(false),
            dir: tempfile::tempdir().expect("a directory for the store"),
            args: self.args,
            reads: described.reads,
            world,
        };
        let topics = described.publishes.into_iter().chain(self.topics);
        create_topics(&site, topics, self.partitions);
        let worker = self.worker;
        let start: Start = Box::new(move |site| {
            let builder = worker();
            Box::pin(async move { site.start(builder).await })
        });
        let mut worker = TestWorker::new(site, start, standing);
        worker.restart().await;
        worker
    }
}

/// What `longshore topics apply` would have created. Topics that are there stay as they are.
fn create_topics(site: &Site, others: impl Iterator<Item = String>, partitions: i32) {
    let log = &site.world.log;
    for topic in &site.reads {
        log.create_topic(topic, partitions);
        log.create_topic(&dead_letter_topic(topic), partitions);
    }
    for topic in others {
        log.create_topic(&topic, partitions);
    }
    log.create_topic(&redrive_topic(site.group_name()), partitions);
}

impl<F> std::fmt::Debug for TestSetup<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestSetup")
            .field("args", &self.args)
            .field("partitions", &self.partitions)
            .field("topics", &self.topics)
            .finish_non_exhaustive()
    }
}
