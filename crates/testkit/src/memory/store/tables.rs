//! The tables of a [`MemoryStore`](super::MemoryStore), and what a transaction does to them.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use jiff::Timestamp;
use longshore_event::{Identity, Position, TopicPartition};
use longshore_worker::{
    Claim, Commit, Due, Fence, Finished, OutboxRow, ParkedHead, ParkedRow, ParkedState, StoreError,
    Timer, TimerChange, TimerName,
};
use uuid::Uuid;

#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    epochs: HashMap<TopicPartition, i64>,
    inbox: HashMap<Identity, InboxRow>,
    outbox: BTreeMap<(i64, Uuid), OutboxRow>,
    sequences: HashMap<Uuid, i64>,
    timers: HashMap<Uuid, TimerRow>,
    parked: HashMap<Position, ParkedRow>,
    pub(super) commits: Vec<Vec<Finished>>,
}

#[derive(Clone, Debug)]
struct InboxRow {
    handled_at: Timestamp,
    redrivable: bool,
}

#[derive(Clone, Debug)]
struct TimerRow {
    timer: Timer,
    /// Nobody else may claim it before; `None` as long as nobody has.
    claimed_until: Option<Timestamp>,
}

impl TimerRow {
    fn claimable_at(&self) -> Timestamp {
        self.claimed_until.unwrap_or(self.timer.due_at)
    }
}

impl Tables {
    pub(super) fn take_over(&mut self, partitions: &[TopicPartition]) -> Vec<Fence> {
        for row in self.timers.values_mut() {
            if partitions.contains(&row.timer.row.source) && row.claimed_until.is_some() {
                // Still claimed once, so that it cannot be cancelled any more.
                row.claimed_until = Some(row.timer.due_at);
            }
        }
        let mut fences = Vec::new();
        for partition in partitions {
            let epoch = self.epochs.entry(partition.clone()).or_default();
            *epoch += 1;
            fences.push(Fence {
                partition: partition.clone(),
                epoch: *epoch,
            });
        }
        fences
    }

    pub(super) fn has_seen(&self, message: &Identity) -> bool {
        self.inbox.contains_key(message)
    }

    /// All of it or, with the error, nothing.
    pub(super) fn commit(&mut self, commit: &Commit<'_>) -> Result<(), StoreError> {
        for fence in commit.fences {
            if self.epochs.get(&fence.partition) != Some(&fence.epoch) {
                return Err(StoreError::Fenced {
                    partition: fence.partition.clone(),
                });
            }
        }
        let mut claimed = HashSet::new();
        for message in commit.messages {
            let holds = match message.claim {
                Claim::Inbox | Claim::Redrivable => {
                    !self.inbox.contains_key(&message.identity) && claimed.insert(&message.identity)
                }
                // One that is held has come to its end already.
                Claim::Parked => {
                    let row = self.parked.get(&message.position);
                    row.is_some_and(|row| row.state == ParkedState::Waiting)
                }
            };
            if !holds {
                return Err(StoreError::Duplicate);
            }
        }
        for message in commit.messages {
            self.apply(message, commit.now);
        }
        self.commits.push(commit.messages.to_vec());
        Ok(())
    }

    fn apply(&mut self, message: &Finished, now: Timestamp) {
        match message.claim {
            Claim::Parked => drop(self.parked.remove(&message.position)),
            claim => {
                let row = InboxRow {
                    handled_at: now,
                    redrivable: claim == Claim::Redrivable,
                };
                self.inbox.insert(message.identity.clone(), row);
            }
        }
        if let Some(row) = &message.parked {
            self.parked.insert(row.position.clone(), (**row).clone());
        }
        if let Some(position) = &message.releases {
            self.parked.remove(position);
        }
        if let Some(kept) = &message.keeps
            && let Some(held) = self.parked.get_mut(&kept.position)
            && held.state == ParkedState::Held
        {
            (held.attempts, held.due_at) = (kept.attempts, kept.due_at);
            let first = held.failure.as_ref().map(|failure| failure.first_failed_at);
            held.failure.clone_from(&kept.failure);
            if let (Some(failure), Some(first)) = (&mut held.failure, first) {
                failure.first_failed_at = first;
            }
        }
        for row in &message.outbox {
            self.sequences.insert(row.id, row.sequence);
            self.outbox.insert((row.sequence, row.id), row.clone());
        }
        for change in &message.timers {
            match change {
                TimerChange::Set(timer) => {
                    if let Some(name) = &timer.name {
                        self.cancel(name);
                    }
                    let row = TimerRow {
                        timer: timer.clone(),
                        claimed_until: None,
                    };
                    self.timers.insert(timer.row.id, row);
                }
                TimerChange::Cancel(name) => self.cancel(name),
            }
        }
    }

    fn cancel(&mut self, name: &TimerName) {
        self.timers
            .retain(|_, row| row.claimed_until.is_some() || row.timer.name.as_ref() != Some(name));
    }

    pub(super) fn outbox(&self) -> impl Iterator<Item = &OutboxRow> {
        self.outbox.values()
    }

    pub(super) fn claim_due(&mut self, now: Timestamp, until: Timestamp, limit: usize) -> Due {
        let mut due: Vec<(Timestamp, i64, Uuid)> = self
            .timers
            .values()
            .filter(|row| row.claimable_at() <= now)
            .map(|row| (row.claimable_at(), row.timer.row.sequence, row.timer.row.id))
            .collect();
        due.sort();
        due.truncate(limit);
        let mut claimed = Vec::new();
        for (_, _, id) in due {
            if let Some(row) = self.timers.get_mut(&id) {
                row.claimed_until = Some(until);
                claimed.push(row.timer.clone());
            }
        }
        claimed.sort_by_key(|timer| (timer.due_at, timer.row.sequence));
        Due {
            rows: claimed.into_iter().map(|timer| timer.row).collect(),
            next: self.timers.values().map(TimerRow::claimable_at).min(),
        }
    }

    pub(super) fn timers(&self) -> impl Iterator<Item = &Timer> {
        self.timers.values().map(|row| &row.timer)
    }

    pub(super) fn published(&mut self, rows: &[Uuid]) {
        for id in rows {
            self.timers.remove(id);
            if let Some(sequence) = self.sequences.remove(id) {
                self.outbox.remove(&(sequence, *id));
            }
        }
    }

    /// Parked rows in ascending sequence.
    pub(super) fn parked(&self) -> Vec<&ParkedRow> {
        let mut rows: Vec<&ParkedRow> = self.parked.values().collect();
        let place = |row: &ParkedRow| {
            (
                row.sequence,
                row.position.partition.clone(),
                row.position.offset,
            )
        };
        rows.sort_by_key(|row| place(row));
        rows
    }

    pub(super) fn parked_heads(&self, partitions: &[TopicPartition]) -> Vec<ParkedHead> {
        let mut heads: BTreeMap<Bytes, ParkedHead> = BTreeMap::new();
        for row in self.parked() {
            if !partitions.contains(&row.position.partition) {
                continue;
            }
            let head = heads.entry(row.lane.clone()).or_insert_with(|| ParkedHead {
                lane: row.lane.clone(),
                position: row.position.clone(),
                origin: row.record.position(),
                state: row.state,
                attempts: row.attempts,
                due_at: row.due_at,
                failure: row.failure.clone(),
                rows: 0,
                last: row.sequence,
            });
            head.rows += 1;
            head.last = row.sequence;
        }
        let mut heads: Vec<_> = heads.into_values().collect();
        heads.sort_by_key(|head| head.due_at);
        heads
    }

    pub(super) fn prune(
        &mut self,
        before: Timestamp,
        redrivable: Timestamp,
        limit: usize,
    ) -> usize {
        let old = self
            .inbox
            .iter()
            .filter(|(_, row)| row.handled_at < if row.redrivable { redrivable } else { before });
        let old: Vec<Identity> = old.map(|(id, _)| id.clone()).take(limit).collect();
        for identity in &old {
            self.inbox.remove(identity);
        }
        old.len()
    }

    pub(super) fn inbox_rows(&self) -> usize {
        self.inbox.len()
    }
}
