//! The thread that owns the consumer: it takes records within the budget, serves rebalances, and leaves the group.

mod letting_go;
mod pausing;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use longshore_event::{NextOffset, Record, TopicPartition, redrive_topic};
use longshore_worker::{SourceError, SourceEvent};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::mpsc;

use super::Shared;
use super::outage::Outage;
use super::ownership::Ownership;
use crate::consumer::Consumer;
use crate::native::{ClientError, Event, Messages, PartitionList};

/// Records in one batch at most: enough that a batch costs little per record, few enough that the run loop starts soon.
const BATCH: usize = 512;

/// How long the consumer waits for something to happen. It is woken for everything; this is the net below.
const IDLE: Duration = Duration::from_secs(5);

/// How often the brokers are asked whether they are back, and how long one has to answer.
const PROBE: Duration = Duration::from_secs(1);

/// How long after a failed commit it is made again, if no other commit has taken it along: there may be no other.
const COMMIT_AGAIN: Duration = Duration::from_secs(1);

/// The far side of a [`super::KafkaSource`].
pub(super) struct Member {
    consumer: Arc<Consumer>,
    shared: Arc<Shared>,
    events: mpsc::Sender<SourceEvent>,
    group: String,
    /// How long a revocation waits for what is in flight.
    within: Duration,
    owned: Ownership,
    /// Partitions of which nothing has been delivered since they were assigned.
    fresh: HashSet<TopicPartition>,
    /// What comes after the last record that was delivered of a partition in this stay.
    delivered: HashMap<TopicPartition, NextOffset>,
    /// Partitions at whose end there are markers alone.
    marked: HashSet<TopicPartition>,
    paused: bool,
    /// Whether a generation that was missed shows that the group took this member for dead.
    counts_generations: bool,
    /// Whether the redrive topic is paused too.
    shut: bool,
    /// Read on while the others are paused: what they wait for may come by it.
    redrive_topic: Arc<str>,
    outage: Option<Outage>,
    /// When commits that have failed are made again.
    commit_again_at: Option<Instant>,
    batch: Vec<Record>,
    /// Records that are paid for and have not come yet.
    room: usize,
    /// Why the last connection failed: the error that says all are down does not tell.
    last_failure: Option<ClientError>,
}

impl Member {
    pub(super) fn new(
        consumer: Arc<Consumer>,
        shared: Arc<Shared>,
        events: mpsc::Sender<SourceEvent>,
        group: &str,
        within: Duration,
    ) -> Self {
        Self {
            consumer,
            shared,
            events,
            group: group.to_owned(),
            within,
            owned: Ownership::default(),
            fresh: HashSet::new(),
            delivered: HashMap::new(),
            marked: HashSet::new(),
            paused: false,
            counts_generations: false,
            shut: false,
            redrive_topic: redrive_topic(group),
            outage: None,
            commit_again_at: None,
            batch: Vec::new(),
            room: 0,
            last_failure: None,
        }
    }

    /// For members of classic groups.
    pub(super) fn count_generations(&mut self) {
        self.counts_generations = true;
    }

    pub(super) fn run(mut self) {
        tracing::info!(group = self.group, "joining the consumer group");
        let result = loop {
            if self.shared.stopping.load(Ordering::Acquire) {
                break self.leave();
            }
            if let Err(error) = self.turn() {
                break Err(error);
            }
        };
        let left_over = self.owned.all();
        self.lose(left_over);
        tracing::info!(group = self.group, "left the consumer group");
        self.send(SourceEvent::Closed(result));
    }

    /// Takes what has come, as far as the budget goes, and hands it on.
    fn turn(&mut self) -> Result<(), SourceError> {
        if self.paused && !self.shared.budget.is_paused() {
            self.resume();
        }
        self.keep_to_reserve();
        self.commit_again();
        self.room = self.shared.budget.take(BATCH);
        if self.room == 0 && !self.paused {
            self.stall();
            return Ok(());
        }
        let outcome = self.drain();
        self.flush();
        self.shared.budget.release(std::mem::take(&mut self.room));
        outcome
    }

    /// Commits once more what has failed, when it is time.
    fn commit_again(&mut self) {
        if !self.shared.ledger.is_behind() {
            self.commit_again_at = None;
            return;
        }
        let now = Instant::now();
        let at = *self.commit_again_at.get_or_insert(now + COMMIT_AGAIN);
        if now >= at {
            self.commit_again_at = None;
            self.shared.ledger.commit(&self.consumer, &[]);
        }
    }

    /// How long nothing needs to be done, unless something comes.
    fn idle(&self) -> Duration {
        let probe = (self.outage == Some(Outage::Brokers)).then_some(PROBE);
        let commit = self.commit_again_at.map(|_| COMMIT_AGAIN);
        [probe, commit].into_iter().flatten().min().unwrap_or(IDLE)
    }

    /// Polls until nothing more has come, the room is used up, or something other than records came.
    fn drain(&mut self) -> Result<(), SourceError> {
        let mut wait = self.idle();
        while self.batch.is_empty() || self.room > 0 {
            match self.consumer.queue.poll(wait) {
                Some(Event::Fetched(messages)) => self.take(messages),
                Some(Event::ReachedEnd(partition, end)) => self.reached_end(&partition, end),
                Some(event) => return self.handle(event),
                None if wait.is_zero() => return Ok(()),
                None => {
                    self.probe();
                    return Ok(());
                }
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) -> Result<(), SourceError> {
        match event {
            Event::Assign(list) => self.assign(&list),
            Event::Revoke(list) => self.revoke(&list),
            Event::Committed { result, offsets } => {
                if result.is_ok() {
                    self.over(Outage::Brokers);
                }
                if self.shared.ledger.committed(result, &offsets) {
                    self.shared.ledger.commit(&self.consumer, &[]);
                }
            }
            Event::Failed { error, fatal } => {
                if fatal || error.code == RDKafkaErrorCode::Fatal {
                    return Err(self.fatal(error));
                }
                self.failed(error);
            }
            Event::Fetched(messages) => self.take(messages),
            Event::ReachedEnd(partition, end) => self.reached_end(&partition, end),
            Event::Delivered(_) | Event::Answered(_) | Event::Other => {}
        }
        Ok(())
    }

    /// What lies behind the last record of a partition is no record: the offset can go past it once that is finished.
    fn reached_end(&mut self, partition: &TopicPartition, end: NextOffset) {
        // What has come so far is before that end.
        self.flush();
        let Some(last) = self.delivered.get(partition).copied() else {
            return;
        };
        if last < end {
            self.marked.insert(partition.clone());
        }
        if self.shared.ledger.reached_end(partition, last, end) {
            self.shared.ledger.commit(&self.consumer, &[]);
        }
    }

    /// Copies records into the batch.
    fn take(&mut self, mut messages: Messages) {
        self.over(Outage::Brokers);
        while let Some(message) = messages.next() {
            if let Some(error) = message.error() {
                let offset = message.offset().0;
                tracing::warn!(error = %error, offset, "a fetched record is damaged");
                continue;
            }
            // What was fetched before a revocation took hold belongs to another member now.
            let owned = self.owned.get(message.topic(), message.partition());
            let Some(partition) = owned.cloned() else {
                continue;
            };
            self.batch.push(message.record(partition));
            match self.room.checked_sub(1) {
                Some(room) => self.room = room,
                // It came before the pause of its partition took hold, and cannot be given back.
                None => self.shared.budget.overdraw(1),
            }
        }
    }

    fn flush(&mut self) {
        if !self.batch.is_empty() {
            let batch = std::mem::take(&mut self.batch);
            self.note_first(&batch);
            self.note_last(&batch);
            self.send(SourceEvent::Records(batch));
        }
    }

    /// Tells the ledger of the first record of each partition, before anybody can finish it.
    fn note_first(&mut self, batch: &[Record]) {
        let mut last = None;
        for record in batch {
            if self.fresh.is_empty() {
                return;
            }
            // Records of a partition come in runs.
            if last != Some(&record.partition) && self.fresh.remove(&record.partition) {
                self.shared.ledger.began(&record.partition, record.offset);
            }
            last = Some(&record.partition);
        }
    }

    /// Keeps what comes after the last record of each partition.
    fn note_last(&mut self, batch: &[Record]) {
        // Records of a partition come in runs.
        for run in batch.chunk_by(|one, other| one.partition == other.partition) {
            let Some(last) = run.last() else { continue };
            let partition = &last.partition;
            if !self.marked.is_empty() && self.marked.remove(partition) {
                self.shared.ledger.no_markers(partition);
            }
            let next = last.offset.next();
            match self.delivered.get_mut(partition) {
                Some(delivered) => *delivered = next,
                None => drop(self.delivered.insert(partition.clone(), next)),
            }
        }
    }

    fn assign(&mut self, list: &PartitionList) {
        if self.was_thrown_out() {
            self.start_over();
        }
        self.take_over(list);
    }

    fn take_over(&mut self, list: &PartitionList) {
        let mut partitions = partitions_of(list);
        if !partitions.is_empty() {
            tracing::debug!(group = self.group, ?partitions, "partitions assigned");
            self.over(Outage::Group);
            self.owned.add(&mut partitions);
            self.shared.ledger.add(&partitions);
            for partition in &partitions {
                self.delivered.remove(partition);
                self.marked.remove(partition);
            }
            self.fresh.extend(partitions.iter().cloned());
            self.send(SourceEvent::Assigned(partitions.clone()));
        }
        self.note(self.consumer.client.accept(list), "accept an assignment");
        // A partition that was paused in an earlier stay is so still.
        let (redrives, others) = self.by_kind(&partitions);
        self.read_on(&others, !self.paused);
        self.read_on(&redrives, !self.shut);
    }

    /// Whether the group has taken this member for dead since the last event, and has it back by now.
    fn was_thrown_out(&self) -> bool {
        let metadata = self.consumer.client.group_metadata();
        let standing = metadata.filter(|_| self.counts_generations);
        standing.is_some_and(|metadata| !self.shared.ledger.stands(metadata.standing()))
    }

    /// Gives up what the client has kept of the time before, and takes it over anew from what is committed. A static
    /// member that hears of its end by the answer to a join joins once more and keeps its partitions, without an event;
    /// meanwhile they may have been another's.
    fn start_over(&mut self) {
        let kept = self.owned.all();
        if kept.is_empty() {
            return;
        }
        tracing::warn!(
            group = self.group,
            partitions = kept.len(),
            "the group had taken this member for dead; what it kept is taken over anew"
        );
        let list = PartitionList::of_partitions(kept.iter());
        self.lose(kept);
        self.note(self.consumer.client.let_go(&list), "let partitions go");
        self.take_over(&list);
    }

    fn revoke(&mut self, list: &PartitionList) {
        let owned = self.owned.all();
        let mut partitions = partitions_of(list);
        partitions.retain(|partition| owned.contains(partition));
        let thrown_out = self.was_thrown_out();
        self.give_up(partitions, thrown_out);
        self.note(self.consumer.client.let_go(list), "let partitions go");
        if thrown_out {
            self.start_over();
        }
    }

    fn failed(&mut self, error: ClientError) {
        let Some(outage) = Outage::of(&error) else {
            tracing::debug!(group = self.group, error = %error, "the client reports");
            self.last_failure = Some(error);
            return;
        };
        if self.outage == Some(outage) {
            return;
        }
        let reason = match self.last_failure.take() {
            Some(cause) if outage == Outage::Brokers => format!("{error}: {cause}"),
            _ => error.to_string(),
        };
        tracing::warn!(group = self.group, reason, "cannot read");
        self.outage = Some(outage);
        self.shared.ledger.hold(outage == Outage::Brokers);
        let reason = Some(reason);
        self.send(SourceEvent::Unavailable { reason });
    }

    /// Asks the brokers whether they are back, while they are known to be away.
    fn probe(&mut self) {
        if self.outage == Some(Outage::Brokers) && self.consumer.client.is_reachable(PROBE) {
            self.over(Outage::Brokers);
        }
    }

    fn over(&mut self, outage: Outage) {
        if self.outage == Some(outage) {
            tracing::info!(group = self.group, "can read again");
            self.outage = None;
            self.shared.ledger.hold(false);
            self.send(SourceEvent::Unavailable { reason: None });
        }
    }

    fn fatal(&self, error: ClientError) -> SourceError {
        let error = self.consumer.client.fatal_error().unwrap_or(error);
        let group = self.group.clone();
        match error.code {
            RDKafkaErrorCode::FencedInstanceId => SourceError::Fenced { group },
            RDKafkaErrorCode::UnreleasedInstanceId => SourceError::InstanceHeld { group },
            _ => SourceError::Fatal {
                group,
                source: error.into(),
            },
        }
    }

    /// Hands an event on; when nobody listens any more, the thread ends.
    fn send(&self, event: SourceEvent) {
        if self.events.blocking_send(event).is_err() {
            self.shared.stopping.store(true, Ordering::Release);
        }
    }

    /// What cannot fail while the client works, and is told by its own events when it does not.
    fn note(&self, result: Result<(), ClientError>, action: &str) {
        if let Err(error) = result {
            tracing::warn!(group = self.group, error = %error, action, "the client refuses");
        }
    }
}

fn partitions_of(list: &PartitionList) -> Vec<TopicPartition> {
    let entries = list.entries().into_iter();
    entries.map(|entry| entry.partition).collect()
}
