//! How late timers are: every message sets one, and they are due evenly over a while. Each must fire once and not before
//! its time.
//!
//! A timer's lateness is taken when a reader has its record, so it counts the claim, the publication and the way back.

mod fired;
mod plan;
mod worker;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use longshore_event::Record;
use longshore_kafka::{Admin, Connection, From, KafkaError, Reader, ReaderEvent};
use tokio::process::{Child, Command};
use tokio::time::{interval, timeout};

use crate::Arguments;
use crate::arena::{broker, create, fill, store};
use crate::memory::peak_mebibytes;
use fired::{Fired, Lateness};
use plan::{Alarm, Plan};
use worker::Task;
pub(crate) use worker::work;

/// How often the worker's group is looked at while timers are set.
const LOOK: Duration = Duration::from_millis(100);
/// When nothing has fired for so long after the last timer was due, the missing ones are lost: longer than a claim holds.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    ensure!(arguments.messages > 0, "there must be a message");
    let scratch = tempfile::tempdir()?;
    let (broker, brokers) = broker(arguments, scratch.path()).await?;
    let connection = Connection::new(&brokers);
    let input = fill(&connection, arguments).await?;
    let mut all_as_promised = true;
    for round in 1..=arguments.rounds {
        let scratch = tempfile::tempdir_in(scratch.path())?;
        let outcome = measure(arguments, &brokers, &input, scratch.path()).await?;
        println!("round {round}: {outcome}");
        all_as_promised &= outcome.lateness.is_as_promised();
    }
    println!(
        "\n{} timers due over {} s: each fired once, none before its time; p99 under a second: {}",
        arguments.messages,
        arguments.over,
        if all_as_promised { "yes" } else { "NO" }
    );
    if let Some(broker) = broker {
        broker.shutdown().await;
    }
    ensure!(all_as_promised, "timers were late");
    Ok(())
}

/// What one round came to.
struct Outcome {
    plan: Plan,
    all_set: Timestamp,
    peak_when_set: f64,
    peak_when_fired: f64,
    lateness: Lateness,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ahead = self.plan.first_due - self.all_set.as_millisecond();
        if ahead < 0 {
            write!(
                f,
                "(a longer --lead is needed: the last timer was set {:.1} s after the first was due) ",
                -ahead as f64 / 1000.0
            )?;
        }
        write!(
            f,
            "{}; the worker's peak memory: {:.0} MiB when all were set, {:.0} MiB when all had fired",
            self.lateness, self.peak_when_set, self.peak_when_fired
        )
    }
}

async fn measure(
    arguments: &Arguments,
    brokers: &str,
    input: &str,
    scratch: &Path,
) -> anyhow::Result<Outcome> {
    let name = format!("timers-{}", uuid::Uuid::new_v4().simple());
    let connection = Connection::new(brokers);
    let output = format!("{name}.alarms");
    create(&connection, &output).await?;
    let first_due = Timestamp::now() + SignedDuration::from_secs(arguments.lead.into());
    let plan = Plan {
        timers: arguments.messages,
        first_due: first_due.as_millisecond(),
        over: i64::from(arguments.over) * 1_000,
    };
    let task = Task {
        brokers: brokers.to_owned(),
        store: store(arguments, scratch),
        input: input.to_owned(),
        output: output.clone(),
        group: name.clone(),
        plan,
    };
    let mut worker = Process::start(&task)?;
    let admin = Admin::connect(&connection)?;
    let all_set = tokio::select! {
        all_set = all_set(&admin, &name, plan.timers) => all_set?,
        ended = worker.ended() => return Err(ended),
    };
    let peak_when_set = worker.peak_mebibytes()?;

    let mut reader = Reader::open(&connection, &[&output], From::Beginning).await?;
    let lateness = tokio::select! {
        fired = all_fired(&mut reader, plan) => fired?.lateness(),
        ended = worker.ended() => return Err(ended),
    };
    let peak_when_fired = worker.peak_mebibytes()?;
    worker.stop().await?;
    let bounds = admin.offsets(&output).await?;
    let records: i64 = bounds.iter().map(|bounds| bounds.end.0).sum();
    ensure!(
        records == plan.timers as i64,
        "{} timers fired {records} times",
        plan.timers
    );
    Ok(Outcome {
        plan,
        all_set,
        peak_when_set,
        peak_when_fired,
        lateness,
    })
}

/// Waits until the group has committed all messages: their timers are set then.
async fn all_set(admin: &Admin, group: &str, messages: usize) -> anyhow::Result<Timestamp> {
    let mut look = interval(LOOK);
    loop {
        look.tick().await;
        let group = match admin.describe_group(group).await {
            Ok(group) => group,
            Err(KafkaError::UnknownGroup { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let committed = group.partitions.iter().filter_map(|lag| lag.committed);
        if committed.map(|next| next.0).sum::<i64>() >= messages as i64 {
            return Ok(Timestamp::now());
        }
    }
}

/// Reads until each timer has fired.
async fn all_fired(reader: &mut Reader, plan: Plan) -> anyhow::Result<Fired> {
    let mut fired = Fired::new(plan);
    let last_due = plan.last_due()?;
    while !fired.is_complete() {
        let ahead = Duration::try_from(last_due.duration_since(Timestamp::now()));
        let limit = ahead.unwrap_or_default() + PATIENCE;
        let Ok(event) = timeout(limit, reader.next()).await else {
            bail!(
                "{} of {} timers are lost",
                plan.timers - fired.count(),
                plan.timers
            );
        };
        if let ReaderEvent::Record(record) = event? {
            take(&mut fired, &record, Timestamp::now())?;
        }
    }
    Ok(fired)
}

fn take(fired: &mut Fired, record: &Record, read_at: Timestamp) -> anyhow::Result<()> {
    let value = record.value.as_deref().context("an alarm has a value")?;
    let alarm: Alarm = serde_json::from_slice(value)?;
    let published_at = record.timestamp.context("a record has a timestamp")?;
    fired.take(&alarm, published_at, read_at)
}

/// The worker's process. It ends with its input, and is killed when it is dropped before that.
struct Process(Child);

impl Process {
    fn start(task: &Task) -> anyhow::Result<Self> {
        let child = Command::new(std::env::current_exe()?)
            .arg("--timer-worker")
            .arg(serde_json::to_string(task)?)
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self(child))
    }

    /// Waits until it ends by itself, which it should not.
    async fn ended(&mut self) -> anyhow::Error {
        // Not `Child::wait`, which would close its input.
        let mut look = interval(LOOK);
        loop {
            look.tick().await;
            match self.0.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => return anyhow::anyhow!("the worker ended with {status}"),
                Err(error) => return error.into(),
            }
        }
    }

    fn peak_mebibytes(&self) -> anyhow::Result<f64> {
        let id = self.0.id().context("the worker has ended")?;
        peak_mebibytes(&id.to_string())
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        // This closes its input.
        let status = self.0.wait().await?;
        ensure!(status.success(), "the worker ended with {status}");
        Ok(())
    }
}
