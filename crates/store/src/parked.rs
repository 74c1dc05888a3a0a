//! Parked messages: the lanes that wait, each from its first row on.

use std::sync::LazyLock;

use longshore_event::{Position, TopicPartition};
use longshore_worker::{Claim, Finished, ParkedHead, ParkedRow, StoreError};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe};

use crate::SqlStore;
use crate::column::{Unreadable, bind_partition, lane_hash};
use crate::commit::Failed;
use crate::text::{BySize, OfPartitions, tuples};

mod row;
use row::{COLUMNS, COUNT, HEAD_COLUMNS, bind_row, parked_head, parked_row};

/// A message that is held has come to its end already: an earlier try of the same commit took effect.
static CLAIM: LazyLock<BySize> =
    LazyLock::new(|| BySize::new(|rows| take_out_text(rows, " and held = 0")));

static RELEASE: LazyLock<BySize> = LazyLock::new(|| BySize::new(|rows| take_out_text(rows, "")));

fn take_out_text(rows: usize, condition: &str) -> String {
    let positions = tuples(rows, 3, 0, |_, first| {
        format!("(${first}, ${}, ${})", first + 1, first + 2)
    });
    format!(
        "delete from parked where (source_topic, source_partition, source_offset) in (values {positions}){condition}"
    )
}

/// Rows of one statement: a row has so many columns that more of them would cost SQLite more (see [`BySize`]).
const INSERTED: usize = 16;

/// A row that is there already belongs to a message whose inbox row was pruned while it was parked, and which the log
/// then gave again.
static INSERT: LazyLock<BySize> = LazyLock::new(|| {
    BySize::new(|rows| {
        let values = tuples(rows, COUNT, 0, |_, first| {
            let own: Vec<String> = (first..first + COUNT).map(|n| format!("${n}")).collect();
            format!("({})", own.join(", "))
        });
        let replaced: Vec<String> = COLUMNS
            .split(", ")
            .map(|column| format!("{column} = excluded.{column}"))
            .collect();
        format!(
            "insert into parked ({COLUMNS}) values {values} \
             on conflict (source_topic, source_partition, source_offset) do update set {}",
            replaced.join(", ")
        )
    })
});

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
        let ours = OfPartitions::new(partitions, 2);
        let text = format!(
            "select {COLUMNS} from parked where lane_hash = $1 and {ours} order by sequence limit $2"
        );
        let lane = lane_hash(lane);
        let query = sqlx::query(AssertSqlSafe(text))
            .bind(&lane.as_bytes()[..])
            .bind(limit as i64);
        self.read_parked(ours.bind(query), parked_row).await
    }

    async fn read_parked<T>(
        &self,
        query: Query<'_, Any, AnyArguments>,
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

/// Takes out the rows of the messages that come from here, and says whether all of them were there. Those that are parked
/// again are put back by [`insert`].
pub(crate) async fn claim(
    connection: &mut AnyConnection,
    messages: &[Finished],
) -> Result<bool, Failed> {
    let claiming: Vec<&Position> = messages
        .iter()
        .filter(|message| message.claim == Claim::Parked)
        .map(|message| &message.position)
        .collect();
    let taken = take_out(connection, &CLAIM, &claiming).await?;
    Ok(taken == claiming.len() as u64)
}

/// Takes out the dead messages that redriven ones stand for.
pub(crate) async fn release(
    connection: &mut AnyConnection,
    messages: &[Finished],
) -> Result<(), Failed> {
    let released: Vec<&Position> = messages
        .iter()
        .filter_map(|message| message.releases.as_ref())
        .collect();
    take_out(connection, &RELEASE, &released).await.map(drop)
}

/// Puts rows in, or in the place of those that are there.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    rows: &[&ParkedRow],
) -> Result<(), Failed> {
    for (text, chunk) in rows.chunks(INSERTED).flat_map(|rows| INSERT.split(rows)) {
        let query = chunk
            .iter()
            .fold(sqlx::query(text), |query, row| bind_row(query, row));
        let done = query.execute(&mut *connection).await;
        done.map_err(|error| (text, error))?;
    }
    Ok(())
}

async fn take_out(
    connection: &mut AnyConnection,
    texts: &'static BySize,
    positions: &[&Position],
) -> Result<u64, Failed> {
    let mut taken = 0;
    for (text, chunk) in texts.split(positions) {
        let query = chunk.iter().fold(sqlx::query(text), |query, position| {
            bind_partition(query, &position.partition).bind(position.offset.0)
        });
        let done = query.execute(&mut *connection).await;
        taken += done.map_err(|error| (text, error))?.rows_affected();
    }
    Ok(taken)
}
