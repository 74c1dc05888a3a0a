//! The transactional calls of a producer. They block, and their errors say what the caller has to do.

use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::error::{ClientError, text};
use super::{Client, PartitionList};

/// Generations count from 1; below stands a client that is no member at the moment.
const FIRST_GENERATION: i32 = 1;

/// A transactional call that failed.
#[derive(Debug)]
pub(crate) struct TransactionError {
    pub(crate) error: ClientError,
    pub(crate) remedy: Remedy,
}

/// What a failed call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Make the call again; it goes on where it was.
    Retry,
    /// Abort the transaction.
    Abort,
    /// Replace the producer.
    Replace,
}

/// As whom a consumer acts in its group at one moment (KIP-447): what fences a member that was replaced.
#[derive(Debug)]
pub(crate) struct GroupMetadata {
    metadata: *mut sys::rd_kafka_consumer_group_metadata_t,
}

/// A member of a classic group, in one of the group's generations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) member: String,
    pub(crate) generation: i32,
}

impl Standing {
    /// Whether a member that stood here has been in its group all the time until it stood there: members take part in
    /// every generation, so one that missed any was taken for dead, and its partitions may have been others' meanwhile.
    pub(crate) fn goes_on_as(&self, later: &Self) -> bool {
        let passed = later.generation - self.generation;
        self.member == later.member && (0..=1).contains(&passed)
    }
}

// SAFETY: plain memory with one owner.
unsafe impl Send for GroupMetadata {}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: it is ours, and destroyed once.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.metadata) }
    }
}

impl GroupMetadata {
    /// What it says.
    pub(crate) fn standing(&self) -> Standing {
        // SAFETY: the metadata is live; the string is its own and copied.
        unsafe {
            Standing {
                member: text(sys::rd_kafka_consumer_group_metadata_member_id(
                    self.metadata,
                )),
                generation: sys::rd_kafka_consumer_group_metadata_generation_id(self.metadata),
            }
        }
    }
}

impl Client {
    /// As whom this consumer acts now; `None` while it is no member.
    ///
    /// Brokers take offsets without member and generation from anybody, so those must never be sent.
    pub(crate) fn group_metadata(&self) -> Option<GroupMetadata> {
        // SAFETY: the handle is live; what is returned is ours.
        unsafe {
            let metadata = sys::rd_kafka_consumer_group_metadata(self.handle());
            if metadata.is_null() {
                return None;
            }
            let metadata = GroupMetadata { metadata };
            let member = sys::rd_kafka_consumer_group_metadata_member_id(metadata.metadata);
            let generation = sys::rd_kafka_consumer_group_metadata_generation_id(metadata.metadata);
            let is_member = generation >= FIRST_GENERATION && !text(member).is_empty();
            is_member.then_some(metadata)
        }
    }

    /// Ends what an earlier producer of the same transactional id left open, and fences that producer.
    pub(crate) fn init_transactions(&self, within: Duration) -> Result<(), TransactionError> {
        // SAFETY: the handle is live; the error object is ours.
        unsafe {
            outcome(sys::rd_kafka_init_transactions(
                self.handle(),
                millis(within),
            ))
        }
    }

    /// Begins a transaction, here and not yet at the broker.
    pub(crate) fn begin_transaction(&self) -> Result<(), TransactionError> {
        // SAFETY: the handle is live; the error object is ours.
        unsafe { outcome(sys::rd_kafka_begin_transaction(self.handle())) }
    }

    /// Why the open transaction can only be aborted; `None` while nothing is known against it.
    pub(crate) fn transaction_error(&self) -> Option<TransactionError> {
        // No call tells it by itself. To begin another transaction is refused while one is open, and changes nothing; the
        // refusal is about the state, or about a call under way, unless there is an error.
        use RDKafkaErrorCode as Code;
        let failed = self.begin_transaction().err()?;
        let is_error = !matches!(failed.error.code, Code::State | Code::Conflict);
        is_error.then_some(failed)
    }

    /// Makes offsets of a group part of the transaction.
    pub(crate) fn send_offsets(
        &self,
        offsets: &PartitionList,
        member: &GroupMetadata,
        within: Duration,
    ) -> Result<(), TransactionError> {
        // SAFETY: all are live and copied; the error object is ours.
        unsafe {
            outcome(sys::rd_kafka_send_offsets_to_transaction(
                self.handle(),
                offsets.as_ptr(),
                member.metadata,
                millis(within),
            ))
        }
    }

    /// Commits, within what is left of the transaction's time.
    pub(crate) fn commit_transaction(&self) -> Result<(), TransactionError> {
        // SAFETY: the handle is live; the error object is ours.
        unsafe { outcome(sys::rd_kafka_commit_transaction(self.handle(), REMAINING)) }
    }

    /// Aborts, within what is left of the transaction's time. What was not yet sent is reported as not delivered.
    pub(crate) fn abort_transaction(&self) -> Result<(), TransactionError> {
        // SAFETY: the handle is live; the error object is ours.
        unsafe { outcome(sys::rd_kafka_abort_transaction(self.handle(), REMAINING)) }
    }
}

/// Stands for what is left of the transaction's time; other values may leave librdkafka's state out of step.
const REMAINING: i32 = -1;

fn millis(within: Duration) -> i32 {
    i32::try_from(within.as_millis()).unwrap_or(i32::MAX)
}

/// # Safety
/// `error` is null or an error object that nobody else frees.
unsafe fn outcome(error: *mut sys::rd_kafka_error_t) -> Result<(), TransactionError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: it is live until it is taken.
    unsafe {
        let remedy = if sys::rd_kafka_error_is_retriable(error) != 0 {
            Remedy::Retry
        } else if sys::rd_kafka_error_txn_requires_abort(error) != 0 {
            Remedy::Abort
        } else {
            Remedy::Replace
        };
        match ClientError::take(error) {
            Some(error) => Err(TransactionError { error, remedy }),
            None => Ok(()),
        }
    }
}
