//! Records outcomes in the worker's store. Those that come together are written together: a transaction for each would
//! cost more than all else a worker does for a message.

use std::collections::HashSet;

use longshore_store::{MAX_ROWS, SqlStore};
use longshore_worker::StoreError;
use tokio::sync::{mpsc, oneshot};

use crate::log::{Log, LogError, Row};
use crate::table;

/// Outcomes waiting to be written. At the bound, sagas wait for their turn.
const QUEUE: usize = 256;

/// The way to the task that writes, and to the store for what is read. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    store: SqlStore,
    outcomes: mpsc::Sender<Outcome>,
}

#[derive(Debug)]
struct Outcome {
    row: Row,
    answer: oneshot::Sender<Result<bool, LogError>>,
}

impl Recorder {
    /// The task ends with the last clone.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn start(store: SqlStore) -> Self {
        let (outcomes, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(write(store.clone(), waiting));
        Self { store, outcomes }
    }
}

impl Log for Recorder {
    async fn load(&self, name: &'static str, id: &str) -> Result<Option<Row>, LogError> {
        let row = self.store.fetch_optional(&table::one(name, id)).await?;
        row.map(|row| table::read(name, id, &row)).transpose()
    }

    async fn record(&self, row: Row) -> Result<bool, LogError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.outcomes.send(Outcome { row, answer }).await;
        sent.map_err(|_| LogError::Stopped)?;
        answered.await.unwrap_or(Err(LogError::Stopped))
    }
}

async fn write(store: SqlStore, mut waiting: mpsc::Receiver<Outcome>) {
    let mut outcomes = Vec::with_capacity(MAX_ROWS);
    while waiting.recv_many(&mut outcomes, MAX_ROWS).await > 0 {
        match record(&store, &outcomes).await {
            Ok(recorded) => answer(outcomes.drain(..), recorded),
            Err(StoreError::Rejected(_)) if outcomes.len() > 1 => {
                // One of them is impossible; the others must not suffer for it.
                for outcome in outcomes.drain(..) {
                    record_alone(&store, outcome).await;
                }
            }
            Err(error) => fail(outcomes.drain(..), &error.into()),
        }
    }
}

async fn record_alone(store: &SqlStore, outcome: Outcome) {
    match record(store, std::slice::from_ref(&outcome)).await {
        Ok(recorded) => answer([outcome].into_iter(), recorded),
        Err(error) => fail([outcome].into_iter(), &error.into()),
    }
}

/// Returns the sagas, by name and id, of which a row was recorded.
async fn record(
    store: &SqlStore,
    outcomes: &[Outcome],
) -> Result<HashSet<(String, String)>, StoreError> {
    let rows: Vec<&Row> = outcomes.iter().map(|outcome| &outcome.row).collect();
    let recorded = store.execute_returning(&table::recording(&rows)).await?;
    let recorded = recorded
        .iter()
        .filter_map(|row| Some((row.text(0)?.to_owned(), row.text(1)?.to_owned())));
    Ok(recorded.collect())
}

fn answer(outcomes: impl Iterator<Item = Outcome>, mut recorded: HashSet<(String, String)>) {
    for outcome in outcomes {
        // Of two rows of one saga in a batch, the first alone was written.
        let won = recorded.remove(&(outcome.row.name.to_owned(), outcome.row.id));
        // A saga that no longer listens was dropped; its next run finds what was recorded.
        drop(outcome.answer.send(Ok(won)));
    }
}

fn fail(outcomes: impl Iterator<Item = Outcome>, error: &LogError) {
    for outcome in outcomes {
        drop(outcome.answer.send(Err(error.clone())));
    }
}
