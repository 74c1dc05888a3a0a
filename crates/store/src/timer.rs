//! Timers: rows of the outbox that wait. A claim is a lease; a row that was never claimed can be cancelled.

use std::collections::HashMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use longshore_worker::{Due, StoreError, Timer, TimerChange};
use sqlx::{AnyConnection, Row as _};
use uuid::Uuid;

use crate::SqlStore;
use crate::classify::Database;
use crate::column::{name_hash, time, time_at};
use crate::commit::Failed;
use crate::dialect::Dialects;
use crate::outbox::{COLUMNS, bind_row, insert_texts, outbox_row};
use crate::text::{BySize, MAX_ROWS, limit, tuples};

static CLAIM: LazyLock<Dialects<String>> = LazyLock::new(|| {
    Dialects::new(|database| {
        let due = format!(
            "select id from outbox where due_at is not null and coalesce(claimed_until, due_at) <= $1 \
             order by coalesce(claimed_until, due_at), sequence {}{}",
            limit(3),
            database.taking()
        );
        let claimed = database.among("id", &due);
        format!("update outbox set claimed_until = $2 where {claimed} returning {COLUMNS}, due_at")
    })
});

const NEXT: &str = "select coalesce(claimed_until, due_at) from outbox where due_at is not null \
     order by coalesce(claimed_until, due_at) limit 1";

static CANCEL: LazyLock<BySize> = LazyLock::new(|| {
    BySize::new(|rows| {
        let names = tuples(rows, 1, 0, |_, first| format!("${first}"));
        format!("delete from outbox where name_hash in ({names}) and claimed_until is null")
    })
});

static SET: LazyLock<Dialects<BySize>> =
    LazyLock::new(|| insert_texts(&["due_at", "name_hash", "created_at"]));

impl SqlStore {
    /// On PostgreSQL, several instances that claim at once pass over each other's rows.
    pub(crate) async fn claim_timers(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Due, StoreError> {
        let mut connection = self.writing().await?;
        let claimed = sqlx::query(CLAIM.of(self.inner.database).as_str())
            .bind(time(now))
            .bind(time(until))
            .bind(limit as i64)
            .fetch_all(&mut *connection)
            .await
            .map_err(unavailable)?;
        let mut rows = Vec::with_capacity(claimed.len());
        for row in &claimed {
            let due_at: i64 = row.try_get(8).map_err(unavailable)?;
            rows.push((due_at, outbox_row(row).map_err(StoreError::Unavailable)?));
        }
        rows.sort_by_key(|(due_at, row)| (*due_at, row.sequence));
        let next = sqlx::query(NEXT)
            .fetch_optional(&mut *connection)
            .await
            .map_err(unavailable)?;
        Ok(Due {
            rows: rows.into_iter().map(|(_, row)| row).collect(),
            next: next
                .map(|row| time_at(&row, 0))
                .transpose()
                .map_err(StoreError::Unavailable)?,
        })
    }
}

/// Sets and cancels timers in the transaction that `connection` is in. On PostgreSQL a cancellation waits for a claim that
/// is under way, and then passes over its row.
pub(crate) async fn change(
    database: Database,
    connection: &mut AnyConnection,
    changes: &[&TimerChange],
    now: i64,
) -> Result<(), Failed> {
    let outcome = Outcome::of(changes);
    for chunk in outcome.replaced.chunks(MAX_ROWS) {
        let (text, size) = CANCEL.holding(chunk.len());
        let names = chunk.iter().chain(std::iter::repeat(&chunk[0])).take(size);
        let query = names.fold(sqlx::query(text), |query, name| query.bind(&name[..]));
        let done = query.execute(&mut *connection).await;
        done.map_err(|error| (text, error))?;
    }
    for (text, chunk) in SET.of(database).split(&outcome.set) {
        let mut query = sqlx::query(text);
        for (timer, name) in chunk {
            query = bind_row(query, &timer.row)
                .bind(time(timer.due_at))
                .bind(name.as_ref().map(|name| &name.as_bytes()[..]))
                .bind(now);
        }
        let done = query.execute(&mut *connection).await;
        done.map_err(|error| (text, error))?;
    }
    Ok(())
}

/// What changes come to in the end: since nobody can claim in between, a timer that is set and then cancelled or replaced
/// in one transaction was never there.
struct Outcome<'a> {
    /// Names whose pending timer goes.
    replaced: Vec<[u8; 16]>,
    /// Timers that are new, with the hash of the name.
    set: Vec<(&'a Timer, Option<Uuid>)>,
}

impl<'a> Outcome<'a> {
    fn of(changes: &[&'a TimerChange]) -> Self {
        let mut last: HashMap<Uuid, usize> = HashMap::new();
        let mut named = Vec::with_capacity(changes.len());
        for (index, change) in changes.iter().enumerate() {
            let (timer, name) = match change {
                TimerChange::Set(timer) => (Some(timer), timer.name.as_ref()),
                TimerChange::Cancel(name) => (None, Some(name)),
            };
            let name = name.map(name_hash);
            if let Some(name) = name {
                last.insert(name, index);
            }
            named.push((timer, name));
        }
        let mut set = Vec::new();
        for (index, (timer, name)) in named.into_iter().enumerate() {
            if let Some(timer) = timer
                && name.is_none_or(|name| last[&name] == index)
            {
                set.push((timer, name));
            }
        }
        // In an order that all instances share.
        let mut replaced: Vec<_> = last.into_keys().map(Uuid::into_bytes).collect();
        replaced.sort_unstable();
        Self { replaced, set }
    }
}

fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::finds_by_index;

    #[tokio::test]
    async fn timers_are_found_by_an_index() {
        finds_by_index("outbox", CLAIM.of(Database::Sqlite)).await;
        finds_by_index("outbox", CANCEL.holding(8).0).await;
    }
}
