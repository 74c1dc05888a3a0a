//! Parked messages: the lanes that wait, each from its first row on.

use std::sync::LazyLock;

use longshore_event::{Position, TopicPartition};
use longshore_worker::{Claim, Finished, ParkedHead, ParkedRow, StoreError};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};

use crate::SqlStore;
use crate::classify::Database;
use crate::column::{Unreadable, bind_partition, lane_hash};
use crate::commit::Failed;
use crate::dialect::Dialects;
use crate::text::{BySize, MAX_ROWS, OfPartitions, limit, parameters, tuples, typed_parameters};

mod row;
use row::{
    AGAIN, AnyQuery, COLUMNS, COUNT, HEAD_COLUMNS, bind_again, bind_row, parked_head, parked_row,
};

/// In the order of an index of its own, whatever else is parked.
static LANE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "select {COLUMNS} from parked where source_topic = $1 and source_partition = $2 and lane_hash = $3 \
         order by sequence {}",
        limit(4)
    )
});

/// A message that is held has come to its end already: an earlier try of the same commit took effect.
static CLAIM: LazyLock<Dialects<BySize>> = LazyLock::new(|| take_out_texts(" and held = 0"));

static RELEASE: LazyLock<Dialects<BySize>> = LazyLock::new(|| take_out_texts(""));

/// The rows are joined, since SQLite looks through all that is parked for those `in (values …)`.
fn take_out_texts(condition: &str) -> Dialects<BySize> {
    Dialects::new(|database| {
        let address = database.row_address();
        BySize::new(|rows| {
            let positions = tuples(rows, 3, 0, |_, first| {
                format!("(${first}, ${}, ${})", first + 1, first + 2)
            });
            let found = format!(
                "select parked.{address} from (values {positions}) as wanted join parked \
                 on source_topic = column1 and source_partition = column2 and source_offset = column3{condition}"
            );
            // PostgreSQL looks at a row again if it had to wait for it, but not at the query that found it.
            format!(
                "delete from parked where {}{condition}",
                database.among(address, &found)
            )
        })
    })
}

/// Nothing that is indexed changes, so that a retry costs a row and no index.
static CLAIM_AGAIN: LazyLock<Dialects<BySize>> = LazyLock::new(|| change_texts(0));

/// A message that holds its key died again after a redrive.
static KEEP: LazyLock<Dialects<BySize>> = LazyLock::new(|| change_texts(1));

fn change_texts(held: u8) -> Dialects<BySize> {
    Dialects::new(|database| BySize::new(|rows| change_text(database, rows, held)))
}

fn change_text(database: Database, rows: usize, held: u8) -> String {
    let given = typed_parameters(rows, &AGAIN);
    // A key that is held is so since the first death.
    let equal: Vec<String> = (1..)
        .zip(AGAIN)
        .filter(|(_, (name, _))| held == 0 || *name != "first_failed_at")
        .map(|(number, (name, _))| format!("{name} = column{number}"))
        .collect();
    let (position, changed) = equal.split_at(3);
    database.in_order(&format!(
        "update parked set {} from (values {given}) as given where {} and held = {held}",
        changed.join(", "),
        position.join(" and ")
    ))
}

/// A row that is there already belongs to a message whose inbox row was pruned while it was parked, and which the log
/// then gave again.
static INSERT: LazyLock<Dialects<BySize>> =
    LazyLock::new(|| Dialects::new(|database| BySize::new(|rows| insert_text(database, rows))));

fn insert_text(database: Database, rows: usize) -> String {
    let values = parameters(rows, COUNT);
    let replaced: Vec<String> = COLUMNS
        .split(", ")
        .map(|column| format!("{column} = excluded.{column}"))
        .collect();
    database.in_order(&format!(
        "insert into parked ({COLUMNS}) values {values} \
         on conflict (source_topic, source_partition, source_offset) do update set {}",
        replaced.join(", ")
    ))
}

impl SqlStore {
    pub(crate) async fn read_heads(
        &self,
        partitions: &[TopicPartition],
        limit: usize,
    ) -> Result<Vec<ParkedHead>, StoreError> {
        let ours = OfPartitions::new(partitions, 1);
        let text = format!(
            "select {HEAD_COLUMNS}, total, latest from \
                 (select lane_hash as hash, min(sequence) as lowest, count(*) as total, max(sequence) as latest from parked \
                  where {ours} group by lane_hash) as lanes \
             join parked on lane_hash = hash and sequence = lowest \
             where {ours} order by due_at, sequence limit $1"
        );
        let query = sqlx::query(AssertSqlSafe(text)).bind(limit as i64);
        self.read_parked(ours.bind(query), parked_head).await
    }

    pub(crate) async fn read_lane(
        &self,
        lane: &[u8],
        partitions: &[TopicPartition],
        limit: usize,
    ) -> Result<Vec<ParkedRow>, StoreError> {
        let lane = lane_hash(lane);
        let mut rows = Vec::new();
        // Nearly always it is one. The first of each, put together, hold the first of all.
        for partition in partitions {
            let query = bind_partition(sqlx::query(LANE.as_str()), partition)
                .bind(&lane.as_bytes()[..])
                .bind(limit as i64);
            rows.extend(self.read_parked(query, parked_row).await?);
        }
        rows.sort_by_key(|row| row.sequence);
        rows.truncate(limit);
        Ok(rows)
    }

    async fn read_parked<T>(
        &self,
        query: AnyQuery<'_>,
        read: impl Fn(&AnyRow) -> Result<T, Unreadable>,
    ) -> Result<Vec<T>, StoreError> {
        let mut connection = self.reading().await?;
        let rows = query
            .fetch_all(&mut *connection)
            .await
            .map_err(|error| StoreError::Unavailable(error.into()))?;
        let read = rows.iter().map(read).collect::<Result<_, _>>();
        read.map_err(StoreError::Unavailable)
    }
}

/// Takes out the rows of the messages that come from here, or changes those of messages that are parked again, and says
/// whether all of them were there.
pub(crate) async fn claim(
    database: Database,
    connection: &mut AnyConnection,
    messages: &[Finished],
) -> Result<bool, Failed> {
    let claiming = messages.iter().filter(|one| one.claim == Claim::Parked);
    let (mut done, mut again) = (Vec::new(), Vec::new());
    for message in claiming {
        match message.parked.as_deref() {
            Some(row) => again.push(row),
            None => done.push(&message.position),
        }
    }
    let claimed = take_out(connection, CLAIM.of(database), &done).await?
        + change(connection, CLAIM_AGAIN.of(database), &again).await?;
    Ok(claimed == (done.len() + again.len()) as u64)
}

/// Takes out the dead messages that redriven ones stand for.
pub(crate) async fn release(
    database: Database,
    connection: &mut AnyConnection,
    messages: &[Finished],
) -> Result<(), Failed> {
    let released: Vec<&Position> = messages
        .iter()
        .filter_map(|message| message.releases.as_ref())
        .collect();
    take_out(connection, RELEASE.of(database), &released)
        .await
        .map(drop)
}

/// Tells of the dead messages that hold their keys why their redrives died. One that holds nothing tells nothing.
pub(crate) async fn keep(
    database: Database,
    connection: &mut AnyConnection,
    messages: &[Finished],
) -> Result<(), Failed> {
    let kept = messages
        .iter()
        .filter_map(|message| message.keeps.as_deref());
    let kept: Vec<&ParkedRow> = kept.collect();
    change(connection, KEEP.of(database), &kept).await.map(drop)
}

/// Puts in the rows of messages that do not come from here, or in the place of those that are there.
pub(crate) async fn insert(
    database: Database,
    connection: &mut AnyConnection,
    messages: &[Finished],
) -> Result<(), Failed> {
    let new = messages.iter().filter(|one| one.claim != Claim::Parked);
    let rows: Vec<&ParkedRow> = new.filter_map(|one| one.parked.as_deref()).collect();
    for (text, chunk) in INSERT.of(database).split(&rows) {
        let query = chunk
            .iter()
            .fold(sqlx::query(text), |query, row| bind_row(query, row));
        execute(connection, text, query).await?;
    }
    Ok(())
}

async fn take_out(
    connection: &mut AnyConnection,
    texts: &'static BySize,
    positions: &[&Position],
) -> Result<u64, Failed> {
    let mut taken = 0;
    for chunk in positions.chunks(MAX_ROWS) {
        let (text, size) = texts.holding(chunk.len());
        let wanted = chunk.iter().chain(std::iter::repeat(&chunk[0])).take(size);
        let query = wanted.fold(sqlx::query(text), |query, position| {
            bind_partition(query, &position.partition).bind(position.offset.0)
        });
        taken += execute(connection, text, query).await?;
    }
    Ok(taken)
}

async fn change(
    connection: &mut AnyConnection,
    texts: &'static BySize,
    rows: &[&ParkedRow],
) -> Result<u64, Failed> {
    let mut changed = 0;
    for chunk in rows.chunks(MAX_ROWS) {
        let (text, size) = texts.holding(chunk.len());
        // A row that is given twice changes once.
        let wanted = chunk.iter().chain(std::iter::repeat(&chunk[0])).take(size);
        let query = wanted.fold(sqlx::query(text), |query, row| bind_again(query, row));
        changed += execute(connection, text, query).await?;
    }
    Ok(changed)
}

/// Runs a statement, and says how many rows it wrote.
async fn execute(
    connection: &mut AnyConnection,
    text: &'static str,
    query: AnyQuery<'_>,
) -> Result<u64, Failed> {
    let done = query.execute(connection).await;
    Ok(done.map_err(|error| (text, error))?.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{finds_by_index, reads_in_order};

    #[tokio::test]
    async fn what_is_parked_is_found_by_an_index() {
        for rows in [1, 8] {
            finds_by_index("parked", CLAIM.of(Database::Sqlite).holding(rows).0).await;
            finds_by_index("parked", RELEASE.of(Database::Sqlite).holding(rows).0).await;
            finds_by_index("parked", CLAIM_AGAIN.of(Database::Sqlite).holding(rows).0).await;
            finds_by_index("parked", KEEP.of(Database::Sqlite).holding(rows).0).await;
        }
        reads_in_order("parked", &LANE).await;
    }
}
