//! One transaction for a batch of messages: the order of the steps in [`SqlStore::commit_batch`] is the guarantee.

use longshore_worker::{Finished, OutboxRow, StoreError};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, Connection};

use crate::access::run;
use crate::classify::Database;
use crate::migration::now;
use crate::{SqlStore, inbox, outbox};

impl SqlStore {
    pub(crate) async fn commit_batch(&self, batch: &[Finished]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let database = self.inner.database;
        let mut connection = self.writing().await?;
        let mut transaction = connection.begin().await.map_err(unavailable)?;
        match write(database, &mut transaction, batch).await {
            Ok(()) => transaction
                .commit()
                .await
                .map_err(|error| commit_error(database, error)),
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

/// The inbox comes first: it is what a second instance waits at, before it has changed anything.
async fn write(
    database: Database,
    connection: &mut AnyConnection,
    batch: &[Finished],
) -> Result<(), StoreError> {
    let now = now();
    let new = inbox::insert(connection, batch, now)
        .await
        .map_err(|(text, error)| database.text_error(text, error))?;
    if !new {
        return Err(StoreError::Duplicate);
    }
    for statement in batch.iter().flat_map(|message| &message.writes) {
        run(connection, statement)
            .await
            .map_err(|error| database.statement_error(statement, error))?;
    }
    let rows: Vec<&OutboxRow> = batch.iter().flat_map(|message| &message.outbox).collect();
    outbox::insert(connection, &rows, now)
        .await
        .map_err(|(text, error)| database.text_error(text, error))
}

/// After most errors nobody knows whether the commit took place; trying again tells, by the inbox. A constraint that
/// is checked at the end (`deferrable initially deferred`) is different: it failed, and will fail again.
fn commit_error(database: Database, error: sqlx::Error) -> StoreError {
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

fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(error.into())
}
