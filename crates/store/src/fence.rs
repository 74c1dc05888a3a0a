//! Fences: who may commit messages of a partition. An owner is an epoch in a row; taking over counts it up.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use longshore_event::TopicPartition;
use longshore_worker::{Fence, StoreError};
use sqlx::AnyConnection;

use crate::classify::Database;
use crate::column::{Unreadable, bind_partition, partition_at};
use crate::dialect::Dialects;
use crate::text::{BySize, MAX_ROWS, tuples};
use crate::{SqlStore, outbox};
use sqlx::Row as _;

static TAKE_OVER: LazyLock<BySize> = LazyLock::new(|| {
    BySize::new(|rows| {
        let values = tuples(rows, 2, 0, |_, first| {
            format!("(${first}, ${}, 1)", first + 1)
        });
        format!(
            "insert into owners (topic, partition, epoch) values {values} \
             on conflict (topic, partition) do update set epoch = owners.epoch + 1 \
             returning topic, partition, epoch"
        )
    })
});

/// Rows are locked in the order in which [`TAKE_OVER`] locks them: otherwise the two could wait for each other.
static EPOCHS: LazyLock<Dialects<BySize>> = LazyLock::new(|| {
    Dialects::new(|database| {
        BySize::new(|rows| {
            let wanted = tuples(rows, 2, 0, |_, first| format!("(${first}, ${})", first + 1));
            format!(
                "select topic, partition, epoch from (values {wanted}) as wanted join owners \
                 on topic = column1 and partition = column2 order by topic{}, partition{}",
                database.bytewise(),
                database.sharing("owners")
            )
        })
    })
});

impl SqlStore {
    /// A commit under way holds the rows of its partitions ([`check`]), so this waits for it; one that comes later finds
    /// the new epochs. What is read after this has returned therefore holds all that earlier owners ever commit.
    pub(crate) async fn take_over_partitions(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Fence>, StoreError> {
        // In one order for all: two instances that take over the same partitions must not wait for each other.
        let sorted: BTreeSet<&TopicPartition> = partitions.iter().collect();
        let sorted: Vec<&TopicPartition> = sorted.into_iter().collect();
        self.transaction(async |database, connection| {
            let mut epochs = HashMap::new();
            for (text, chunk) in TAKE_OVER.split(&sorted) {
                let query = chunk
                    .iter()
                    .fold(sqlx::query(text), |query, one| bind_partition(query, one));
                let rows = query.fetch_all(&mut *connection).await;
                for row in rows.map_err(unavailable)? {
                    let (partition, epoch) = epoch(&row).map_err(StoreError::Unavailable)?;
                    epochs.insert(partition, epoch);
                }
            }
            outbox::release_claims(database, connection, &sorted)
                .await
                .map_err(unavailable)?;
            let fence = |partition: &TopicPartition| {
                Some(Fence {
                    partition: partition.clone(),
                    epoch: *epochs.get(partition)?,
                })
            };
            Ok(partitions.iter().filter_map(fence).collect())
        })
        .await
    }
}

/// Makes sure that nobody has taken over, and that nobody does until the transaction has ended.
pub(crate) async fn check(
    database: Database,
    connection: &mut AnyConnection,
    fences: &[Fence],
) -> Result<(), StoreError> {
    let mut fences: Vec<&Fence> = fences.iter().collect();
    fences.sort_by(|a, b| a.partition.cmp(&b.partition));
    for chunk in fences.chunks(MAX_ROWS) {
        let (text, size) = EPOCHS.of(database).holding(chunk.len());
        let wanted = chunk.iter().chain(std::iter::repeat(&chunk[0])).take(size);
        let query = wanted.fold(sqlx::query(text), |query, fence| {
            bind_partition(query, &fence.partition)
        });
        let rows = query.fetch_all(&mut *connection).await;
        let epochs: HashMap<TopicPartition, i64> = rows
            .map_err(unavailable)?
            .iter()
            .map(epoch)
            .collect::<Result<_, _>>()
            .map_err(StoreError::Unavailable)?;
        for fence in chunk {
            if epochs.get(&fence.partition) != Some(&fence.epoch) {
                return Err(StoreError::Fenced {
                    partition: fence.partition.clone(),
                });
            }
        }
    }
    Ok(())
}

fn epoch(row: &sqlx::any::AnyRow) -> Result<(TopicPartition, i64), Unreadable> {
    Ok((partition_at(row, 0)?, row.try_get(2)?))
}

fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::finds_by_index;

    #[tokio::test]
    async fn owners_are_found_by_an_index() {
        finds_by_index("owners", EPOCHS.of(Database::Sqlite).holding(8).0).await;
    }
}
