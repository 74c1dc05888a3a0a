//! The store itself: two pools on one database, and the trait's methods, each with a bound on its time.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use longshore_event::{Identity, TopicPartition};
use longshore_worker::{
    Commit, Due, Fence, OutboxRow, ParkedHead, ParkedRow, Store, StoreCounts, StoreError,
};
use sqlx::AnyPool;
use tokio::sync::watch;
use uuid::Uuid;

use crate::classify::Database;
use crate::gate::{Call, Gate};

/// Time for one call, waiting for a connection included. A server that stopped answering in the middle of a
/// statement (a pulled cable, a frozen machine) would otherwise hold the caller until TCP gives up.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// Inbox, outbox, timers, parked messages and the tables of an application in one SQLite file or one PostgreSQL schema.
///
/// Cloning is cheap; all clones share the connections. Every call is safe to drop: a transaction that was under way
/// is rolled back or, if its commit was sent already, may have become true.
#[derive(Clone, Debug)]
pub struct SqlStore {
    pub(crate) inner: Arc<Inner>,
    /// What a test has put before it; nothing in production.
    pub(crate) gate: Option<Arc<dyn Gate>>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) database: Database,
    /// Everything that writes.
    pub(crate) writer: AnyPool,
    /// Reads. On PostgreSQL it is the same pool.
    pub(crate) reader: AnyPool,
    /// Tells of commits of messages.
    pub(crate) commits: watch::Sender<()>,
    /// Keeps a second process off a SQLite file until the last clone is gone.
    pub(crate) _lock: Option<File>,
}

impl SqlStore {
    /// Runs `call` within [`CALL_LIMIT`].
    pub(crate) async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.through_gate(Call::Other, limited(call)).await
    }
}

async fn limited<T>(call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(CALL_LIMIT, call)
        .await
        .unwrap_or_else(|elapsed| Err(StoreError::Unavailable(elapsed.into())))
}

impl Store for SqlStore {
    async fn take_over(&self, partitions: &[TopicPartition]) -> Result<Vec<Fence>, StoreError> {
        self.within(self.take_over_partitions(partitions)).await
    }

    async fn seen(&self, messages: &[&Identity]) -> Result<Vec<bool>, StoreError> {
        self.within(self.seen_in_inbox(messages)).await
    }

    async fn commit(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        self.through_gate(Call::Commit, limited(self.commit_batch(commit)))
            .await
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

    async fn claim_due(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Due, StoreError> {
        self.within(self.claim_timers(now, until, limit)).await
    }

    async fn published(&self, rows: &[Uuid]) -> Result<(), StoreError> {
        self.within(self.delete_from_outbox(rows)).await
    }

    async fn parked_heads(
        &self,
        partitions: &[TopicPartition],
        limit: usize,
    ) -> Result<Vec<ParkedHead>, StoreError> {
        self.within(self.read_heads(partitions, limit)).await
    }

    async fn parked(
        &self,
        lane: &[u8],
        partitions: &[TopicPartition],
        limit: usize,
    ) -> Result<Vec<ParkedRow>, StoreError> {
        self.within(self.read_lane(lane, partitions, limit)).await
    }

    async fn prune(
        &self,
        before: Timestamp,
        redrivable_before: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.within(self.prune_inbox(before, redrivable_before, limit))
            .await
    }

    async fn counts(&self) -> Result<StoreCounts, StoreError> {
        self.within(self.count_rows()).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.within(self.ask()).await
    }
}
