//! A log, a consumer group, a producer and a database in memory, with faults on demand: deterministic, without
//! threads, and at home under tokio's paused time.
//!
//! Every type here is a handle: clones share what they stand for. A worker that is dropped is a crashed process;
//! what it leaves behind is in the [`MemoryLog`], the [`MemoryGroup`] and the [`MemoryStore`].

mod log;
pub use log::MemoryLog;

mod partitioner;
pub use partitioner::partition_of_key;

mod group;
pub use group::MemoryGroup;

mod source;
pub use source::{MemorySource, SourceControl};

mod publisher;
pub use publisher::MemoryPublisher;

mod transactions;
pub use transactions::MemoryTransactions;

mod store;
pub use store::MemoryStore;

mod note;
pub use note::{Echo, Note};

mod watched;
pub use watched::Watched;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A test that panicked with the lock held has failed already; its clean-up should not panic a second time.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
