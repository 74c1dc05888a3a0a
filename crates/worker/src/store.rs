//! What the `store` strategy needs of a database: inbox, outbox, timers, parked messages and statements in one transaction.

use std::error::Error;

use jiff::Timestamp;
use longshore_event::{Identity, TopicPartition};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Due, Finished, OutboxRow, ParkedHead, ParkedRow};

/// The database of one worker (of all its instances, if the database can be shared).
pub trait Store: Send + Sync + 'static {
    /// Takes over partitions: from its return on, no commit under an earlier fence of them takes effect. Timers that an
    /// earlier owner claimed but did not publish can be claimed again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn take_over(
        &self,
        partitions: &[TopicPartition],
    ) -> impl Future<Output = Result<Vec<Fence>, StoreError>> + Send;

    /// Which of these are in the inbox, in order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn seen(
        &self,
        messages: &[&Identity],
    ) -> impl Future<Output = Result<Vec<bool>, StoreError>> + Send;

    /// One transaction: all that the messages cause, or nothing.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if a partition was taken over by another owner; [`StoreError::Duplicate`] if the claim of
    /// a message does not hold (see [`Claim`](crate::Claim)); [`StoreError::Rejected`] if a statement fails for a reason
    /// that lies in the statement (a constraint, a type, a syntax error); otherwise [`StoreError::Unavailable`]: the
    /// outcome is then unknown, and trying again tells it.
    fn commit(&self, commit: &Commit<'_>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Outbox rows that are to be published at once, in ascending sequence: those of `partitions`, or of every
    /// partition if it is `None`; above `after` if given; at most `limit`. Timers are not among them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn outbox(
        &self,
        partitions: Option<&[TopicPartition]>,
        after: Option<i64>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<OutboxRow>, StoreError>> + Send;

    /// Claims timers that are due at `now`, the earliest first, at most `limit`: nobody else is given them before
    /// `until`, and they can no longer be cancelled.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; some may have been claimed then, and are given again after `until`.
    fn claim_due(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> impl Future<Output = Result<Due, StoreError>> + Send;

    /// Takes rows that were acknowledged out of the outbox, timers included. Rows that are not there are passed over.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; the rows are then published again under the same ids.
    fn published(&self, rows: &[Uuid]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The first row of each lane that has rows of these partitions, the earliest due first; at most `limit` lanes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn parked_heads(
        &self,
        partitions: &[TopicPartition],
        limit: usize,
    ) -> impl Future<Output = Result<Vec<ParkedHead>, StoreError>> + Send;

    /// The first rows of a lane that are of these partitions, in ascending sequence; at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn parked(
        &self,
        lane: &[u8],
        partitions: &[TopicPartition],
        limit: usize,
    ) -> impl Future<Output = Result<Vec<ParkedRow>, StoreError>> + Send;

    /// Forgets inbox rows that are older than `before`, those of [`Claim::Redrivable`](crate::Claim::Redrivable) messages
    /// only if they are older than `redrivable_before`; at most `limit`. Returns how many.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn prune(
        &self,
        before: Timestamp,
        redrivable_before: Timestamp,
        limit: usize,
    ) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// How much there is in it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn counts(&self) -> impl Future<Output = Result<StoreCounts, StoreError>> + Send;

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn ping(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The right to commit messages of a partition, until somebody else takes it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The partition.
    pub partition: TopicPartition,
    /// Counts the owners.
    pub epoch: i64,
}

/// A batch to commit.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// One for each partition of the batch.
    pub fences: &'a [Fence],
    /// What the inbox remembers as the time of the commit.
    pub now: Timestamp,
    /// The messages. Those of one key stand in their order.
    pub messages: &'a [Finished],
}

/// How many rows a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreCounts {
    /// Messages that the inbox remembers. An estimate where there are many: an exact count would read all of them.
    pub inbox: u64,
    /// Records that wait to be published.
    pub outbox: u64,
    /// Timers that wait to become due.
    pub timers: u64,
    /// Messages that are parked.
    pub parked: u64,
}

/// Why a store did not do it, told by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Try again later.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The claim of a message does not hold: it has taken effect before.
    #[error("a message of the batch has taken effect before")]
    Duplicate,
    /// A partition of the batch has another owner now.
    #[error("{partition} was taken over by another instance")]
    Fenced {
        /// The partition.
        partition: TopicPartition,
    },
    /// A statement of the batch cannot succeed.
    #[error("a statement was rejected")]
    Rejected(#[source] Box<dyn Error + Send + Sync>),
}
