//! The `store` strategy: inbox, writes and outbox in one transaction; the relay publishes what was committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use longshore_event::{Identity, TopicPartition};

use crate::relay::Relay;
use crate::{
    CommitError, CommitStrategy, Finished, OutboxRow, Publisher, Refused, Store, StoreError,
};

/// Commits to a [`Store`] and publishes through a [`Publisher`]: exactly once in effect.
#[derive(Debug)]
pub struct StoreStrategy<S> {
    store: Arc<S>,
    relay: Relay,
    /// Whether a commit failed in a way that leaves its outcome unknown.
    uncertain: AtomicBool,
}

impl<S: Store> StoreStrategy<S> {
    /// Starts the relay of the store's outbox as a task of its own; it ends with the strategy.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(store: Arc<S>, publisher: impl Publisher) -> Self {
        Self {
            relay: Relay::spawn(store.clone(), publisher),
            store,
            uncertain: AtomicBool::new(false),
        }
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
}

impl<S: Store> CommitStrategy for StoreStrategy<S> {
    async fn take_over(&self, partitions: &[TopicPartition]) -> Result<(), CommitError> {
        self.relay.own(partitions.to_vec()).await;
        self.relay.load(partitions.to_vec()).await?;
        self.relay.settle(partitions.to_vec()).await;
        Ok(())
    }

    async fn seen(&self, messages: &[&Identity]) -> Result<Vec<bool>, CommitError> {
        Ok(self.store.seen(messages).await?)
    }

    async fn commit(&self, mut batch: Vec<Finished>) -> Result<(), Refused> {
        let reason: CommitError = match self.store.commit(&batch).await {
            Ok(()) => {
                // Had an earlier try been committed after all, this one would be a duplicate.
                self.uncertain.store(false, Ordering::Relaxed);
                let rows: Vec<OutboxRow> = batch
                    .iter_mut()
                    .flat_map(|finished| finished.outbox.drain(..))
                    .collect();
                self.relay.publish(rows).await;
                return Ok(());
            }
            Err(error) => error.into(),
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

    async fn hand_over(&self, partitions: &[TopicPartition]) {
        self.relay.hand_over(partitions.to_vec()).await;
    }
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(reason) => Self::Unavailable(reason),
            StoreError::Duplicate => Self::Duplicate,
            StoreError::Rejected(reason) => Self::Rejected(reason),
        }
    }
}
