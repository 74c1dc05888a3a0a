//! A member of a group in memory: the run loop sees a [`Source`], the test decides what happens to it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longshore_event::{NextOffset, Record, TopicPartition};
use longshore_worker::{REDRIVE_RESERVE, Source, SourceEvent};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::{MemoryGroup, lock};

mod control;
pub use control::SourceControl;

/// Records that one [`SourceEvent::Records`] carries at most, unless [`MemorySource::batch`] says otherwise.
const DEFAULT_BATCH: usize = 100;

/// Time that a stopping member has for its in-flight messages, unless [`MemorySource::drain`] says otherwise.
const DEFAULT_DRAIN: Duration = Duration::from_secs(25);

/// Offsets to read next, one a partition: what the run loop answers to a revocation.
type Offsets = Vec<(TopicPartition, NextOffset)>;

/// A member of a [`MemoryGroup`]. It is given partitions by its [`SourceControl`].
#[derive(Debug)]
pub struct MemorySource {
    shared: Arc<Shared>,
    batch: usize,
    drain: Duration,
    phase: Phase,
}

#[derive(Debug)]
struct Shared {
    group: MemoryGroup,
    member: Mutex<Member>,
    changed: Notify,
}

/// What the member is, and what it has yet to tell.
#[derive(Debug)]
struct Member {
    pending: VecDeque<SourceEvent>,
    /// Partitions it may commit for.
    owned: Vec<TopicPartition>,
    /// Partitions it reads, with the offset to read next: those whose `Assigned` has been delivered.
    positions: BTreeMap<TopicPartition, NextOffset>,
    /// What it has been delivered of each partition in the present stay, which ends when the partition is another's.
    delivered: BTreeMap<TopicPartition, NextOffset>,
    /// Whether transactions move the offsets. What is committed beside them never takes an offset back.
    in_transactions: bool,
    /// The partition that is served last.
    last_served: Option<TopicPartition>,
    budget: usize,
    max_in_flight: usize,
    /// Has [`REDRIVE_RESERVE`] of the budget for itself.
    redrive_topic: Option<Arc<str>>,
    reachable: bool,
    /// While a revocation waits for its answer, a real client is inside its rebalance callback and delivers nothing.
    rebalancing: bool,
    /// Commits made while the broker was away.
    unsent: BTreeMap<TopicPartition, NextOffset>,
    stale_commits: usize,
}

#[derive(Debug)]
enum Phase {
    Running,
    Stopping,
    Leaving {
        partitions: Vec<TopicPartition>,
        answer: oneshot::Receiver<Offsets>,
        deadline: Instant,
    },
    Closed,
}

impl MemorySource {
    pub(super) fn new(group: MemoryGroup, max_in_flight: usize) -> Self {
        let member = Member {
            pending: VecDeque::new(),
            owned: Vec::new(),
            positions: BTreeMap::new(),
            delivered: BTreeMap::new(),
            in_transactions: false,
            last_served: None,
            budget: max_in_flight,
            max_in_flight,
            redrive_topic: None,
            reachable: true,
            rebalancing: false,
            unsent: BTreeMap::new(),
            stale_commits: 0,
        };
        Self {
            shared: Arc::new(Shared {
                group,
                member: Mutex::new(member),
                changed: Notify::new(),
            }),
            batch: DEFAULT_BATCH,
            drain: DEFAULT_DRAIN,
            phase: Phase::Running,
        }
    }

    /// The same source, with at most `records` in one event.
    #[must_use]
    pub fn batch(mut self, records: usize) -> Self {
        self.batch = records.max(1);
        self
    }

    /// The same source, with this much time to finish what is in flight when it stops.
    #[must_use]
    pub fn drain(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    /// The same source, as of a group whose redrive topic this is: its records come beyond the budget.
    #[must_use]
    pub fn redrives(self, topic: &str) -> Self {
        let mut member = lock(&self.shared.member);
        if member.redrive_topic.replace(topic.into()).is_none() {
            member.budget += REDRIVE_RESERVE;
            member.max_in_flight += REDRIVE_RESERVE;
        }
        drop(member);
        self
    }

    /// The hand that controls it. Take one before the source goes to a worker.
    pub fn control(&self) -> SourceControl {
        SourceControl {
            shared: self.shared.clone(),
        }
    }

    /// What can be told at once; `None` if there is nothing to tell.
    fn ready(&mut self) -> Option<SourceEvent> {
        match &self.phase {
            Phase::Running => lock(&self.shared.member).ready(&self.shared.group, self.batch),
            Phase::Stopping => {
                let mut member = lock(&self.shared.member);
                if member.rebalancing || !member.pending.is_empty() {
                    return member.ready(&self.shared.group, 0);
                }
                let partitions: Vec<_> =
                    std::mem::take(&mut member.positions).into_keys().collect();
                if partitions.is_empty() {
                    self.phase = Phase::Closed;
                    return Some(SourceEvent::Closed(Ok(())));
                }
                let (finished, answer) = oneshot::channel();
                self.phase = Phase::Leaving {
                    partitions: partitions.clone(),
                    answer,
                    deadline: Instant::now() + self.drain,
                };
                Some(SourceEvent::Revoked {
                    partitions,
                    within: self.drain,
                    finished,
                })
            }
            Phase::Leaving { .. } | Phase::Closed => None,
        }
    }
}

impl Source for MemorySource {
    async fn next(&mut self) -> SourceEvent {
        loop {
            // Before the look, so that nothing is missed that comes in between.
            let grown = self.shared.group.log().grows();
            if let Some(event) = self.ready() {
                if matches!(event, SourceEvent::Closed(_)) {
                    self.phase = Phase::Closed;
                }
                return event;
            }
            match &mut self.phase {
                Phase::Running | Phase::Stopping => {
                    tokio::select! {
                        // Without it the order would be tokio's to choose, and a seeded test would not replay.
                        biased;
                        () = self.shared.changed.notified() => {}
                        () = grown => {}
                    }
                }
                Phase::Leaving {
                    partitions,
                    answer,
                    deadline,
                } => {
                    let answered = tokio::time::timeout_at(*deadline, answer).await;
                    let offsets = answered.ok().and_then(Result::ok).unwrap_or_default();
                    let mut member = lock(&self.shared.member);
                    member.settle(partitions, &offsets, &self.shared.group);
                    self.phase = Phase::Closed;
                    return SourceEvent::Closed(Ok(()));
                }
                Phase::Closed => std::future::pending().await,
            }
        }
    }

    /// # Panics
    /// If more is given back than was taken: the run loop then counts wrongly.
    fn release(&self, count: usize) {
        let mut member = lock(&self.shared.member);
        member.budget += count;
        assert!(
            member.budget <= member.max_in_flight,
            "{count} records were released, more than were delivered"
        );
        drop(member);
        self.shared.changed.notify_one();
    }

    fn commit(&self, offsets: &[(TopicPartition, NextOffset)]) {
        lock(&self.shared.member).commit(offsets, &self.shared.group);
    }

    fn end_offset(&self, partition: &TopicPartition) -> Option<NextOffset> {
        let member = lock(&self.shared.member);
        let known = member.positions.contains_key(partition);
        known.then(|| self.shared.group.log().end(partition))
    }

    fn stop(&mut self) {
        if matches!(self.phase, Phase::Running) {
            self.phase = Phase::Stopping;
        }
    }
}

impl Member {
    fn ready(&mut self, group: &MemoryGroup, batch: usize) -> Option<SourceEvent> {
        if self.rebalancing {
            return None;
        }
        let Some(event) = self.pending.pop_front() else {
            let records = self.fetch(group, batch);
            return (!records.is_empty()).then_some(SourceEvent::Records(records));
        };
        match &event {
            SourceEvent::Assigned(partitions) => {
                for partition in partitions {
                    // Looked up now and not when it was assigned: an earlier owner may have committed since.
                    let start = group.committed(partition).unwrap_or(NextOffset(0));
                    self.positions.insert(partition.clone(), start);
                    self.delivered.insert(partition.clone(), start);
                }
            }
            SourceEvent::Revoked {
                partitions,
                finished,
                ..
            } => {
                self.positions
                    .retain(|owned, _| !partitions.contains(owned));
                // Told too late: nobody waits for the answer any more.
                self.rebalancing = !finished.is_closed();
            }
            SourceEvent::Lost(partitions) => {
                self.positions
                    .retain(|owned, _| !partitions.contains(owned));
            }
            SourceEvent::Records(_) | SourceEvent::Unavailable { .. } | SourceEvent::Closed(_) => {}
        }
        Some(event)
    }

    /// The next records of the next partition in turn, within the budget.
    fn fetch(&mut self, group: &MemoryGroup, batch: usize) -> Vec<Record> {
        if !self.reachable {
            return Vec::new();
        }
        let reserve = self.redrive_topic.as_ref().map_or(0, |_| REDRIVE_RESERVE);
        let last = self.last_served.clone();
        let behind = self
            .positions
            .keys()
            .filter(|partition| last.as_ref().is_none_or(|last| *partition > last));
        let turn: Vec<_> = behind.chain(self.positions.keys()).cloned().collect();
        for partition in turn {
            let Some(position) = self.positions.get_mut(&partition) else {
                continue;
            };
            let is_redrive = self.redrive_topic.as_ref() == Some(&partition.topic);
            let kept = if is_redrive { 0 } else { reserve };
            let limit = self.budget.saturating_sub(kept).min(batch);
            let records = group.log().read(&partition, *position, limit);
            if let Some(last) = records.last() {
                *position = last.offset.next();
                self.delivered.insert(partition.clone(), *position);
                self.budget -= records.len();
                self.last_served = Some(partition);
                return records;
            }
        }
        Vec::new()
    }

    fn commit(&mut self, offsets: &[(TopicPartition, NextOffset)], group: &MemoryGroup) {
        for (partition, offset) in offsets {
            if !self.owned.contains(partition) {
                self.stale_commits += 1;
            } else if self.in_transactions && group.committed(partition) >= Some(*offset) {
                // A transaction has been faster.
            } else if self.reachable {
                group.record(partition, *offset);
            } else {
                self.unsent.insert(partition.clone(), *offset);
            }
        }
    }

    /// Ends a revocation: commits what was answered, and gives the partitions up.
    fn settle(
        &mut self,
        partitions: &[TopicPartition],
        offsets: &[(TopicPartition, NextOffset)],
        group: &MemoryGroup,
    ) {
        self.commit(offsets, group);
        self.disown(partitions);
        self.rebalancing = false;
    }

    fn disown(&mut self, partitions: &[TopicPartition]) {
        self.owned.retain(|owned| !partitions.contains(owned));
        self.delivered
            .retain(|partition, _| !partitions.contains(partition));
        self.unsent.retain(|owned, _| !partitions.contains(owned));
    }
}
