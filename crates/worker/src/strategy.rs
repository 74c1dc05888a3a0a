//! How effects become true: the seam between the run loop and what makes many messages one transaction.

use std::error::Error;

use longshore_event::{Identity, TopicPartition};
use tokio::sync::watch;

use crate::{Finished, ParkedHead, ParkedRow, UnwrittenTopic};

/// Commits the effects of finished messages.
///
/// # Contract
/// - `commit` makes the whole batch true or nothing of it. It returns when the effects are durable; follow-on records
///   may still be on their way, but can no longer be lost.
/// - The run loop calls `commit` for one batch at a time. Messages of one key stand in it in their order, and all of
///   them but the first are only parked.
/// - What a dropped future leaves behind: all of its batch or nothing.
pub trait CommitStrategy: Send + Sync + 'static {
    /// Takes over partitions: returns when what an earlier owner committed but did not publish is published. Nothing
    /// of these partitions is handled before. What could not be published yet stays queued: the highest
    /// [`OutboxRow::sequence`](crate::OutboxRow) of it is returned, and later rows must stand above it.
    ///
    /// # Errors
    /// [`CommitError::Unavailable`]; the run loop tries again.
    fn take_over(
        &self,
        partitions: &[TopicPartition],
    ) -> impl Future<Output = Result<Option<i64>, CommitError>> + Send;

    /// Which of these messages have taken effect before, in order.
    ///
    /// # Errors
    /// [`CommitError::Unavailable`]; the run loop tries again.
    fn seen(
        &self,
        messages: &[&Identity],
    ) -> impl Future<Output = Result<Vec<bool>, CommitError>> + Send;

    /// Makes the effects of the batch true.
    ///
    /// # Errors
    /// [`Refused`] gives the batch back, with what to do about it.
    fn commit(&self, batch: Vec<Finished>) -> impl Future<Output = Result<(), Refused>> + Send;

    /// Whether a batch must be a completed prefix: every message below one of the batch, in its partition, is finished
    /// or in the batch.
    fn in_log_order(&self) -> bool {
        false
    }

    /// Whether messages can be parked. Without it a message that used up its immediate retries is dead.
    fn can_park(&self) -> bool {
        false
    }

    /// How many committed records wait to be published, as far as they do not fit into memory; `None` if none ever wait.
    fn backlog(&self) -> Option<watch::Receiver<u64>> {
        None
    }

    /// The topics that refuse committed records, which wait for them.
    fn unwritten(&self) -> Vec<UnwrittenTopic> {
        Vec::new()
    }

    /// The first message of each parked lane of these partitions, the earliest due first; at most `limit` lanes.
    ///
    /// # Errors
    /// [`CommitError::Unavailable`]; the run loop tries again.
    fn parked_heads(
        &self,
        partitions: &[TopicPartition],
        limit: usize,
    ) -> impl Future<Output = Result<Vec<ParkedHead>, CommitError>> + Send {
        let _ = (partitions, limit);
        async { Ok(Vec::new()) }
    }

    /// The first messages of a parked lane that are of these partitions, in order; at most `limit`.
    ///
    /// # Errors
    /// [`CommitError::Unavailable`]; the run loop tries again.
    fn parked(
        &self,
        lane: &[u8],
        partitions: &[TopicPartition],
        limit: usize,
    ) -> impl Future<Output = Result<Vec<ParkedRow>, CommitError>> + Send {
        let _ = (lane, partitions, limit);
        async { Ok(Vec::new()) }
    }

    /// Lets partitions go: returns when what was committed of them is published. The run loop bounds the wait; what is
    /// left over then is published by the next owner.
    fn hand_over(&self, partitions: &[TopicPartition]) -> impl Future<Output = ()> + Send;
}

/// A batch of which nothing took effect.
#[derive(Debug)]
pub struct Refused {
    /// The batch, as it was handed over.
    pub batch: Vec<Finished>,
    /// Why.
    pub reason: CommitError,
}

impl Refused {
    /// Gives the batch back to a strategy without a store.
    ///
    /// # Errors
    /// The refusal of a batch with statements or timers, in the name of the strategy.
    pub fn if_it_needs_a_store(
        batch: Vec<Finished>,
        strategy: &str,
    ) -> Result<Vec<Finished>, Self> {
        let needs_store =
            |finished: &Finished| !finished.writes.is_empty() || !finished.timers.is_empty();
        if !batch.iter().any(needs_store) {
            return Ok(batch);
        }
        let reason = format!(
            "the {strategy} strategy has no store for statements and timers; build the worker with the store strategy"
        );
        Err(Self {
            batch,
            reason: CommitError::Rejected(reason.into()),
        })
    }
}

/// Why a batch was not committed, told by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Try again later, for ever: it says nothing about the messages.
    #[error("the commit target is not available")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// A message of the batch has taken effect before. Commit them one by one; skip a single one.
    #[error("a message of the batch has taken effect before")]
    Duplicate,
    /// This process no longer owns a partition of the batch. Commit them one by one; leave a single one to its new owner.
    #[error("a partition of the batch is no longer this process's")]
    Fenced(#[source] Box<dyn Error + Send + Sync>),
    /// A message of the batch cannot be committed, ever. Commit them one by one; dead-letter a single one.
    #[error("the effects cannot be committed")]
    Rejected(#[source] Box<dyn Error + Send + Sync>),
}
