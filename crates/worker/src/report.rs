//! What a worker explains of itself when asked: for every partition what is stuck, on which key, since when, why, and when
//! it is tried next.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::lanes::LaneId;

/// Parked keys in one report, the soonest due first; [`Report::parked_keys`] counts all.
pub(crate) const PARKED_KEYS: usize = 100;

/// Questions that may wait for the run loop. At the bound whoever asks waits.
const QUESTIONS: usize = 8;

/// A worker at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The consumer group.
    pub group: String,
    /// When this was so.
    pub at: Timestamp,
    /// Whether messages are being processed.
    pub ready: bool,
    /// Whether the worker is leaving.
    pub stopping: bool,
    /// Why the broker cannot be reached, if it cannot.
    pub broker_unavailable: Option<String>,
    /// Why effects cannot be committed, if they cannot.
    pub commits_unavailable: Option<String>,
    /// Why no messages are taken in, if none are.
    pub paused: Option<String>,
    /// The brake.
    pub brake: BrakeReport,
    /// The partitions that are this worker's.
    pub partitions: Vec<PartitionReport>,
    /// Keys that are parked.
    pub parked_keys: usize,
    /// The parked keys that are due soonest.
    pub parked: Vec<ParkedReport>,
    /// Messages taken from the log that are not finished.
    pub in_flight: usize,
    /// Topics that refuse committed records, which wait for them.
    #[serde(default)]
    pub unwritten: Vec<UnwrittenTopic>,
}

/// A topic that refuses what is to be published to it: it does not exist, say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnwrittenTopic {
    /// Its name.
    pub topic: String,
    /// When it refused a record first.
    pub since: Timestamp,
    /// Why it did so last.
    pub last_error: String,
}

/// The brake at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BrakeReport {
    /// Whether messages flow.
    pub state: BrakeState,
    /// Recent messages that failed.
    pub failed: usize,
    /// Recent messages in all.
    pub of: usize,
    /// When the next probe starts, if it waits for that.
    pub next_probe: Option<Timestamp>,
}

/// Whether messages flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BrakeState {
    /// They do.
    Closed,
    /// Most of them failed; nothing is started.
    Open,
    /// One of them probes.
    HalfOpen,
}

/// A partition at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartitionReport {
    /// The topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The offset last committed to the group by this worker; `None` if it has not committed any yet.
    pub committed: Option<i64>,
    /// The offset below which everything is finished; `None` if nothing has been read yet.
    pub watermark: Option<i64>,
    /// The end of the partition; `None` if it is not known yet.
    pub end: Option<i64>,
    /// Its messages that are not finished.
    pub in_flight: usize,
    /// What holds the watermark back.
    pub oldest: Option<OldestReport>,
}

/// The oldest message of a partition that is not finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OldestReport {
    /// Its offset.
    pub offset: i64,
    /// Its key as text; `None` if it has none, or is being parked behind others in the commit under way.
    pub key: Option<String>,
    /// What is happening to it.
    pub state: OldestState,
    /// Since when it is being handled; before that, when it was written. `None` while that is not known.
    pub since: Option<Timestamp>,
    /// Runs of the handler that failed.
    pub attempts: u32,
    /// The last failure.
    pub last_error: Option<String>,
    /// When it is tried again.
    pub next_try: Option<Timestamp>,
}

/// What is happening to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OldestState {
    /// It is being looked up.
    Arriving,
    /// It waits for its turn.
    Waiting,
    /// It is with the handler, or waits for its commit.
    Handling,
}

/// A parked key at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParkedReport {
    /// The key as text; `None` for messages without one.
    pub key: Option<String>,
    /// Where its first message stands.
    pub topic: String,
    /// As `topic`.
    pub partition: i32,
    /// As `topic`.
    pub offset: i64,
    /// Whether it waits for a redrive, and not for its next run.
    pub held: bool,
    /// Messages that wait, the first one included, as far as is known.
    pub messages: u64,
    /// Runs of the handler so far.
    pub attempts: u32,
    /// The first failure.
    pub first_failed_at: Option<Timestamp>,
    /// The last failure.
    pub last_failed_at: Option<Timestamp>,
    /// What it said.
    pub last_error: Option<String>,
    /// When it is tried again; `None` if it is held.
    pub next_try: Option<Timestamp>,
}

/// Asks a running worker for reports.
#[derive(Clone, Debug)]
pub struct Inspector(mpsc::Sender<oneshot::Sender<Report>>);

impl Inspector {
    pub(crate) fn new() -> (Self, mpsc::Receiver<oneshot::Sender<Report>>) {
        let (sender, questions) = mpsc::channel(QUESTIONS);
        (Self(sender), questions)
    }

    /// A report; `None` if the worker does not run.
    pub async fn report(&self) -> Option<Report> {
        let (answer, report) = oneshot::channel();
        self.0.send(answer).await.ok()?;
        report.await.ok()
    }
}

/// What the messages that are being handled failed with so far. Costs nothing as long as none fails.
#[derive(Debug, Default)]
pub(crate) struct Failing {
    count: AtomicUsize,
    lanes: Mutex<HashMap<usize, Failure>>,
}

/// The last failure of a message that is being handled.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) attempts: u32,
    pub(crate) message: String,
    pub(crate) next_try: Option<Timestamp>,
}

impl Failing {
    pub(crate) fn failed(&self, lane: LaneId, failure: Failure) {
        let mut lanes = self.lanes();
        lanes.insert(lane.index(), failure);
        self.count.store(lanes.len(), Ordering::Relaxed);
    }

    /// The lane's message has come to an end.
    pub(crate) fn ended(&self, lane: LaneId) {
        if self.count.load(Ordering::Relaxed) > 0 {
            let mut lanes = self.lanes();
            lanes.remove(&lane.index());
            self.count.store(lanes.len(), Ordering::Relaxed);
        }
    }

    pub(crate) fn of(&self, lane: LaneId) -> Option<Failure> {
        self.lanes().get(&lane.index()).cloned()
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<usize, Failure>> {
        // The map is whole after every operation, so a panic elsewhere does not spoil it.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
