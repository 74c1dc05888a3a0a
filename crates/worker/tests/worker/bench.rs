//! A bench for one consumer group: log, store and publisher that outlive the workers, and a handler that does what the
//! note says.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use longshore_event::{Envelope, Identity, Record, TopicPartition, redrive_topic};
use longshore_testkit::memory::{
    Echo, MemoryGroup, MemoryLog, MemoryPublisher, MemorySource, MemoryStore, Note, SourceControl,
};
use longshore_worker::{
    Clock, Context, Failure, Handler, Inspector, Metrics, Park, Retention, Settings, SourceError,
    Statement, Status, Store, StoreStrategy, Worker, sql,
};
use prometheus_client::registry::Registry;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

pub(crate) const GROUP: &str = "echoers";
/// Longer than anything here takes in tokio's time; the clock is paused, so it costs nothing.
pub(crate) const SOON: Duration = Duration::from_secs(600);

pub(crate) struct Bench {
    pub(crate) log: MemoryLog,
    pub(crate) group: MemoryGroup,
    pub(crate) store: MemoryStore,
    pub(crate) publisher: MemoryPublisher,
    pub(crate) calls: Calls,
    produced: AtomicUsize,
    /// One time for all workers of the bench.
    clock: Clock,
}

/// What the handler was asked, in order: the note's text at its start, and again with a `.` at its end.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<Vec<String>>>, Arc<AtomicBool>);

impl Calls {
    fn push(&self, call: String) {
        self.0.lock().expect("no panic holds it").push(call);
    }

    /// The service that `service` needs goes down, or comes back.
    pub(crate) fn service_down(&self, down: bool) {
        self.1.store(down, Ordering::Relaxed);
    }

    fn is_service_down(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().expect("no panic holds it").clone()
    }

    pub(crate) fn started(&self, text: &str) -> usize {
        self.all().iter().filter(|call| *call == text).count()
    }
}

/// Does what the note says: `slow` takes a second, `flaky` fails twice, `late` fails until it was parked twice, `down`
/// always fails, `service` fails while the service is down and `unasked` does not even ask it then, nor does
/// `cut` once it was parked, `fixable` and `poison` fail for good,
/// `ask` asks the store, `panic` panics, `hang` never returns, `bad write` leaves a statement that the store rejects,
/// `later 5` echoes the note in 5 seconds under a name that `cancel` cancels, `nameless` in 10 under none, `remind 5` produces
/// the note `reminded` in 5 seconds. Given up, a note that ends with `mourned` leaves a statement, one that ends with `badly`
/// a statement that the store rejects. Whatever else it does, it echoes the note if it succeeds.
pub(crate) struct Script(pub(crate) Calls, MemoryStore);

impl Handler for Script {
    type Payload = Note;
    const NAME: &'static str = "script";

    async fn handle(
        &self,
        message: &Envelope<Note>,
        context: &mut Context<'_, Note>,
    ) -> Result<(), Failure> {
        let note = message.event();
        self.0.push(note.text.clone());
        match note.text.split(' ').next().unwrap_or_default() {
            "slow" => tokio::time::sleep(Duration::from_secs(1)).await,
            "flaky" if context.attempt() <= 2 => Err(std::io::Error::other("not yet"))?,
            "late" if context.attempt() <= 5 => Err(std::io::Error::other("not yet"))?,
            "down" => Err(std::io::Error::other("always"))?,
            "service" if self.0.is_service_down() => Err(std::io::Error::other("away"))?,
            "unasked" if self.0.is_service_down() => return Err(Failure::outage("not asked")),
            "cut" if self.0.is_service_down() => {
                return Err(match context.attempt() {
                    1..=4 => Failure::transient("cut off"),
                    _ => Failure::outage("not asked"),
                });
            }
            "fixable" => return Err(Failure::permanent("not like this")),
            "poison" => return Err(Failure::permanent("never")),
            "ask" => self.1.ping().await?,
            "panic" => panic!("as asked"),
            "hang" => std::future::pending().await,
            "bad" => context.write(sql("bad write")),
            "later" => {
                let seconds = note.text.split(' ').nth(1).and_then(|n| n.parse().ok());
                let after = Duration::from_secs(seconds.expect("`later` and a number"));
                context
                    .publish_after(&Echo::from(note), after)?
                    .named("reminder");
                return Ok(());
            }
            "nameless" => {
                context.publish_after(&Echo::from(note), Duration::from_secs(10))?;
                return Ok(());
            }
            "remind" => {
                let seconds = note.text.split(' ').nth(1).and_then(|n| n.parse().ok());
                let after = Duration::from_secs(seconds.expect("`remind` and a number"));
                context.publish_after(&Note::new(&note.key, "reminded"), after)?;
                return Ok(());
            }
            "cancel" => {
                context.cancel("reminder");
                return Ok(());
            }
            _ => {}
        }
        context.write(sql("insert into notes values ($1)").bind(note.text.clone()));
        context.publish(&Echo::from(note))?;
        self.0.push(format!("{}.", note.text));
        Ok(())
    }

    fn given_up(&self, message: &Envelope<Note>, _: &Failure, _: Timestamp) -> Vec<Statement> {
        let text = &message.event().text;
        match text.rsplit(' ').next() {
            Some("mourned") => vec![sql("insert into graves values ($1)").bind(text.clone())],
            Some("badly") => vec![sql("bad write")],
            _ => Vec::new(),
        }
    }
}

/// Echoes without writing anything, so that it can do without a store; `poison` fails for good, `write` writes.
pub(crate) struct Silent(pub(crate) Calls);

impl Handler for Silent {
    type Payload = Note;
    const NAME: &'static str = "silent";

    async fn handle(
        &self,
        message: &Envelope<Note>,
        context: &mut Context<'_, Note>,
    ) -> Result<(), Failure> {
        let note = message.event();
        self.0.push(note.text.clone());
        match note.text.as_str() {
            "poison" => Err(Failure::permanent("never")),
            "write" => {
                context.write(sql("anything"));
                Ok(())
            }
            _ => context.publish(&Echo::from(note)),
        }
    }
}

/// A worker at work. Dropping it is a crash.
pub(crate) struct Running {
    pub(crate) control: SourceControl,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) inspector: Inspector,
    metrics: Registry,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), SourceError>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    pub(crate) async fn stop(mut self) -> Result<(), SourceError> {
        self.stop
            .take()
            .expect("stopped once")
            .send(())
            .expect("running");
        (&mut self.task).await.expect("no panic")
    }

    /// The value of a gauge with one set of labels; `None` if it tells nothing.
    pub(crate) fn gauge(&self, name: &str) -> Option<i64> {
        let mut told = String::new();
        prometheus_client::encoding::text::encode(&mut told, &self.metrics).expect("a string");
        let of_name = |line: &&str| line.starts_with(name);
        let line = told.lines().find(of_name)?;
        let (_, value) = line.rsplit_once(' ').expect("a value");
        Some(value.parse().expect("a whole number"))
    }

    pub(crate) async fn crash(mut self) {
        self.task.abort();
        assert!((&mut self.task).await.expect_err("aborted").is_cancelled());
    }
}

impl Bench {
    pub(crate) fn new(partitions: i32) -> Self {
        let log = MemoryLog::new()
            .with_topic("notes", partitions)
            .with_topic("notes.dlq", 1)
            .with_topic("echoes", 1);
        let store = MemoryStore::new();
        store.reject_statement("bad write");
        Self {
            group: MemoryGroup::new(&log),
            publisher: MemoryPublisher::new(&log),
            store,
            log,
            calls: Calls::default(),
            produced: AtomicUsize::new(0),
            clock: Clock::from_tokio(Timestamp::UNIX_EPOCH),
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            clock: self.clock.clone(),
            park: Park {
                attempts: 6,
                first: Duration::from_secs(1),
                ..Park::default()
            },
            ..Settings::new(GROUP)
        }
    }

    /// A worker that owns every partition.
    pub(crate) fn start(&self) -> Running {
        self.start_changed(|_| {})
    }

    /// The same with other settings.
    pub(crate) fn start_changed(&self, change: impl FnOnce(&mut Settings)) -> Running {
        let mut settings = self.settings();
        change(&mut settings);
        let running = self.start_with(settings, self.group.join(2_000));
        running.control.assign(&self.partitions());
        running
    }

    /// A worker without partitions so far.
    pub(crate) fn start_with(&self, settings: Settings, source: MemorySource) -> Running {
        let control = source.control();
        let strategy = StoreStrategy::new(
            Arc::new(self.store.clone()),
            self.publisher.clone(),
            settings.clock.clone(),
            Retention::default(),
        );
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry, GROUP);
        let handler = Script(self.calls.clone(), self.store.clone());
        let worker = Worker::new(handler, source, strategy, settings, metrics);
        let (stop, stopped) = oneshot::channel::<()>();
        Running {
            control,
            status: worker.status(),
            inspector: worker.inspector(),
            metrics: registry,
            stop: Some(stop),
            task: tokio::spawn(worker.run(async {
                // A dropped sender is a stop as well.
                stopped.await.unwrap_or_default();
            })),
        }
    }

    /// The partitions that the group reads.
    pub(crate) fn partitions(&self) -> Vec<TopicPartition> {
        let mut partitions = self.log.partitions("notes");
        partitions.extend(self.log.partitions(&redrive_topic(GROUP)));
        partitions
    }

    /// The same bench, with a topic for redriven messages.
    pub(crate) fn with_redrive(self) -> Self {
        self.log.create_topic(&redrive_topic(GROUP), 1);
        self
    }

    /// Produces notes of one key, with ids that no other note has.
    pub(crate) fn produce(&self, key: &str, texts: &[&str]) -> Vec<Record> {
        texts
            .iter()
            .map(|text| {
                let id = format!("{key}-{}", self.produced.fetch_add(1, Ordering::Relaxed));
                self.log.produce(&id, &Note::new(key, text))
            })
            .collect()
    }

    /// Waits until the topic holds that many records.
    pub(crate) async fn until(&self, topic: &str, count: usize) {
        self.until_within(topic, count, SOON).await;
    }

    /// As [`Bench::until`], with a deadline of its own.
    pub(crate) async fn until_within(&self, topic: &str, count: usize, within: Duration) {
        let reached = self.log.wait_until(|log| log.records(topic).len() >= count);
        if tokio::time::timeout(within, reached).await.is_err() {
            let found = self.log.records(topic).len();
            panic!(
                "{topic} holds {found} records, not {count}; calls: {:?}",
                self.calls.all()
            );
        }
    }

    /// Waits until something is committed and not published yet.
    pub(crate) async fn until_unpublished(&self) {
        self.until_true("something is committed", |bench| {
            !bench.store.outbox_rows().is_empty()
        })
        .await;
    }

    /// Waits until all that was committed is published, and the store knows.
    pub(crate) async fn until_published(&self) {
        self.until_true("the outbox is clear", |bench| {
            bench.store.outbox_rows().is_empty()
        })
        .await;
    }

    /// Waits for a condition that nothing announces.
    pub(crate) async fn until_true(&self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let poll = async {
            while !condition(self) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        assert!(
            tokio::time::timeout(SOON, poll).await.is_ok(),
            "never: {what}"
        );
    }

    /// The texts in a topic, in log order.
    pub(crate) fn texts(&self, topic: &str) -> Vec<String> {
        self.log.records(topic).iter().map(text).collect()
    }

    /// The sum of the offsets committed to the group: how many records of the topic are behind the watermark.
    pub(crate) fn committed(&self) -> i64 {
        let partitions = self.partitions();
        let committed = partitions
            .iter()
            .map(|partition| self.group.committed(partition));
        committed.flatten().map(|next| next.0).sum()
    }
}

pub(crate) fn text(record: &Record) -> String {
    let value = record.value.as_deref().unwrap_or_default();
    let json: serde_json::Value = serde_json::from_slice(value).unwrap_or_default();
    json["text"].as_str().unwrap_or("?").to_owned()
}

pub(crate) fn identity(id: &str) -> Identity {
    Identity {
        source: "test".into(),
        id: id.into(),
    }
}
