//! What an operator sees of sagas: read from the store of a worker, whether it runs or not.

use jiff::Timestamp;
use longshore_store::{Row, SqlStore};
use longshore_worker::{StoreError, sql};
use serde::{Deserialize, Serialize};

use crate::table::time;
use crate::{Journal, State};

/// A saga.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SagaReport {
    /// Its kind.
    pub name: String,
    /// Which one.
    pub id: String,
    /// How far it is.
    pub state: State,
    /// When it began.
    pub started_at: Timestamp,
    /// When something was recorded of it last.
    pub changed_at: Timestamp,
    /// What was recorded.
    #[serde(flatten)]
    pub journal: Journal,
}

impl SagaReport {
    /// The first call that is not answered, with how often it was tried and how that failed last.
    pub fn under_way(&self) -> Option<&crate::Part> {
        let parts = self.journal.steps.iter();
        let mut parts = parts.flat_map(|step| [Some(&step.action), step.compensation.as_ref()]);
        parts.find_map(|part| part.filter(|part| part.state == crate::PartState::UnderWay))
    }
}

/// The sagas in any of these states, those that began last first, at most `limit` of each state.
///
/// # Errors
/// [`StoreError`]; it is rejected if the worker has no sagas.
pub async fn list(
    store: &SqlStore,
    states: &[State],
    limit: u32,
) -> Result<Vec<SagaReport>, StoreError> {
    let mut sagas = Vec::new();
    for state in states {
        let query = sql(
            "select name, id, state, journal, started_at, changed_at from sagas where state = $1
             order by started_at desc limit $2",
        );
        let rows = store.fetch(&query.bind(state.as_str()).bind(limit)).await?;
        for row in rows {
            sagas.push(report(&row)?);
        }
    }
    Ok(sagas)
}

/// The sagas of this id, of any kind.
///
/// # Errors
/// As [`list`].
pub async fn find(store: &SqlStore, id: &str) -> Result<Vec<SagaReport>, StoreError> {
    let query = sql(
        "select name, id, state, journal, started_at, changed_at from sagas where id = $1 order by name",
    );
    let rows = store.fetch(&query.bind(id.to_owned())).await?;
    rows.iter().map(report).collect()
}

fn report(row: &Row) -> Result<SagaReport, StoreError> {
    let unreadable = |error: serde_json::Error| StoreError::Rejected(error.into());
    let journal: Journal =
        serde_json::from_str(row.text(3).unwrap_or_default()).map_err(unreadable)?;
    Ok(SagaReport {
        name: row.text(0).unwrap_or_default().to_owned(),
        id: row.text(1).unwrap_or_default().to_owned(),
        state: row
            .text(2)
            .and_then(State::parse)
            .unwrap_or_else(|| journal.state()),
        started_at: time(row, 4),
        changed_at: time(row, 5),
        journal,
    })
}
