//! The `store` strategy: inbox, writes, outbox, timers and parked messages in one transaction; the relay publishes what
//! was committed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longshore_event::{Identity, TopicPartition};
use tokio::sync::watch;

use crate::pruning::Pruning;
use crate::relay::Relay;
use crate::report::UnwrittenTopic;
use crate::{
    Clock, Commit, CommitError, CommitStrategy, Fence, Finished, OutboxBell, OutboxRow, ParkedHead,
    ParkedRow, Publisher, Refused, Retention, Store, StoreError, TimerChange,
};

/// Commits to a [`Store`] and publishes through a [`Publisher`]: exactly once in effect.
#[derive(Debug)]
pub struct StoreStrategy<S> {
    store: Arc<S>,
    relay: Relay,
    _pruning: Pruning,
    clock: Clock,
    /// The right to commit, by partition.
    fences: Mutex<HashMap<TopicPartition, Fence>>,
    /// Whether a commit failed in a way that leaves its outcome unknown.
    uncertain: AtomicBool,
}

impl<S: Store> StoreStrategy<S> {
    /// Starts the relay of the store's outbox and the pruning of its inbox as tasks of their own; they end with the
    /// strategy.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(
        store: Arc<S>,
        publisher: impl Publisher,
        clock: Clock,
        retention: Retention,
    ) -> Self {
        Self {
            _pruning: Pruning::spawn(store.clone(), retention, clock.clone()),
            relay: Relay::spawn(store.clone(), publisher, clock.clone()),
            store,
            clock,
            fences: Mutex::default(),
            uncertain: AtomicBool::new(false),
        }
    }

    /// To tell of records that were put into the store's outbox beside the messages.
    pub fn bell(&self) -> OutboxBell {
        self.relay.bell()
    }

    /// The fences of the batch's partitions.
    fn fences_of(&self, batch: &[Finished]) -> Result<Vec<Fence>, CommitError> {
        let held = self.fences();
        let mut fences: Vec<Fence> = Vec::new();
        for finished in batch {
            let partition = &finished.position.partition;
            if fences.iter().any(|fence| fence.partition == *partition) {
                continue;
            }
            let Some(fence) = held.get(partition) else {
                let partition = partition.clone();
                return Err(StoreError::Fenced { partition }.into());
            };
            fences.push(fence.clone());
        }
        Ok(fences)
    }

    /// Commits the batch under the fences that are held now.
    async fn commit_fenced(&self, batch: &[Finished]) -> Result<(), CommitError> {
        let fences = self.fences_of(batch)?;
        let commit = Commit {
            fences: &fences,
            now: self.clock.now(),
            messages: batch,
        };
        Ok(self.store.commit(&commit).await?)
    }

    /// A commit whose outcome was unknown turns out to be there: its follow-ons must be on their way before the
    /// next message of their keys is handled.
    async fn recover(&self, batch: &[Finished]) -> Result<(), CommitError> {
        let mut partitions: Vec<TopicPartition> = Vec::new();
        for finished in batch {
            if !partitions.contains(&finished.position.partition) {
                partitions.push(finished.position.partition.clone());
            }
        }
        self.relay.load(partitions).await?;
        Ok(())
    }

    fn fences(&self) -> MutexGuard<'_, HashMap<TopicPartition, Fence>> {
        // The map is whole after every operation, so a panic elsewhere does not spoil it.
        self.fences.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Store> CommitStrategy for StoreStrategy<S> {
    /// The fence comes first: what an earlier owner could still commit is committed by then, and so is loaded.
    async fn take_over(&self, partitions: &[TopicPartition]) -> Result<Option<i64>, CommitError> {
        let fences = self.store.take_over(partitions).await?;
        for fence in fences {
            self.fences().insert(fence.partition.clone(), fence);
        }
        self.relay.own(partitions.to_vec()).await;
        let last = self.relay.load(partitions.to_vec()).await?;
        self.relay.settle(partitions.to_vec()).await;
        Ok(last)
    }

    async fn seen(&self, messages: &[&Identity]) -> Result<Vec<bool>, CommitError> {
        Ok(self.store.seen(messages).await?)
    }

    async fn commit(&self, mut batch: Vec<Finished>) -> Result<(), Refused> {
        let reason = match self.commit_fenced(&batch).await {
            Ok(()) => {
                // Had an earlier try been committed after all, this one would be a duplicate.
                self.uncertain.store(false, Ordering::Relaxed);
                self.send(&mut batch).await;
                return Ok(());
            }
            Err(reason) => reason,
        };
        match reason {
            CommitError::Unavailable(_) => self.uncertain.store(true, Ordering::Relaxed),
            CommitError::Duplicate if self.uncertain.load(Ordering::Relaxed) => {
                if let Err(reason) = self.recover(&batch).await {
                    return Err(Refused { batch, reason });
                }
                // A batch is looked into one by one; only its last word ends the uncertainty.
                if batch.len() == 1 {
                    self.uncertain.store(false, Ordering::Relaxed);
                }
            }
            _ => {}
        }
        Err(Refused { batch, reason })
    }

    fn can_park(&self) -> bool {
        true
    }

    fn backlog(&self) -> Option<watch::Receiver<u64>> {
        Some(self.relay.backlog())
    }

    fn unwritten(&self) -> Vec<UnwrittenTopic> {
        self.relay.unwritten()
    }

    async fn parked_heads(
        &self,
        partitions: &[TopicPartition],
        limit: usize,
    ) -> Result<Vec<ParkedHead>, CommitError> {
        Ok(self.store.parked_heads(partitions, limit).await?)
    }

    async fn parked(
        &self,
        lane: &[u8],
        partitions: &[TopicPartition],
        limit: usize,
    ) -> Result<Vec<ParkedRow>, CommitError> {
        Ok(self.store.parked(lane, partitions, limit).await?)
    }

    async fn hand_over(&self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.fences().remove(partition);
        }
        self.relay.hand_over(partitions.to_vec()).await;
    }
}

impl<S: Store> StoreStrategy<S> {
    /// Hands what was committed to the relay.
    async fn send(&self, batch: &mut [Finished]) {
        let rows: Vec<OutboxRow> = batch
            .iter_mut()
            .flat_map(|finished| finished.outbox.drain(..))
            .collect();
        self.relay.publish(rows).await;
        let timers = batch.iter().flat_map(|finished| &finished.timers);
        let due = timers.filter_map(|change| match change {
            TimerChange::Set(timer) => Some(timer.due_at),
            TimerChange::Cancel(_) => None,
        });
        if let Some(first) = due.min() {
            self.relay.timer(first).await;
        }
    }
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(reason) => Self::Unavailable(reason),
            StoreError::Duplicate => Self::Duplicate,
            fenced @ StoreError::Fenced { .. } => Self::Fenced(fenced.into()),
            StoreError::Rejected(reason) => Self::Rejected(reason),
        }
    }
}
