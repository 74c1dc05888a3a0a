//! Where a worker under test runs: what of it outlives a crash, and how an instance of it is started there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use longshore_event::{TopicPartition, redrive_topic};
use longshore_services::ServiceClient;
use longshore_store::{Migration, OpenError, SqlStore, StoreUrl};
use longshore_testkit::memory::{
    MemoryGroup, MemoryLog, MemoryPublisher, MemorySource, MemoryTransactions, SourceControl,
};
use longshore_worker::{
    CommitStrategy, Handler, Inspector, Metrics, PlainStrategy, SourceError, Status, StoreStrategy,
    Worker,
};
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::gate::StoreGate;
use super::time::StandingClock;
use crate::builder::Strategy;
use crate::error::chain;
use crate::{RunError, WorkerArgs, WorkerBuilder};

/// Real time within which what is left of a crashed instance lets go of the store.
const LET_GO: Duration = Duration::from_secs(5);

/// What the workers of one test share.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) log: MemoryLog,
    pub(super) clock: Arc<StandingClock>,
    /// Records that the test has sent; what their ids are made of.
    pub(super) sent: Arc<AtomicU64>,
}

/// What of a worker outlives its instances.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) world: World,
    pub(super) name: &'static str,
    pub(super) reads: Vec<String>,
    pub(super) args: WorkerArgs,
    pub(super) group: MemoryGroup,
    pub(super) publisher: MemoryPublisher,
    pub(super) gate: Arc<StoreGate>,
    pub(super) brokers_down: AtomicBool,
    pub(super) dir: TempDir,
}

/// One life of a worker.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) task: JoinHandle<Result<(), SourceError>>,
    pub(super) stop: Option<oneshot::Sender<()>>,
    pub(super) control: SourceControl,
    pub(super) status: watch::Receiver<Status>,
    pub(super) inspector: Inspector,
    /// In front of the gate: what the test asks is not disturbed by the faults it has set.
    pub(super) store: Option<SqlStore>,
}

impl Site {
    /// The consumer group.
    pub(super) fn group_name(&self) -> &str {
        self.args.group.as_deref().unwrap_or(self.name)
    }

    /// The partitions of all topics it reads.
    pub(super) fn partitions(&self) -> Vec<TopicPartition> {
        let redrive = redrive_topic(self.group_name());
        let topics = self.reads.iter().map(String::as_str);
        let topics = topics.chain([&*redrive]);
        topics
            .flat_map(|topic| self.world.log.partitions(topic))
            .collect()
    }

    /// What has been done so far, as a number that grows with it.
    pub(super) fn activity(&self) -> u64 {
        self.gate.calls() + self.publisher.attempts()
    }

    /// Starts the worker that `builder` describes as its `main` would, with every partition assigned to it.
    pub(super) async fn start<H: Handler>(&self, builder: WorkerBuilder<H>) -> Instance {
        let source = self
            .group
            .join(self.args.max_in_flight)
            .redrives(&redrive_topic(self.group_name()))
            .drain(self.args.drain);
        let publisher = builder.bus.around(self.publisher.clone());
        let in_transactions = matches!(builder.strategy, Strategy::Transaction(_));
        let (handler, store) = match builder.strategy {
            Strategy::Store(make) => {
                let store = self.open_store(builder.migrations).await;
                let gated = store.gated(self.gate.clone());
                let services = match builder.calls_services {
                    true => self.args.services.client(),
                    false => Ok(ServiceClient::none()),
                };
                let services = services.unwrap_or_else(|error| panic!("{}", chain(&error)));
                (make(&gated, &services), Some((store, gated)))
            }
            Strategy::Plain(handler) | Strategy::Transaction(handler) => (handler, None),
        };
        let strict_in_vain = self.args.strict && store.is_none();
        assert!(!strict_in_vain, "{}", RunError::StrictWithoutStore);
        let instance = match store {
            None if in_transactions => {
                // A worker in transactions tells nobody in its process what it publishes.
                let transactions =
                    MemoryTransactions::new(self.publisher.clone(), source.control());
                self.run(handler, source, transactions, None)
            }
            None => self.run(handler, source, PlainStrategy::new(publisher), None),
            Some((store, gated)) => {
                let strategy = StoreStrategy::new(
                    Arc::new(gated),
                    publisher,
                    self.world.clock.clock(),
                    self.args.retention(),
                );
                self.run(handler, source, strategy, Some(store))
            }
        };
        if self.brokers_down.load(Ordering::Relaxed) {
            instance.control.unavailable(super::faults::OUTAGE);
        }
        instance.control.assign(&self.partitions());
        instance
    }

    fn run<H: Handler, C: CommitStrategy>(
        &self,
        handler: H,
        source: MemorySource,
        strategy: C,
        store: Option<SqlStore>,
    ) -> Instance {
        let mut settings = self.args.settings(self.group_name());
        settings.clock = self.world.clock.clock();
        let metrics = Metrics::register(&mut Registry::default(), self.group_name());
        let control = source.control();
        let worker = Worker::new(handler, source, strategy, settings, metrics);
        let (stop, stopped) = oneshot::channel();
        let stopped = async move {
            if stopped.await.is_err() {
                // The instance was dropped, and with it goes this task.
                std::future::pending().await
            }
        };
        Instance {
            control,
            status: worker.status(),
            inspector: worker.inspector(),
            task: tokio::spawn(worker.run(stopped)),
            stop: Some(stop),
            store,
        }
    }

    /// Opens the store. Tasks that an earlier instance has left behind may have it for a moment longer.
    async fn open_store(&self, migrations: &[Migration]) -> SqlStore {
        let path = self.dir.path().join(format!("{}.db", self.name));
        let url = StoreUrl::sqlite(path);
        let began = std::time::Instant::now();
        loop {
            match SqlStore::open(&url, self.group_name(), migrations).await {
                Ok(store) => return store,
                Err(OpenError::InUse { .. } | OpenError::Unavailable(_))
                    if began.elapsed() < LET_GO =>
                {
                    tokio::task::yield_now().await;
                }
                Err(OpenError::InUse { .. }) => panic!(
                    "the store of {} is still in use: something that its handler or the test has started holds on to a SqlStore",
                    self.name
                ),
                Err(error) => panic!(
                    "the store of {} does not open: {}",
                    self.name,
                    chain(&error)
                ),
            }
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.task.abort();
    }
}
