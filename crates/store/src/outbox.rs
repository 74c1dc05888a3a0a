//! The outbox: records that are committed but not yet acknowledged by the broker.

use std::sync::LazyLock;

use longshore_event::{Headers, OutgoingRecord, TopicPartition};
use longshore_worker::{OutboxRow, StoreError};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, Row as _};
use uuid::Uuid;

use crate::SqlStore;
use crate::classify::Database;
use crate::column::{Unreadable, bind_partition, bytes_at, partition_at};
use crate::commit::Failed;
use crate::dialect::Dialects;
use crate::text::{BySize, MAX_ROWS, limit, parameters, tuples};

/// What [`outbox_row`] reads.
pub(crate) const COLUMNS: &str =
    "id, sequence, source_topic, source_partition, topic, key, value, headers";

static ALL: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {COLUMNS} from outbox where due_at is null and sequence > $1 order by sequence {}",
        limit(2)
    )
});

static OF_PARTITIONS: LazyLock<BySize> = LazyLock::new(|| {
    BySize::new(|rows| {
        let wanted = tuples(rows, 2, 2, |_, first| format!("(${first}, ${})", first + 1));
        format!(
            "select {COLUMNS} from outbox where due_at is null and sequence > $1 \
             and (source_topic, source_partition) in (values {wanted}) order by sequence {}",
            limit(2)
        )
    })
});

static INSERT: LazyLock<Dialects<BySize>> = LazyLock::new(|| insert_texts(&["created_at"]));

/// Inserts of what stands in [`COLUMNS`] and of these `more` columns behind.
pub(crate) fn insert_texts(more: &[&str]) -> Dialects<BySize> {
    let columns = format!("{COLUMNS}, {}", more.join(", "));
    let count = columns.split(", ").count();
    Dialects::new(|database| {
        BySize::new(|rows| {
            let values = parameters(rows, count);
            database.in_order(&format!(
                "insert into outbox ({columns}) values {values} on conflict do nothing"
            ))
        })
    })
}

/// Those that others are changing are being claimed or published at this very moment, and are left to them: waiting for
/// rows in an order that is not theirs could end in a deadlock.
static RELEASE_CLAIMS: LazyLock<Dialects<BySize>> = LazyLock::new(|| {
    Dialects::new(|database| {
        BySize::new(|rows| {
            let wanted = tuples(rows, 2, 0, |_, first| format!("(${first}, ${})", first + 1));
            let claimed = format!(
                "select id from outbox where claimed_until is not null \
                 and (source_topic, source_partition) in (values {wanted}){}",
                database.taking()
            );
            let released = database.among("id", &claimed);
            format!("update outbox set claimed_until = due_at where {released}")
        })
    })
});

static DELETE: LazyLock<BySize> = LazyLock::new(|| {
    BySize::new(|rows| {
        let ids = tuples(rows, 1, 0, |_, first| format!("${first}"));
        format!("delete from outbox where id in ({ids})")
    })
});

impl SqlStore {
    pub(crate) async fn read_outbox(
        &self,
        partitions: Option<&[TopicPartition]>,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        // Sequences are counted upwards from zero or above.
        let after = after.unwrap_or(i64::MIN);
        let Some(partitions) = partitions else {
            return self
                .read(sqlx::query(ALL.as_str()).bind(after).bind(limit as i64))
                .await;
        };
        let mut rows = Vec::new();
        // The first of each chunk, put together, hold the first of all.
        for chunk in partitions.chunks(MAX_ROWS) {
            let (text, size) = OF_PARTITIONS.holding(chunk.len());
            let mut query = sqlx::query(text).bind(after).bind(limit as i64);
            for partition in chunk.iter().chain(std::iter::repeat(&chunk[0])).take(size) {
                query = bind_partition(query, partition);
            }
            rows.extend(self.read(query).await?);
        }
        rows.sort_by_key(|row| row.sequence);
        rows.truncate(limit);
        Ok(rows)
    }

    pub(crate) async fn delete_from_outbox(&self, rows: &[Uuid]) -> Result<(), StoreError> {
        let mut connection = self.writing().await?;
        for chunk in rows.chunks(MAX_ROWS) {
            let (text, size) = DELETE.holding(chunk.len());
            let mut query = sqlx::query(text);
            for id in chunk.iter().chain(std::iter::repeat(&chunk[0])).take(size) {
                query = query.bind(&id.as_bytes()[..]);
            }
            query.execute(&mut *connection).await.map_err(unavailable)?;
        }
        Ok(())
    }

    async fn read(
        &self,
        query: Query<'_, Any, AnyArguments>,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let mut connection = self.reading().await?;
        let rows = query
            .fetch_all(&mut *connection)
            .await
            .map_err(unavailable)?;
        rows.iter()
            .map(|row| outbox_row(row).map_err(StoreError::Unavailable))
            .collect()
    }
}

/// Adds rows to the outbox of the transaction that `connection` is in. A row whose id is there already is the same
/// row, from a message whose inbox row was pruned before its outbox row was sent.
pub(crate) async fn insert(
    database: Database,
    connection: &mut AnyConnection,
    rows: &[&OutboxRow],
    now: i64,
) -> Result<(), Failed> {
    for (text, rows) in INSERT.of(database).split(rows) {
        let query = rows.iter().fold(sqlx::query(text), |query, row| {
            bind_row(query, row).bind(now)
        });
        query
            .execute(&mut *connection)
            .await
            .map_err(|error| (text, error))?;
    }
    Ok(())
}

/// Makes the claimed timers of these partitions claimable again. They stay claimed once, so that nobody cancels what may
/// have been published.
pub(crate) async fn release_claims(
    database: Database,
    connection: &mut AnyConnection,
    partitions: &[&TopicPartition],
) -> sqlx::Result<()> {
    for (text, chunk) in RELEASE_CLAIMS.of(database).split(partitions) {
        let query = chunk
            .iter()
            .fold(sqlx::query(text), |query, one| bind_partition(query, one));
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Binds what stands in [`COLUMNS`].
pub(crate) fn bind_row<'q>(
    query: Query<'q, Any, AnyArguments>,
    row: &'q OutboxRow,
) -> Query<'q, Any, AnyArguments> {
    let query = query.bind(&row.id.as_bytes()[..]).bind(row.sequence);
    bind_partition(query, &row.source)
        .bind(&*row.record.topic)
        .bind(row.record.key.as_deref())
        .bind(row.record.value.as_deref())
        .bind(row.record.headers.to_bytes())
}

/// Reads what stands in [`COLUMNS`].
pub(crate) fn outbox_row(row: &AnyRow) -> Result<OutboxRow, Unreadable> {
    Ok(OutboxRow {
        id: Uuid::from_slice(row.try_get(0)?)?,
        sequence: row.try_get(1)?,
        source: partition_at(row, 2)?,
        record: OutgoingRecord {
            topic: row.try_get::<&str, _>(4)?.into(),
            key: bytes_at(row, 5)?,
            value: bytes_at(row, 6)?,
            headers: Headers::from_bytes(row.try_get(7)?)?,
        },
    })
}

fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{finds_by_index, reads_in_order};

    #[tokio::test]
    async fn records_are_found_by_an_index() {
        reads_in_order("outbox", &ALL).await;
        finds_by_index("outbox", OF_PARTITIONS.holding(8).0).await;
        finds_by_index("outbox", DELETE.holding(8).0).await;
        finds_by_index("outbox", RELEASE_CLAIMS.of(Database::Sqlite).holding(8).0).await;
    }
}
