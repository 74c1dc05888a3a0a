//! What is asked now and then: forget old messages, count rows.

use std::sync::LazyLock;

use jiff::Timestamp;
use longshore_worker::{StoreCounts, StoreError};
use sqlx::{AnyConnection, Row as _};

use crate::SqlStore;
use crate::classify::Database;
use crate::dialect::Dialects;
use crate::text::limit;

/// Rows up to which the inbox is counted; above, its size is estimated. It is the one table that is large in health, and
/// reading all of it every few seconds would cost more than the messages do.
const COUNTED_INBOX: i64 = 10_000;

/// Rows at which counting another table ends, so that an outage of days does not make the status slow.
const COUNTED: i64 = 1_000_000;

/// The two ages are two statements: rows that are kept for longer would otherwise be walked over each time.
static PRUNE: LazyLock<Dialects<String>> = LazyLock::new(|| {
    Dialects::new(|database| {
        let address = database.row_address();
        let old = format!(
            "select {address} from inbox where redrivable = $1 and handled_at < $2 \
             order by handled_at {}{}",
            limit(3),
            database.taking()
        );
        format!("delete from inbox where {}", database.among(address, &old))
    })
});

/// Rows get ascending numbers and are pruned in that order, but for the few that are kept for longer.
const SPAN_OF_INBOX: &str = "select coalesce((select max(rowid) from inbox) - \
     (select rowid from inbox where redrivable = 0 order by handled_at limit 1) + 1, 0)";

/// What PostgreSQL last found when it vacuumed or analysed the table; -1 if it never did.
const STATISTICS_OF_INBOX: &str =
    "select cast(reltuples as bigint) from pg_class where oid = 'inbox'::regclass";

impl SqlStore {
    pub(crate) async fn prune_inbox(
        &self,
        before: Timestamp,
        redrivable_before: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let text = PRUNE.of(self.inner.database).as_str();
        let mut connection = self.writing().await?;
        let mut pruned = 0;
        for (redrivable, before) in [(0_i64, before), (1, redrivable_before)] {
            let done = sqlx::query(text)
                .bind(redrivable)
                .bind(before.as_millisecond())
                .bind((limit - pruned) as i64)
                .execute(&mut *connection)
                .await
                .map_err(unavailable)?;
            pruned = limit.min(pruned + done.rows_affected() as usize);
        }
        Ok(pruned)
    }

    pub(crate) async fn count_rows(&self) -> Result<StoreCounts, StoreError> {
        let mut connection = self.reading().await?;
        let counts = counts(self.inner.database, &mut connection).await;
        counts.map_err(unavailable)
    }
}

async fn counts(database: Database, connection: &mut AnyConnection) -> sqlx::Result<StoreCounts> {
    let estimate = match database {
        Database::Sqlite => SPAN_OF_INBOX,
        Database::Postgres => STATISTICS_OF_INBOX,
    };
    let mut inbox = number(connection, sqlx::query(estimate)).await?;
    if inbox <= COUNTED_INBOX {
        let count = "select count(*) from (select 1 from inbox limit $1) as counted";
        inbox = number(connection, sqlx::query(count).bind(COUNTED_INBOX)).await?;
    }
    let others = "select \
         (select count(*) from (select 1 from outbox where due_at is null limit $1) as ready), \
         (select count(*) from (select 1 from outbox where due_at is not null limit $1) as timers), \
         (select count(*) from (select 1 from parked limit $1) as waiting)";
    let others = sqlx::query(others)
        .bind(COUNTED)
        .fetch_one(connection)
        .await?;
    let other = |column: usize| -> sqlx::Result<u64> {
        let rows: i64 = others.try_get(column)?;
        Ok(rows.max(0) as u64)
    };
    Ok(StoreCounts {
        inbox: inbox.max(0) as u64,
        outbox: other(0)?,
        timers: other(1)?,
        parked: other(2)?,
    })
}

async fn number(
    connection: &mut AnyConnection,
    query: sqlx::query::Query<'_, sqlx::Any, sqlx::any::AnyArguments>,
) -> sqlx::Result<i64> {
    query.fetch_one(connection).await?.try_get(0)
}

fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::finds_by_index;

    #[tokio::test]
    async fn what_is_old_is_found_by_an_index() {
        finds_by_index("inbox", PRUNE.of(Database::Sqlite)).await;
    }
}
