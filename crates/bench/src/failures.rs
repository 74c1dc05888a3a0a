//! What failing keys cost the healthy ones: every message of one key in ten fails transiently until it was parked once.
//! The healthy keys' speed is compared with a run in which nothing fails, and the order of every key is checked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use longshore_event::{Envelope, OutgoingRecord, Record};
use longshore_kafka::{Admin, Connection, From, KafkaPublisher, KafkaSource, Reader, ReaderEvent};
use longshore_store::{Migration, SqlStore};
use longshore_worker::{
    Clock, Context, Failure, Handler, Metrics, Park, PublishError, Publisher, Retention, Retry,
    Settings, StoreStrategy, Worker, sql,
};
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::Arguments;
use crate::arena::{broker, create, fill, store};
use crate::note::{AnyTopic, COUNT, Note, TABLE};

/// How often the output topics are looked at: the error of the measured time.
const LOOK: Duration = Duration::from_millis(5);
/// One key in so many fails.
const FAILING: usize = 10;
/// Runs of the handler that fail: the immediate ones, so that the message is parked once.
const FAILED_RUNS: u32 = 2;

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let (broker, brokers) = broker(arguments, scratch.path()).await?;
    let connection = Connection::new(&brokers);
    let topic = fill(&connection, arguments).await?;
    let (mut without, mut beside) = (Vec::new(), Vec::new());
    for round in 1..=arguments.rounds {
        // In turns, so that a machine that becomes slower or faster meanwhile favours neither.
        let order = match round % 2 {
            0 => [true, false],
            _ => [false, true],
        };
        for fails in order {
            let scratch = tempfile::tempdir_in(scratch.path())?;
            let run = Run {
                fails,
                connection: connection.clone(),
                input: topic.clone(),
                store: store(arguments, scratch.path()),
                name: format!("failures-{}", uuid::Uuid::new_v4().simple()),
            };
            let outcome = run.measure(arguments).await?;
            println!("round {round}: {outcome}");
            let speeds = if fails { &mut beside } else { &mut without };
            speeds.push(outcome.healthy_per_second);
        }
    }
    println!(
        "\nhealthy keys beside failing ones: {:.2} of their speed without (medians of {}); the order of every key was kept",
        median(beside) / median(without),
        arguments.rounds
    );
    if let Some(broker) = broker {
        broker.shutdown().await;
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One worker that works through the whole topic.
struct Run {
    fails: bool,
    connection: Connection,
    input: String,
    store: String,
    name: String,
}

struct Outcome {
    fails: bool,
    healthy_per_second: f64,
    all_after: Duration,
    failed: usize,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = if self.fails {
            "failing keys"
        } else {
            "no failures"
        };
        write!(
            f,
            "{what}: healthy keys {:.0} msg/s, {} messages failed, all done after {:.1?}",
            self.healthy_per_second, self.failed, self.all_after
        )
    }
}

impl Run {
    async fn measure(&self, arguments: &Arguments) -> anyhow::Result<Outcome> {
        let (healthy, failing) = (self.output("healthy"), self.output("failing"));
        create(&self.connection, &healthy).await?;
        create(&self.connection, &failing).await?;
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = tokio::spawn(self.worker(stopped).await?);

        let failed = (0..arguments.messages).filter(|n| is_failing(n % arguments.keys));
        let failed = failed.count();
        let admin = Admin::connect(&self.connection)?;
        let began = until(&admin, &healthy, 1).await?;
        let done = until(&admin, &healthy, arguments.messages - failed).await?;
        let all = until(&admin, &failing, failed).await?;

        drop(stop);
        worker.await??;
        for topic in [&healthy, &failing] {
            self.check_order(topic).await?;
        }
        Ok(Outcome {
            fails: self.fails,
            healthy_per_second: (arguments.messages - failed) as f64 / (done - began).as_secs_f64(),
            all_after: all - began,
            failed: if self.fails { failed } else { 0 },
        })
    }

    fn output(&self, which: &str) -> String {
        format!("{}.{which}", self.name)
    }

    async fn worker(
        &self,
        stopped: oneshot::Receiver<()>,
    ) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + Send + use<>> {
        const MIGRATIONS: &[Migration] = &[Migration {
            module: "bench",
            version: 1,
            name: "counts",
            sql: TABLE,
        }];
        let settings = Settings {
            retry: Retry {
                attempts: FAILED_RUNS,
                first: Duration::from_millis(10),
                ..Retry::default()
            },
            park: Park {
                first: Duration::from_millis(20),
                ..Park::default()
            },
            ..Settings::new(self.name.as_str())
        };
        let store = SqlStore::open(&self.store.parse()?, &self.name, MIGRATIONS).await?;
        let publisher = Split {
            publisher: KafkaPublisher::connect(&self.connection)?,
            healthy: self.output("healthy").into(),
            failing: self.output("failing").into(),
        };
        let strategy = StoreStrategy::new(
            Arc::new(store),
            publisher,
            Clock::system(),
            Retention::default(),
        );
        let source = KafkaSource::subscribe(
            &self.connection,
            &self.name,
            std::slice::from_ref(&self.input),
            settings.max_in_flight,
            Duration::from_secs(5),
        )
        .await?;
        let metrics = Metrics::register(&mut Registry::default(), &self.name);
        let flaky = Flaky { fails: self.fails };
        let worker = Worker::new(flaky, source, strategy, settings, metrics);
        Ok(async move {
            let stop = async {
                // A dropped sender is the stop.
                stopped.await.unwrap_or_default();
            };
            Ok(worker.run(stop).await?)
        })
    }

    /// What followed from the messages of a key must stand in the order of the messages, each once.
    async fn check_order(&self, topic: &str) -> anyhow::Result<()> {
        let mut reader = Reader::open(&self.connection, &[topic], From::Beginning).await?;
        let mut last: HashMap<String, usize> = HashMap::new();
        let mut order = |record: &Record| -> anyhow::Result<()> {
            let value = record.value.as_deref().context("an echo has a value")?;
            let echo: Numbered = serde_json::from_slice(value)?;
            let before = last.insert(echo.key.clone(), echo.number);
            ensure!(
                before.is_none_or(|before| before < echo.number),
                "{}: {} came after {before:?}",
                echo.key,
                echo.number
            );
            Ok(())
        };
        loop {
            match reader.next().await? {
                ReaderEvent::Record(record) => order(&record)?,
                ReaderEvent::CaughtUp => return Ok(()),
            }
        }
    }
}

/// Waits until the topic holds so many records.
async fn until(admin: &Admin, topic: &str, count: usize) -> anyhow::Result<Instant> {
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        let bounds = admin.offsets(topic).await?;
        let found: i64 = bounds.iter().map(|bounds| bounds.end.0).sum();
        if found >= count as i64 {
            return Ok(Instant::now());
        }
    }
}

fn is_failing(key: usize) -> bool {
    key.is_multiple_of(FAILING)
}

/// Fails with the messages of some keys until they were parked once.
struct Flaky {
    fails: bool,
}

impl Handler for Flaky {
    type Payload = AnyTopic;
    const NAME: &'static str = "flaky";

    async fn handle(
        &self,
        message: &Envelope<AnyTopic>,
        context: &mut Context<'_, AnyTopic>,
    ) -> Result<(), Failure> {
        let AnyTopic(note) = message.event();
        if self.fails && note.is_failing() && context.attempt() <= FAILED_RUNS {
            return Err(Failure::transient("not yet"));
        }
        context.write(sql(COUNT).bind(note.key.clone()));
        context.publish(&Numbered {
            key: note.key.clone(),
            number: note.number_of(),
        })
    }
}

impl Note {
    fn is_failing(&self) -> bool {
        let key = self.key.strip_prefix("k-").and_then(|key| key.parse().ok());
        key.is_some_and(is_failing)
    }
}

/// What follows from a note, with its number, to see the order.
#[derive(Debug, Serialize, Deserialize)]
struct Numbered {
    key: String,
    number: usize,
}

impl longshore_event::Event for Numbered {
    const TYPE: &'static str = "bench.numbered";

    fn key(&self) -> &str {
        &self.key
    }
}

/// Publishes what follows from healthy and from failing keys apart, so that both can be counted.
struct Split {
    publisher: KafkaPublisher,
    healthy: Arc<str>,
    failing: Arc<str>,
}

impl Publisher for Split {
    async fn publish(&self, records: &[OutgoingRecord]) -> Vec<Result<(), PublishError>> {
        let topic = |record: &OutgoingRecord| {
            let key = record.key.as_deref().unwrap_or_default();
            let number = std::str::from_utf8(key)
                .ok()
                .and_then(|key| key.strip_prefix("k-")?.parse().ok());
            match number.is_some_and(is_failing) {
                true => self.failing.clone(),
                false => self.healthy.clone(),
            }
        };
        let records: Vec<_> = records
            .iter()
            .map(|record| OutgoingRecord {
                topic: topic(record),
                ..record.clone()
            })
            .collect();
        self.publisher.publish(&records).await
    }
}
