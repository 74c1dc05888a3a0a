//! One transaction for a batch of messages: the order of the steps in [`write`] is the guarantee.

use longshore_worker::{Commit, Finished, OutboxRow, Statement, StoreError, TimerChange};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Connection};

use crate::access::run;
use crate::classify::Database;
use crate::{SqlStore, fence, inbox, outbox, parked, timer};

/// The statement of a batch that failed, and how.
pub(crate) type Failed = (&'static str, sqlx::Error);

impl SqlStore {
    pub(crate) async fn commit_batch(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        if commit.messages.is_empty() {
            return Ok(());
        }
        self.transaction(async |database, connection| write(database, connection, commit).await)
            .await?;
        self.inner.commits.send_replace(());
        Ok(())
    }

    /// Runs `steps` in a transaction that writes: all of them take effect, or none.
    pub(crate) async fn transaction<T>(
        &self,
        steps: impl AsyncFnOnce(Database, &mut AnyConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let database = self.inner.database;
        let mut connection = self.writing().await?;
        let mut transaction = connection
            .begin_with(database.begin())
            .await
            .map_err(unavailable)?;
        match steps(database, &mut transaction).await {
            Ok(result) => {
                let committed = transaction.commit().await;
                committed.map_err(|error| commit_error(database, error))?;
                Ok(result)
            }
            Err(error) => {
                // The caller commits the messages one by one next: the locks are better gone by then.
                if let Err(error) = transaction.rollback().await {
                    tracing::debug!(%error, "the connection broke; the server rolls back by itself");
                }
                Err(error)
            }
        }
    }

    pub(crate) async fn writing(&self) -> Result<PoolConnection<Any>, StoreError> {
        acquire(&self.inner.writer).await
    }

    pub(crate) async fn reading(&self) -> Result<PoolConnection<Any>, StoreError> {
        acquire(&self.inner.reader).await
    }
}

async fn acquire(pool: &AnyPool) -> Result<PoolConnection<Any>, StoreError> {
    pool.acquire().await.map_err(unavailable)
}

/// The fences come first, so that a new owner waits for all that follows or prevents it; then the claims: they are what a
/// second instance waits at, before it has changed anything.
async fn write(
    database: Database,
    connection: &mut AnyConnection,
    commit: &Commit<'_>,
) -> Result<(), StoreError> {
    let failed = |(text, error): Failed| database.text_error(text, error);
    let messages = commit.messages;
    let now = commit.now.as_millisecond();
    fence::check(database, connection, commit.fences).await?;
    let claimed = inbox::insert(connection, messages, now)
        .await
        .map_err(failed)?
        && parked::claim(database, connection, messages)
            .await
            .map_err(failed)?;
    if !claimed {
        return Err(StoreError::Duplicate);
    }
    for statement in statements(messages) {
        run(connection, statement)
            .await
            .map_err(|error| database.statement_error(statement, error))?;
    }
    parked::release(database, connection, messages)
        .await
        .map_err(failed)?;
    parked::keep(database, connection, messages)
        .await
        .map_err(failed)?;
    let rows: Vec<&OutboxRow> = messages.iter().flat_map(|one| &one.outbox).collect();
    outbox::insert(database, connection, &rows, now)
        .await
        .map_err(failed)?;
    let timers: Vec<&TimerChange> = messages.iter().flat_map(|one| &one.timers).collect();
    timer::change(database, connection, &timers, now)
        .await
        .map_err(failed)?;
    parked::insert(database, connection, messages)
        .await
        .map_err(failed)
}

/// The statements of all messages, in the order of their keys: two instances that have messages of the same keys then
/// wait for each other at the first row that both change, and not in a circle.
fn statements(messages: &[Finished]) -> impl Iterator<Item = &Statement> {
    let writing = messages.iter().filter(|message| !message.writes.is_empty());
    let mut writing: Vec<&Finished> = writing.collect();
    // Stable: a key's messages stay in their order.
    writing.sort_by(|one, other| one.key.cmp(&other.key));
    writing.into_iter().flat_map(|message| &message.writes)
}

/// After most errors nobody knows whether the commit took place; trying again tells, by the inbox. A constraint that
/// is checked at the end (`deferrable initially deferred`) is different: it failed, and will fail again.
pub(crate) fn commit_error(database: Database, error: sqlx::Error) -> StoreError {
    let constraint = error.as_database_error().is_some_and(|error| {
        error.is_unique_violation()
            || error.is_foreign_key_violation()
            || error.is_check_violation()
    });
    if constraint {
        database.text_error("commit", error)
    } else {
        unavailable(error)
    }
}

pub(crate) fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(error.into())
}
