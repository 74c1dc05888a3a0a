//! Stores, jobs and executors for the tests.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use longshore_event::{
    Envelope, Headers, Identity, Limits, Offset, OutgoingRecord, Position, Record, TopicPartition,
};
use longshore_jobs::{
    AnyJob, Backoff, Job, JobHandler, JobIntake, JobPayload, JobState, JobView, Jobs, MIGRATIONS,
    NewJob, QueueConfig, Queues,
};
use longshore_store::{SqlStore, StoreUrl};
use longshore_testkit::postgres::Postgres;
use longshore_testkit::wait::eventually;
use longshore_worker::{Claim, Clock, Commit, Context, Failure, Finished, Handler, Store};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::{OnceCell, Semaphore, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Far more than anything here takes; a test that needs it has failed.
pub(crate) const WITHIN: Duration = Duration::from_secs(30);

/// A place for one test's store.
pub(crate) struct Place {
    url: StoreUrl,
    _directory: Option<TempDir>,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self {
            url: StoreUrl::sqlite(directory.path().join("jobs.db")),
            _directory: Some(directory),
        }
    }

    /// `None` if there is no PostgreSQL here, which is said on stderr.
    pub(crate) async fn postgres() -> Option<Self> {
        static SERVER: OnceCell<Option<Postgres>> = OnceCell::const_new();
        let server = SERVER.get_or_init(Postgres::start).await.as_ref()?;
        let database = format!("jobs_{}", Uuid::new_v4().simple());
        let url = server.create_database(&database);
        Some(Self {
            url: url.parse().expect("a URL"),
            _directory: None,
        })
    }

    pub(crate) async fn open(&self) -> SqlStore {
        let store = SqlStore::open(&self.url, "jobs", MIGRATIONS).await;
        store.expect("the store opens")
    }
}

/// What a test's job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Act {
    Succeed,
    /// Fails as long as the run is one of the first so many.
    Fail(u32),
    Reject,
    Panic,
    /// Waits until the test opens the gate.
    Wait,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ring {
    pub(crate) act: Act,
}

impl JobPayload for Ring {
    const TOPIC: &'static str = "jobs.bell";
}

/// Runs the jobs of tests, and remembers each run.
#[derive(Clone)]
pub(crate) struct Bell {
    runs: Arc<Mutex<Vec<(String, u32)>>>,
    pub(crate) gate: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

/// A run that waits at the gate.
struct AtGate(Arc<AtomicUsize>);

impl AtGate {
    fn of(bell: &Bell) -> Self {
        bell.waiting.fetch_add(1, Ordering::SeqCst);
        Self(bell.waiting.clone())
    }
}

impl Drop for AtGate {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Bell {
    /// Runs that wait at the gate and were not dropped.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}

impl JobHandler for Bell {
    type Payload = Ring;

    async fn run(&self, job: &Job<Ring>) -> Result<(), Failure> {
        let _waiting = (job.payload().act == Act::Wait).then(|| AtGate::of(self));
        let run = (job.id().to_owned(), job.attempt());
        self.runs.lock().expect("whole").push(run);
        match job.payload().act {
            Act::Succeed => Ok(()),
            Act::Fail(runs) if job.attempt() <= runs => Err(Failure::transient("not yet")),
            Act::Fail(_) => Ok(()),
            Act::Reject => Err(Failure::permanent("never")),
            Act::Panic => panic!("on purpose"),
            Act::Wait => {
                job.progress(40);
                job.log("at the gate");
                let opened = self.gate.acquire().await;
                opened.expect("never closed").forget();
                Ok(())
            }
        }
    }
}

/// The jobs of one test over one store.
pub(crate) struct Site {
    pub(crate) jobs: Jobs,
    pub(crate) store: SqlStore,
    pub(crate) bell: Bell,
    intake: JobIntake,
    offset: Mutex<i64>,
}

/// An executor at work. Dropping it is the death of its process.
pub(crate) struct Executor {
    task: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
}

/// A queue whose failures are tried again at once.
pub(crate) fn config() -> QueueConfig {
    QueueConfig {
        concurrency: 1,
        attempts: 3,
        backoff: Backoff::Fixed {
            wait_ms: 1,
            jitter: 0.0,
        },
        lease: Duration::from_secs(60),
        ..QueueConfig::default()
    }
}

/// For tests that wait for a lease to end.
pub(crate) fn brief_lease() -> QueueConfig {
    QueueConfig {
        lease: Duration::from_secs(2),
        ..config()
    }
}

pub(crate) fn job(id: &str, act: Act) -> NewJob<Ring> {
    NewJob::with_id(id, Ring { act })
}

impl Site {
    pub(crate) async fn open(place: &Place, config: QueueConfig) -> Self {
        let bell = Bell {
            runs: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
            waiting: Arc::default(),
        };
        Self::over(place.open().await, config, bell)
    }

    /// Another one with a store of its own on the same database, where that can be; the runs are told in one place.
    pub(crate) async fn beside(&self, place: &Place, config: QueueConfig) -> Self {
        let store = match self.store.is_exclusive() {
            true => self.store.clone(),
            false => place.open().await,
        };
        Self::over(store, config, self.bell.clone())
    }

    fn over(store: SqlStore, config: QueueConfig, bell: Bell) -> Self {
        let intake = JobIntake::new([(Ring::queue(), config.clone())]);
        let queues = Arc::new(Queues::new().queue(bell.clone(), config));
        let clock = Clock::system();
        Self {
            jobs: Jobs::new(store.clone(), queues, "jobs".into(), clock, None),
            intake,
            store,
            bell,
            offset: Mutex::default(),
        }
    }

    /// Takes a job in as the worker does, by a message of its own.
    pub(crate) async fn add(&self, job: &NewJob<Ring>) {
        let offset = {
            let mut offset = self.offset.lock().expect("whole");
            *offset += 1;
            *offset
        };
        let value = serde_json::to_vec(job).expect("JSON");
        self.take_in(offset, value, Headers::new()).await;
    }

    /// Takes a record in, whatever it is, unless its offset was taken in before.
    pub(crate) async fn take_in(&self, offset: i64, value: Vec<u8>, headers: Headers) {
        let record = Record {
            partition: TopicPartition::new("jobs.bell", 0),
            offset: Offset(offset),
            timestamp: None,
            key: None,
            value: Some(value.into()),
            headers,
        };
        let position: Position = record.position();
        let envelope = Envelope::<AnyJob>::decode(record, &Limits::default()).expect("a job");
        let group = Arc::from("jobs");
        let mut context = Context::new(&envelope, &group, 1, Timestamp::now());
        self.intake
            .handle(&envelope, &mut context)
            .await
            .expect("taken in");
        let message = Finished {
            identity: Identity::clone(envelope.identity()),
            position,
            key: None,
            claim: Claim::Inbox,
            writes: context.writes().to_vec(),
            outbox: Vec::new(),
            timers: Vec::new(),
            parked: None,
            releases: None,
            keeps: None,
        };
        let commit = Commit {
            fences: &[],
            now: Timestamp::now(),
            messages: &[message],
        };
        match self.store.commit(&commit).await {
            Ok(()) | Err(longshore_worker::StoreError::Duplicate) => {}
            Err(error) => panic!("not committed: {error:?}"),
        }
    }

    pub(crate) fn start(&self) -> Executor {
        self.start_with(WITHIN)
    }

    /// Starts an executor that has so long to finish when it is stopped.
    pub(crate) fn start_with(&self, drain: Duration) -> Executor {
        let (stop, stopped) = oneshot::channel();
        let stopped = Box::pin(async move { drop(stopped.await) });
        let jobs = self.jobs.clone();
        Executor {
            task: tokio::spawn(async move { jobs.execute(stopped, drain).await }),
            stop: Some(stop),
        }
    }

    pub(crate) async fn show(&self, id: &str) -> Option<JobView> {
        self.jobs.show(id).await.expect("shown")
    }

    /// Waits until a job is in a state.
    pub(crate) async fn until(&self, id: &str, state: JobState) -> JobView {
        eventually(&format!("{id} {state:?}"), WITHIN, async || {
            match self.show(id).await {
                Some(job) if job.state == state => Ok(job),
                other => Err(other),
            }
        })
        .await
    }

    /// Each run so far: job and attempt.
    pub(crate) fn runs(&self) -> Vec<(String, u32)> {
        self.bell.runs.lock().expect("whole").clone()
    }

    /// The jobs that ran, in order.
    pub(crate) fn ran(&self) -> Vec<String> {
        self.runs().into_iter().map(|(id, _)| id).collect()
    }

    pub(crate) async fn until_runs(&self, count: usize) {
        eventually(&format!("{count} runs"), WITHIN, async || {
            let runs = self.runs();
            if runs.len() >= count {
                Ok(())
            } else {
                Err(runs)
            }
        })
        .await;
    }

    /// What is on its way to Kafka: topic and record. It is claimed for a moment, and can be asked for again.
    pub(crate) async fn outgoing(&self) -> Vec<OutgoingRecord> {
        let now = Timestamp::now();
        let due = self
            .store
            .claim_due(now, now, 1_000)
            .await
            .expect("claimed");
        due.rows.into_iter().map(|row| row.record).collect()
    }

    pub(crate) async fn outgoing_topics(&self) -> Vec<String> {
        let mut topics: Vec<_> = self
            .outgoing()
            .await
            .iter()
            .map(|record| record.topic.to_string())
            .collect();
        topics.sort();
        topics
    }
}

impl Executor {
    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) {
        let stop = self.stop.take().expect("once");
        stop.send(()).expect("it runs");
        let ended = tokio::time::timeout(WITHIN, &mut self.task).await;
        ended.expect("in time").expect("no panic");
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.task.abort();
    }
}
