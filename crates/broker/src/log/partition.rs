//! A partition shared by connections: the log behind its lock, and who waits for the next record.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use super::{Append, AppendError, Appended, IncomingBatch, Marker, PartitionLog};
use crate::sync::lock;

/// One partition of a topic.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) index: i32,
    log: Mutex<PartitionLog>,
    wakers: Mutex<Vec<Arc<Notify>>>,
}

impl Partition {
    /// Opens partition `index` with its log in `directory`.
    ///
    /// # Errors
    ///
    /// See [`PartitionLog::open`].
    pub(crate) fn open(index: i32, directory: PathBuf) -> io::Result<Self> {
        Ok(Self {
            index,
            log: Mutex::new(PartitionLog::open(directory)?),
            wakers: Mutex::default(),
        })
    }

    /// The log. Writes under this lock end in the page cache and take microseconds.
    pub(crate) fn log(&self) -> MutexGuard<'_, PartitionLog> {
        lock(&self.log)
    }

    /// Appends a batch and wakes the fetches that wait for it.
    ///
    /// # Errors
    ///
    /// See [`PartitionLog::append`].
    pub(crate) fn append(
        &self,
        batch: &IncomingBatch,
        how: &Append,
    ) -> Result<Appended, AppendError> {
        let appended = self.log().append(batch, how)?;
        self.wake();
        Ok(appended)
    }

    /// Ends a transaction and wakes the fetches that wait for its records.
    ///
    /// # Errors
    ///
    /// See [`PartitionLog::end_transaction`].
    pub(crate) fn end_transaction(
        &self,
        marker: &Marker,
        how: &Append,
    ) -> Result<bool, AppendError> {
        let ended = self.log().end_transaction(marker, how)?;
        if ended {
            self.wake();
        }
        Ok(ended)
    }

    /// Closes the log for ever and tells who waits for it.
    pub(crate) fn delete(&self) {
        self.log().mark_deleted();
        self.wake();
    }

    fn wake(&self) {
        for waker in lock(&self.wakers).iter() {
            waker.notify_one();
        }
    }
}

/// Wakes one waiting fetch when any of its partitions changes.
#[derive(Debug)]
pub(crate) struct Waker {
    notify: Arc<Notify>,
    partitions: Vec<Arc<Partition>>,
}

impl Waker {
    /// Registers with `partitions`. What is appended from now on is not missed, even if it comes
    /// before [`Waker::woken`] is called.
    pub(crate) fn register(partitions: Vec<Arc<Partition>>) -> Self {
        let notify = Arc::new(Notify::new());
        for partition in &partitions {
            lock(&partition.wakers).push(notify.clone());
        }
        Self { notify, partitions }
    }

    /// Returns after something changed since the last call. Safe to cancel.
    pub(crate) async fn woken(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        for partition in &self.partitions {
            lock(&partition.wakers).retain(|waker| !Arc::ptr_eq(waker, &self.notify));
        }
    }
}
