//! A database in memory: an inbox, an outbox, and the statements that were committed, with faults on demand.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longshore_event::{Identity, TopicPartition};
use longshore_worker::{Finished, OutboxRow, Statement, Store, StoreError};
use tokio::sync::watch;
use uuid::Uuid;

use super::lock;

/// A [`Store`] in memory. Clones share the tables and the faults; dropping a worker leaves both.
///
/// Statements are recorded and not interpreted.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
    faults: Arc<Mutex<Faults>>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Tables {
    inbox: HashSet<Identity>,
    outbox: BTreeMap<(i64, Uuid), OutboxRow>,
    sequences: HashMap<Uuid, i64>,
    commits: Vec<Vec<Finished>>,
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
            changed: watch::Sender::new(()),
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
        self.changed.send_replace(());
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
        lock(&self.tables).inbox.contains(message)
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
        lock(&self.tables).outbox.values().cloned().collect()
    }

    /// Waits until `condition` holds; it is asked again after each change. Bound it with [`tokio::time::timeout`].
    pub async fn wait_until(&self, mut condition: impl FnMut(&Self) -> bool) {
        let mut changed = self.changed.subscribe();
        while !condition(self) {
            // Never an error: `self` holds the sender.
            if changed.changed().await.is_err() {
                return;
            }
        }
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
    async fn seen(&self, messages: &[&Identity]) -> Result<Vec<bool>, StoreError> {
        self.call().await?;
        let tables = lock(&self.tables);
        Ok(messages
            .iter()
            .map(|message| tables.inbox.contains(*message))
            .collect())
    }

    async fn commit(&self, batch: &[Finished]) -> Result<(), StoreError> {
        self.call().await?;
        if self.rejects(batch) {
            return Err(StoreError::Rejected("a fault of the test".into()));
        }
        lock(&self.tables).commit(batch)?;
        self.changed.send_replace(());
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
        let rows = tables.outbox.values();
        Ok(rows
            .filter(|row| after.is_none_or(|after| row.sequence > after))
            .filter(|row| partitions.is_none_or(|partitions| partitions.contains(&row.source)))
            .take(limit)
            .cloned()
            .collect())
    }

    async fn published(&self, rows: &[Uuid]) -> Result<(), StoreError> {
        self.call().await?;
        lock(&self.tables).published(rows);
        self.changed.send_replace(());
        Ok(())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.call().await
    }
}

impl Tables {
    fn commit(&mut self, batch: &[Finished]) -> Result<(), StoreError> {
        let mut identities = HashSet::new();
        for message in batch {
            if self.inbox.contains(&message.identity) || !identities.insert(&message.identity) {
                return Err(StoreError::Duplicate);
            }
        }
        for message in batch {
            self.inbox.insert(message.identity.clone());
            for row in &message.outbox {
                self.sequences.insert(row.id, row.sequence);
                self.outbox.insert((row.sequence, row.id), row.clone());
            }
        }
        self.commits.push(batch.to_vec());
        Ok(())
    }

    fn published(&mut self, rows: &[Uuid]) {
        for id in rows {
            if let Some(sequence) = self.sequences.remove(id) {
                self.outbox.remove(&(sequence, *id));
            }
        }
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
