//! The store itself: two pools on one database, and the trait's methods, each with a bound on its time.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use longshore_event::{Identity, TopicPartition};
use longshore_worker::{Finished, OutboxRow, Store, StoreError};
use sqlx::AnyPool;
use uuid::Uuid;

use crate::classify::Database;

/// Time for one call, waiting for a connection included. A server that stopped answering in the middle of a
/// statement (a pulled cable, a frozen machine) would otherwise hold the caller until TCP gives up.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// Inbox, outbox and the tables of an application in one SQLite file or one PostgreSQL schema.
///
/// Cloning is cheap; all clones share the connections. Every call is safe to drop: a transaction that was under way
/// is rolled back or, if its commit was sent already, may have become true.
#[derive(Clone, Debug)]
pub struct SqlStore {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) database: Database,
    /// Everything that writes.
    pub(crate) writer: AnyPool,
    /// Reads. On PostgreSQL it is the same pool.
    pub(crate) reader: AnyPool,
    /// Keeps a second process off a SQLite file until the last clone is gone.
    pub(crate) _lock: Option<File>,
}

impl SqlStore {
    /// Runs `call` within [`CALL_LIMIT`].
    pub(crate) async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        tokio::time::timeout(CALL_LIMIT, call)
            .await
            .unwrap_or_else(|elapsed| Err(StoreError::Unavailable(elapsed.into())))
    }
}

impl Store for SqlStore {
    async fn seen(&self, messages: &[&Identity]) -> Result<Vec<bool>, StoreError> {
        self.within(self.seen_in_inbox(messages)).await
    }

    async fn commit(&self, batch: &[Finished]) -> Result<(), StoreError> {
        self.within(self.commit_batch(batch)).await
    }

    async fn outbox(
        &self,
        partitions: Option<&[TopicPartition]>,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        self.within(self.read_outbox(partitions, after, limit))
            .await
    }

    async fn published(&self, rows: &[Uuid]) -> Result<(), StoreError> {
        self.within(self.delete_from_outbox(rows)).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.within(self.ask()).await
    }
}
