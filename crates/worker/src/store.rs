//! What the `store` strategy needs of a database: an inbox, an outbox and statements in one transaction.

use std::error::Error;

use longshore_event::{Identity, TopicPartition};
use uuid::Uuid;

use crate::{Finished, OutboxRow};

/// The database of one worker (of all its instances, if the database can be shared).
pub trait Store: Send + Sync + 'static {
    /// Which of these are in the inbox, in order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn seen(
        &self,
        messages: &[&Identity],
    ) -> impl Future<Output = Result<Vec<bool>, StoreError>> + Send;

    /// One transaction: the inbox rows, the statements and the outbox rows of all messages, or nothing.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] if one is in the inbox already, [`StoreError::Rejected`] if a statement fails for a
    /// reason that lies in the statement (a constraint, a type, a syntax error), otherwise
    /// [`StoreError::Unavailable`]; the outcome is then unknown, and trying again tells it.
    fn commit(&self, batch: &[Finished]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Outbox rows, in ascending sequence: those of `partitions`, or of every partition if it is `None`; above
    /// `after` if given; at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn outbox(
        &self,
        partitions: Option<&[TopicPartition]>,
        after: Option<i64>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<OutboxRow>, StoreError>> + Send;

    /// Takes rows that were acknowledged out of the outbox. Rows that are not there are passed over.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; the rows are then published again under the same ids.
    fn published(&self, rows: &[Uuid]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn ping(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Why a store did not do it, told by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Try again later.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// A message of the batch is in the inbox already.
    #[error("a message of the batch is in the inbox already")]
    Duplicate,
    /// A statement of the batch cannot succeed.
    #[error("a statement was rejected")]
    Rejected(#[source] Box<dyn Error + Send + Sync>),
}
