//! How effects become true: the seam between the run loop and what makes many messages one transaction.

use std::error::Error;

use longshore_event::{Identity, TopicPartition};

use crate::Finished;

/// Commits the effects of finished messages.
///
/// # Contract
/// - `commit` makes the whole batch true or nothing of it. It returns when the effects are durable; follow-on records
///   may still be on their way, but can no longer be lost.
/// - The run loop calls `commit` for one batch at a time, with at most one message of a key in a batch.
/// - What a dropped future leaves behind: all of its batch or nothing.
pub trait CommitStrategy: Send + Sync + 'static {
    /// Takes over partitions: returns when what an earlier owner committed but did not publish is published. Nothing
    /// of these partitions is handled before.
    ///
    /// # Errors
    /// [`CommitError::Unavailable`]; the run loop tries again.
    fn take_over(
        &self,
        partitions: &[TopicPartition],
    ) -> impl Future<Output = Result<(), CommitError>> + Send;

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
