//! A transaction that belongs to no message, for work beside the run loop: statements and records that take effect
//! together.

use std::time::Duration;

use jiff::Timestamp;
use longshore_event::{OutgoingRecord, TopicPartition};
use longshore_worker::{OutboxRow, Statement, StoreError, Timer, TimerChange};
use sqlx::Any;
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use crate::access::{Row, run};
use crate::bind::query;
use crate::classify::Database;
use crate::commit::commit_error;
use crate::{SqlStore, timer};

/// Time for one step, as for any other call of the store.
const STEP_LIMIT: Duration = Duration::from_secs(30);

/// What stands as the source of records that no message caused: a partition that nobody takes over, so that a claim of
/// theirs ends with its lease alone.
const NO_MESSAGE: (&str, i32) = ("none", -1);

/// A transaction that is under way. Dropped without [`commit`](Self::commit), it leaves nothing.
///
/// On SQLite it holds the one connection that writes: messages cannot commit meanwhile, so keep it short, and call nobody
/// else within it.
#[derive(Debug)]
pub struct Transaction {
    inner: sqlx::Transaction<'static, Any>,
    database: Database,
}

impl SqlStore {
    /// Begins a transaction that writes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        let database = self.inner.database;
        self.within(async {
            let begun = self.inner.writer.begin_with(database.begin()).await;
            let inner = begun.map_err(|error| StoreError::Unavailable(error.into()))?;
            Ok(Transaction { inner, database })
        })
        .await
    }

    /// Whether no other process can work on this store, as is so with SQLite.
    pub fn is_exclusive(&self) -> bool {
        self.inner.database == Database::Sqlite
    }

    /// Ends a `select` of rows that the transaction will change: nobody else may until it ends. Those that others are
    /// changing are left out.
    pub fn taking(&self) -> &'static str {
        self.inner.database.taking()
    }

    /// `column` is among the results of `query`, which is run once, whatever PostgreSQL thinks of its `limit`.
    pub fn among(&self, column: &str, query: &str) -> String {
        self.inner.database.among(column, query)
    }

    /// Ends a `select` as [`taking`](Self::taking) does, but waits for those who are changing the rows.
    pub fn locking(&self) -> &'static str {
        self.inner.database.locking()
    }

    /// Tells from now on when this process has committed messages.
    pub fn commits(&self) -> Commits {
        Commits(self.inner.commits.subscribe())
    }
}

/// Tells of commits of messages.
#[derive(Clone, Debug)]
pub struct Commits(watch::Receiver<()>);

impl Commits {
    /// Completes when something was committed since it was last asked. Safe to cancel.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // The store is gone, and with it whoever could commit.
            std::future::pending::<()>().await;
        }
    }
}

impl Transaction {
    /// Runs a statement and returns how many rows it changed.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] or [`StoreError::Unavailable`]; the transaction is of no more use then.
    pub async fn execute(&mut self, statement: &Statement) -> Result<u64, StoreError> {
        let database = self.database;
        within(async {
            let done = run(&mut self.inner, statement).await;
            done.map_err(|error| database.statement_error(statement, error))
        })
        .await
    }

    /// Runs a query, or a statement that returns rows, and returns all of them.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub async fn fetch(&mut self, statement: &Statement) -> Result<Vec<Row>, StoreError> {
        let database = self.database;
        within(async {
            let rows = match query(statement) {
                Ok(query) => query.fetch_all(&mut *self.inner).await,
                Err(error) => Err(error),
            };
            let rows = rows.map_err(|error| database.statement_error(statement, error))?;
            Ok(rows.into_iter().map(Row).collect())
        })
        .await
    }

    /// Publishes records once the transaction is committed, in no particular order: each as a timer that is due at `now`,
    /// so that any instance may send it. One whose id is in the outbox already is the same record. Ring the
    /// [`OutboxBell`](longshore_worker::OutboxBell) afterwards; without it they leave within a minute.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub async fn publish(
        &mut self,
        records: impl IntoIterator<Item = (Uuid, OutgoingRecord)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let set = |(id, record)| {
            TimerChange::Set(Timer {
                name: None,
                due_at: now,
                row: OutboxRow {
                    id,
                    sequence: 0,
                    source: TopicPartition::new(NO_MESSAGE.0, NO_MESSAGE.1),
                    record,
                },
            })
        };
        let changes: Vec<TimerChange> = records.into_iter().map(set).collect();
        let changes: Vec<&TimerChange> = changes.iter().collect();
        let database = self.database;
        within(async {
            let done =
                timer::change(database, &mut self.inner, &changes, now.as_millisecond()).await;
            done.map_err(|(text, error)| database.text_error(text, error))
        })
        .await
    }

    /// Makes it true.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] if a constraint that is checked at the end does not hold; otherwise
    /// [`StoreError::Unavailable`]: nobody knows then whether it took effect.
    pub async fn commit(self) -> Result<(), StoreError> {
        let database = self.database;
        within(async {
            let committed = self.inner.commit().await;
            committed.map_err(|error| commit_error(database, error))
        })
        .await
    }
}

async fn within<T>(step: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(STEP_LIMIT, step)
        .await
        .unwrap_or_else(|elapsed| Err(StoreError::Unavailable(elapsed.into())))
}
