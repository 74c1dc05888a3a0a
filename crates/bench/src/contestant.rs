//! The contestants: the same work (read, decode, publish what follows), with different promises.

mod loops;
mod store_loop;
mod worker;

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context;
use longshore_kafka::{Admin, Connection};
use serde::{Deserialize, Serialize};

use crate::memory::{THIS_PROCESS, peak_mebibytes};

/// How often the output topic is looked at: the error of the measured time.
const LOOK: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Contestant {
    /// Consume, produce, commit offsets: at least once, no store, no order across retries, no dead letters.
    PlainLoop,
    /// A loop by hand with the `store` strategy's promise: one transaction a poll for inbox, write and outbox.
    StoreLoop,
    /// The worker with the `store` strategy.
    Worker,
    /// The same with a transaction a message.
    WorkerSingle,
    /// The worker with the `plain` strategy.
    WorkerPlain,
}

impl Contestant {
    pub(crate) const ALL: [Self; 5] = [
        Self::PlainLoop,
        Self::WorkerPlain,
        Self::StoreLoop,
        Self::Worker,
        Self::WorkerSingle,
    ];

    /// How many of the messages it works through: a transaction a message would take minutes for all of them.
    pub(crate) fn share(self, messages: usize) -> usize {
        match self {
            Self::WorkerSingle => (messages / 20).max(1),
            _ => messages,
        }
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::PlainLoop => "plain rdkafka loop",
            Self::StoreLoop => "hand-written store loop",
            Self::Worker => "worker, store strategy",
            Self::WorkerSingle => "worker, a transaction a message",
            Self::WorkerPlain => "worker, plain strategy",
        })
    }
}

/// What one contestant is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) contestant: Contestant,
    pub(crate) brokers: String,
    pub(crate) store: String,
    pub(crate) input: String,
    pub(crate) output: String,
    pub(crate) group: String,
    pub(crate) messages: usize,
}

/// What it took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    pub(crate) peak_mebibytes: f64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} msg/s, peak {:.0} MiB",
            self.per_second, self.peak_mebibytes
        )
    }
}

/// Runs one contestant and prints its figures.
pub(crate) async fn run(task: Task) -> anyhow::Result<()> {
    let done = match task.contestant {
        Contestant::PlainLoop => tokio::spawn(loops::plain(task.clone())),
        Contestant::StoreLoop => tokio::spawn(store_loop::run(task.clone())),
        Contestant::Worker => tokio::spawn(worker::store(task.clone(), None)),
        Contestant::WorkerSingle => tokio::spawn(worker::store(task.clone(), Some(1))),
        Contestant::WorkerPlain => tokio::spawn(worker::plain(task.clone())),
    };
    let took = tokio::select! {
        took = watch(&task) => took?,
        ended = done => return Err(ended?.err().context("the contestant ended before its work was done")?),
    };
    let figures = Figures {
        per_second: task.messages as f64 / took.as_secs_f64(),
        peak_mebibytes: peak_mebibytes(THIS_PROCESS)?,
    };
    println!("{}", serde_json::to_string(&figures)?);
    // What is left (clients, stores) need not be torn down to know the figures.
    std::process::exit(0)
}

/// The time from the first record in the output topic to the last: joining the group is nobody's merit.
async fn watch(task: &Task) -> anyhow::Result<Duration> {
    let admin = Admin::connect(&Connection::new(&task.brokers))?;
    let mut look = tokio::time::interval(LOOK);
    let mut first: Option<(Instant, i64)> = None;
    loop {
        look.tick().await;
        let bounds = admin.offsets(&task.output).await?;
        let count: i64 = bounds.iter().map(|bounds| bounds.end.0).sum();
        match first {
            None if count > 0 => first = Some((Instant::now(), count)),
            Some((began, early)) if count >= task.messages as i64 => {
                // What was there at the first look took no measured time, so it does not count as work done in it.
                let share = task.messages as f64 / (task.messages as i64 - early).max(1) as f64;
                return Ok(began.elapsed().mul_f64(share));
            }
            _ => {}
        }
    }
}
