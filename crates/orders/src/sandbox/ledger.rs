//! The books of the sandbox: one row for every idempotency key. Calls that come together are written together, since
//! a transaction for each would cost more than all else a worker does for a message.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use longshore_store::{MAX_ROWS, SqlStore};
use longshore_worker::StoreError;
use tokio::sync::{mpsc, oneshot};

use super::entry::{Entry, Outcome};
use super::statement::{insertion, question};

/// Calls waiting to be written. At the bound, callers wait for their turn.
const QUEUE: usize = 256;

/// A call that was not recorded.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum LedgerError {
    /// The database cannot hold it now, or ever.
    #[error("the ledger cannot record the call")]
    Store(#[source] Arc<StoreError>),
    /// The process is stopping; whether it was recorded is not known.
    #[error("the ledger has stopped")]
    Stopped,
}

impl From<StoreError> for LedgerError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

/// The way to the task that writes. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    calls: mpsc::Sender<Call>,
}

#[derive(Debug)]
struct Call {
    entry: Entry,
    answer: oneshot::Sender<Result<Outcome, LedgerError>>,
}

impl Ledger {
    pub(super) fn start(store: SqlStore) -> Self {
        let (calls, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(write(store, waiting));
        Self { calls }
    }

    /// Records the call. Returns the outcome that was recorded when its key was used first.
    pub(super) async fn record(&self, entry: Entry) -> Result<Outcome, LedgerError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.calls.send(Call { entry, answer }).await;
        sent.map_err(|_| LedgerError::Stopped)?;
        answered.await.unwrap_or(Err(LedgerError::Stopped))
    }
}

async fn write(store: SqlStore, mut waiting: mpsc::Receiver<Call>) {
    let mut calls = Vec::with_capacity(MAX_ROWS);
    while waiting.recv_many(&mut calls, MAX_ROWS).await > 0 {
        match record(&store, &calls).await {
            Ok(recorded) => answer(calls.drain(..), &recorded),
            Err(StoreError::Rejected(_)) if calls.len() > 1 => {
                // One of them is impossible; the others must not suffer for it.
                for call in calls.drain(..) {
                    record_alone(&store, call).await;
                }
            }
            Err(error) => fail(calls.drain(..), &error.into()),
        }
    }
}

async fn record_alone(store: &SqlStore, call: Call) {
    match record(store, std::slice::from_ref(&call)).await {
        Ok(recorded) => answer([call].into_iter(), &recorded),
        Err(error) => fail([call].into_iter(), &error.into()),
    }
}

/// Writes first and reads then, so that what is read is what holds, whoever else was writing.
async fn record(store: &SqlStore, calls: &[Call]) -> Result<HashMap<String, Outcome>, StoreError> {
    let entries: Vec<&Entry> = calls.iter().map(|call| &call.entry).collect();
    let insert = insertion(&entries, Timestamp::now().as_millisecond());
    store.execute(&insert).await?;
    let query = question(&entries);
    let rows = store.fetch(&query).await?;
    let recorded = rows.iter().filter_map(|row| {
        let outcome = Outcome::parse(row.text(1)?)?;
        Some((row.text(0)?.to_owned(), outcome))
    });
    Ok(recorded.collect())
}

fn answer(calls: impl Iterator<Item = Call>, recorded: &HashMap<String, Outcome>) {
    for call in calls {
        let outcome = recorded.get(&call.entry.key).copied();
        // A caller that no longer listens has given up; its next call gets the same answer.
        drop(call.answer.send(outcome.ok_or(LedgerError::Stopped)));
    }
}

fn fail(calls: impl Iterator<Item = Call>, error: &LedgerError) {
    for call in calls {
        drop(call.answer.send(Err(error.clone())));
    }
}
