//! The worker processes: started, watched, and started again by whoever ends them.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::try_join_all;
use longshore_testkit::process::Process;
use tokio::sync::{Mutex, MutexGuard};

use crate::arguments::{Protocol, Strategy};
use crate::message::GROUP;
use crate::network::Network;
use crate::report::Journal;
use crate::violation::Violation;
use crate::worker::{FENCED, HELD, NOT_STARTED};

/// Immediate runs of a message's handler, the first one included.
pub(crate) const RUNS: u32 = 3;

/// Time that a worker has to finish what is in flight, and the time after which it must have ended.
const DRAIN: Duration = Duration::from_secs(10);
const ENDS_WITHIN: Duration = Duration::from_secs(90);

/// The time of a Kafka transaction. What a killed worker that is no static member left open holds up readers that long,
/// and as long as the broker takes to look (10 s).
const TRANSACTION: Duration = Duration::from_secs(10);

/// How often it is looked whether a worker has ended by itself.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What it takes to start a worker.
#[derive(Debug)]
pub(crate) struct Launcher {
    pub(crate) strategy: Strategy,
    pub(crate) protocol: Protocol,
    pub(crate) brokers: String,
    pub(crate) store: Option<String>,
    pub(crate) network: Option<Network>,
    /// Where the logs go.
    pub(crate) scratch: PathBuf,
}

/// The processes by number. Whoever holds one's lock decides whether it runs.
#[derive(Debug)]
pub(crate) struct Fleet {
    launcher: Launcher,
    workers: Vec<Mutex<Process>>,
}

/// Why a worker that was not told to end may have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excuse {
    /// It gave up before it had joined its group.
    NotStarted,
    /// A static member that was fenced.
    Fenced,
    /// A static member that was back before the group had noticed its end.
    Held,
}

impl Excuse {
    pub(crate) fn of(worker: usize, code: Option<i32>) -> Option<Self> {
        let code = u8::try_from(code?).ok()?;
        match code {
            NOT_STARTED => Some(Self::NotStarted),
            FENCED if is_static(worker) => Some(Self::Fenced),
            HELD if is_static(worker) => Some(Self::Held),
            _ => None,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::NotStarted => "found no broker at its start",
            Self::Fenced => "was fenced, and nobody else has its group.instance.id",
            Self::Held => "is taken for one that still runs",
        }
    }

    /// What it is counted as.
    fn name(self) -> &'static str {
        match self {
            Self::NotStarted => "worker gave up at its start",
            Self::Fenced => "worker fenced by itself",
            Self::Held => "worker not let in again yet",
        }
    }
}

impl Fleet {
    pub(crate) fn start(launcher: Launcher, workers: usize) -> anyhow::Result<Self> {
        let workers: anyhow::Result<_> = (0..workers)
            .map(|worker| Ok(Mutex::new(launcher.launch(worker)?)))
            .collect();
        Ok(Self {
            workers: workers?,
            launcher,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    /// The process of a worker, for as long as the caller wants it for itself.
    pub(crate) async fn hold(&self, worker: usize) -> MutexGuard<'_, Process> {
        self.workers[worker].lock().await
    }

    /// Puts a new process in the place of one that has ended.
    pub(crate) fn replace(&self, worker: usize, process: &mut Process) -> anyhow::Result<()> {
        *process = self.launcher.launch(worker)?;
        Ok(())
    }

    /// Starts workers again that ended by themselves, as a supervisor does, and tells of them, until it is dropped. Without
    /// an [`Excuse`] it broke the promise to outlast an outage.
    pub(crate) async fn supervise(&self, journal: &Journal) -> anyhow::Result<()> {
        loop {
            for (worker, process) in self.workers.iter().enumerate() {
                let Ok(mut process) = process.try_lock() else {
                    continue;
                };
                let Some(status) = process.ended()? else {
                    continue;
                };
                if let Some(excuse) = Excuse::of(worker, status.code()) {
                    journal.line(format_args!(
                        "worker {worker} {}; started again",
                        excuse.reason()
                    ));
                    journal.count(excuse.name());
                } else {
                    let status = status.to_string();
                    journal.violation(Violation::WorkerEnded { worker, status });
                }
                self.replace(worker, &mut process)?;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Tells all to stop, and waits for their ends.
    pub(crate) async fn stop(&self, journal: &Journal) -> anyhow::Result<()> {
        let stops = self
            .workers
            .iter()
            .enumerate()
            .map(async |(worker, process)| {
                let mut process = process.lock().await;
                if process.ended()?.is_none() {
                    process.signal("TERM")?;
                }
                let status = match process.wait(ENDS_WITHIN).await {
                    Ok(status) if status.success() => return anyhow::Ok(()),
                    Ok(status) => status.to_string(),
                    Err(_) => format!("still running after {ENDS_WITHIN:?}"),
                };
                journal.violation(Violation::UncleanStop { worker, status });
                Ok(())
            });
        try_join_all(stops).await?;
        Ok(())
    }
}

impl Launcher {
    fn launch(&self, worker: usize) -> anyhow::Result<Process> {
        let log = self.scratch.join(format!("worker-{worker}.log"));
        let log = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let program = std::env::current_exe()?;
        let mut command = match &self.network {
            Some(network) => network.command(worker, &program),
            None => Command::new(program),
        };
        // What is set for others must not decide where these run.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("LONGSHORE_") || text.starts_with("KAFKA_") {
                command.env_remove(&name);
            }
        }
        command
            .arg("worker")
            .args([
                "--strategy",
                self.strategy.name(),
                "--instance",
                &client(worker),
            ])
            .args(["--group", GROUP, "--brokers", &self.brokers])
            .args(["--attempts", &RUNS.to_string()])
            .args(["--retry-first", "20ms", "--retry-longest", "200ms"])
            .args(["--park-first", "500ms", "--park-longest", "2s"])
            .args(["--drain", &milliseconds(DRAIN)])
            .args(["--transaction-timeout", &milliseconds(TRANSACTION)]);
        for property in properties(worker, self.protocol) {
            command.args(["--kafka", &property]);
        }
        if let Some(store) = &self.store {
            command.args(["--store", store]);
        }
        command.stdout(log.try_clone()?).stderr(log);
        Process::spawn(&mut command).with_context(|| format!("worker {worker} does not start"))
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

/// What a worker is called in its group.
pub(crate) fn client(worker: usize) -> String {
    format!("{GROUP}-{worker}")
}

/// Every other worker is a static member: a killed one finds its partitions again when it is back, where those of the
/// others move.
fn is_static(worker: usize) -> bool {
    worker.is_multiple_of(2)
}

/// A short session, so that partitions move while a worker is stopped; by KIP-848 it is the broker's to say.
fn properties(worker: usize, protocol: Protocol) -> Vec<String> {
    let mut properties = vec![
        format!("client.id={}", client(worker)),
        format!("group.protocol={}", protocol.name()),
    ];
    if protocol == Protocol::Classic {
        let session = ["session.timeout.ms=6000", "heartbeat.interval.ms=1000"];
        properties.extend(session.map(str::to_owned));
    }
    if is_static(worker) {
        properties.push(format!("group.instance.id={}", client(worker)));
    }
    properties
}
