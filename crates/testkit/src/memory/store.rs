//! A database in memory: inbox, outbox, timers, parked messages, and the statements that were committed, with faults on
//! demand.

mod tables;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use longshore_event::{Identity, TopicPartition};
use longshore_worker::{
    Commit, Due, Fence, Finished, OutboxRow, ParkedHead, ParkedRow, Statement, Store, StoreCounts,
    StoreError, Timer,
};
use uuid::Uuid;

use super::{Watched, lock};
use tables::Tables;

/// A [`Store`] in memory. Clones share the tables and the faults; dropping a worker leaves both.
///
/// Statements are recorded and not interpreted.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
    faults: Arc<Mutex<Faults>>,
    changed: Watched<()>,
}

#[derive(Debug, Default)]
struct Faults {
    failing_calls: usize,
    down: bool,
    stalled: bool,
    rejected_text: Option<String>,
    /// Commits until one takes effect and does not say so; counting from 1.
    lost_answer: Option<usize>,
    latency: Duration,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty database.
    pub fn new() -> Self {
        Self {
            tables: Arc::default(),
            faults: Arc::default(),
            changed: Watched::new(()),
        }
    }

    /// The next `n` calls answer [`StoreError::Unavailable`].
    pub fn fail_calls(&self, n: usize) {
        lock(&self.faults).failing_calls = n;
    }

    /// From now on every call answers [`StoreError::Unavailable`], until [`MemoryStore::available`].
    pub fn unavailable(&self) {
        lock(&self.faults).down = true;
    }

    /// From now on no call returns, until [`MemoryStore::available`].
    pub fn stall(&self) {
        lock(&self.faults).stalled = true;
    }

    /// Ends [`MemoryStore::unavailable`] and [`MemoryStore::stall`].
    pub fn available(&self) {
        let mut faults = lock(&self.faults);
        faults.down = false;
        faults.stalled = false;
        drop(faults);
        self.changed.set(());
    }

    /// Rejects every batch that holds a statement with this text.
    pub fn reject_statement(&self, text: &str) {
        lock(&self.faults).rejected_text = Some(text.to_owned());
    }

    /// The `n`-th commit from now takes effect, but answers [`StoreError::Unavailable`]; the next one is 1.
    pub fn lose_answer_of_commit(&self, n: usize) {
        lock(&self.faults).lost_answer = Some(n);
    }

    /// Each call takes this long, in tokio's time.
    pub fn set_latency(&self, latency: Duration) {
        lock(&self.faults).latency = latency;
    }

    /// Whether the message is in the inbox.
    pub fn has_seen(&self, message: &Identity) -> bool {
        lock(&self.tables).has_seen(message)
    }

    /// Every batch that was committed, in order.
    pub fn commits(&self) -> Vec<Vec<Finished>> {
        lock(&self.tables).commits.clone()
    }

    /// Every message that was committed, in order.
    pub fn finished(&self) -> Vec<Finished> {
        lock(&self.tables)
            .commits
            .iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// Every statement that was committed, in order.
    pub fn statements(&self) -> Vec<Statement> {
        let tables = lock(&self.tables);
        let finished = tables.commits.iter().flatten();
        finished.flat_map(|one| one.writes.clone()).collect()
    }

    /// What is in the outbox, in ascending sequence.
    pub fn outbox_rows(&self) -> Vec<OutboxRow> {
        lock(&self.tables).outbox().cloned().collect()
    }

    /// The timers that wait, in the order in which they are due.
    pub fn timers(&self) -> Vec<Timer> {
        let mut timers: Vec<Timer> = lock(&self.tables).timers().cloned().collect();
        timers.sort_by_key(|timer| (timer.due_at, timer.row.sequence));
        timers
    }

    /// The messages that are parked, in the order in which they were.
    pub fn parked_rows(&self) -> Vec<ParkedRow> {
        lock(&self.tables).parked().into_iter().cloned().collect()
    }

    /// Waits until `condition` holds; it is asked again after each change. Bound it with [`tokio::time::timeout`].
    pub async fn wait_until(&self, mut condition: impl FnMut(&Self) -> bool) {
        self.changed.until(|()| condition(self)).await;
    }

    /// What stands before every call: the time it takes, and the faults that are set.
    async fn call(&self) -> Result<(), StoreError> {
        let latency = lock(&self.faults).latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        self.wait_until(|store| !lock(&store.faults).stalled).await;
        let mut faults = lock(&self.faults);
        if faults.down {
            return Err(unavailable());
        }
        if faults.failing_calls > 0 {
            faults.failing_calls -= 1;
            return Err(unavailable());
        }
        Ok(())
    }

    fn rejects(&self, batch: &[Finished]) -> bool {
        let faults = lock(&self.faults);
        let mut statements = batch.iter().flat_map(|message| &message.writes);
        statements.any(|statement| Some(statement.text.as_ref()) == faults.rejected_text.as_deref())
    }
}

impl Store for MemoryStore {
    async fn take_over(&self, partitions: &[TopicPartition]) -> Result<Vec<Fence>, StoreError> {
        self.call().await?;
        Ok(lock(&self.tables).take_over(partitions))
    }

    async fn seen(&self, messages: &[&Identity]) -> Result<Vec<bool>, StoreError> {
        self.call().await?;
        let tables = lock(&self.tables);
        Ok(messages.iter().map(|id| tables.has_seen(id)).collect())
    }

    async fn commit(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        self.call().await?;
        if self.rejects(commit.messages) {
            return Err(StoreError::Rejected("a fault of the test".into()));
        }
        lock(&self.tables).commit(commit)?;
        self.changed.set(());
        if lock(&self.faults).loses_answer() {
            return Err(unavailable());
        }
        Ok(())
    }

    async fn outbox(
        &self,
        partitions: Option<&[TopicPartition]>,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        self.call().await?;
        let tables = lock(&self.tables);
        Ok(tables
            .outbox()
            .filter(|row| after.is_none_or(|after| row.sequence > after))
            .filter(|row| partitions.is_none_or(|partitions| partitions.contains(&row.source)))
            .take(limit)
            .cloned()
            .collect())
    }

    async fn claim_due(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Due, StoreError> {
        self.call().await?;
        Ok(lock(&self.tables).claim_due(now, until, limit))
    }

    async fn published(&self, rows: &[Uuid]) -> Result<(), StoreError> {
        self.call().await?;
        lock(&self.tables).published(rows);
        self.changed.set(());
        Ok(())
    }

    async fn parked_heads(
        &self,
        partitions: &[TopicPartition],
        limit: usize,
    ) -> Result<Vec<ParkedHead>, StoreError> {
        self.call().await?;
        let mut heads = lock(&self.tables).parked_heads(partitions);
        heads.truncate(limit);
        Ok(heads)
    }

    async fn parked(
        &self,
        lane: &[u8],
        partitions: &[TopicPartition],
        limit: usize,
    ) -> Result<Vec<ParkedRow>, StoreError> {
        self.call().await?;
        let tables = lock(&self.tables);
        Ok(tables
            .parked()
            .into_iter()
            .filter(|row| row.lane == lane && partitions.contains(&row.position.partition))
            .take(limit)
            .cloned()
            .collect())
    }

    async fn prune(
        &self,
        before: Timestamp,
        redrivable_before: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.call().await?;
        Ok(lock(&self.tables).prune(before, redrivable_before, limit))
    }

    async fn counts(&self) -> Result<StoreCounts, StoreError> {
        self.call().await?;
        let tables = lock(&self.tables);
        Ok(StoreCounts {
            inbox: tables.inbox_rows() as u64,
            outbox: tables.outbox().count() as u64,
            timers: tables.timers().count() as u64,
            parked: tables.parked().len() as u64,
        })
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.call().await
    }
}

impl Faults {
    fn loses_answer(&mut self) -> bool {
        let Some(left) = &mut self.lost_answer else {
            return false;
        };
        *left = left.saturating_sub(1);
        if *left > 0 {
            return false;
        }
        self.lost_answer = None;
        true
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("a fault of the test".into())
}
