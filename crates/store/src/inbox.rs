//! The inbox: which messages have taken effect.

use std::sync::LazyLock;

use longshore_event::Identity;
use longshore_worker::{Claim, Finished, StoreError};
use sqlx::{AnyConnection, Row as _};

use crate::SqlStore;
use crate::commit::Failed;
use crate::text::{BySize, MAX_ROWS, tuples};

/// Both databases call the columns of `values` so. The number of the row comes back instead of its text, which then
/// need not be compared here.
static SEEN: LazyLock<BySize> = LazyLock::new(|| {
    BySize::new(|rows| {
        let wanted = tuples(rows, 2, 0, |index, first| {
            format!("({index}, ${first}, ${})", first + 1)
        });
        format!(
            "select wanted.column1 from (values {wanted}) as wanted \
             join inbox on inbox.source = wanted.column2 and inbox.id = wanted.column3"
        )
    })
});

static INSERT: LazyLock<BySize> = LazyLock::new(|| {
    BySize::new(|rows| {
        let values = tuples(rows, 2, 2, |_, first| {
            format!("(${first}, ${}, $1, $2)", first + 1)
        });
        format!(
            "insert into inbox (source, id, handled_at, redrivable) values {values} on conflict do nothing"
        )
    })
});

impl SqlStore {
    pub(crate) async fn seen_in_inbox(
        &self,
        messages: &[&Identity],
    ) -> Result<Vec<bool>, StoreError> {
        let mut seen = vec![false; messages.len()];
        let mut connection = self.reading().await?;
        for (messages, seen) in messages.chunks(MAX_ROWS).zip(seen.chunks_mut(MAX_ROWS)) {
            mark(&mut connection, messages, seen)
                .await
                .map_err(|error| StoreError::Unavailable(error.into()))?;
        }
        Ok(seen)
    }
}

/// Adds the messages that claim it to the inbox of the transaction that `connection` is in, and says whether all of them
/// were new. On PostgreSQL it waits for another instance that is about to commit one of them.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    messages: &[Finished],
    now: i64,
) -> Result<bool, Failed> {
    for (claim, redrivable) in [(Claim::Inbox, 0_i64), (Claim::Redrivable, 1)] {
        let claiming: Vec<&Identity> = messages
            .iter()
            .filter(|message| message.claim == claim)
            .map(|message| &message.identity)
            .collect();
        for (text, identities) in INSERT.split(&claiming) {
            let mut query = sqlx::query(text).bind(now).bind(redrivable);
            for identity in identities {
                query = query.bind(&*identity.source).bind(&*identity.id);
            }
            let done = query.execute(&mut *connection).await;
            if done.map_err(|error| (text, error))?.rows_affected() != identities.len() as u64 {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

async fn mark(
    connection: &mut AnyConnection,
    messages: &[&Identity],
    seen: &mut [bool],
) -> sqlx::Result<()> {
    let (text, size) = SEEN.holding(messages.len());
    let last = messages[messages.len() - 1];
    let filled = messages.iter().copied().chain(std::iter::repeat(last));
    let mut query = sqlx::query(text);
    for identity in filled.take(size) {
        query = query.bind(&*identity.source).bind(&*identity.id);
    }
    for row in query.fetch_all(&mut *connection).await? {
        let index: i64 = row.try_get(0)?;
        // Rows beyond the end are the repeated one.
        if let Some(seen) = usize::try_from(index)
            .ok()
            .and_then(|index| seen.get_mut(index))
        {
            *seen = true;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::finds_by_index;

    #[tokio::test]
    async fn what_was_seen_is_found_by_an_index() {
        finds_by_index("inbox", SEEN.holding(8).0).await;
    }
}
