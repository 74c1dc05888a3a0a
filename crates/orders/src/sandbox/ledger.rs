//! The books of the sandbox: one row for every idempotency key. Calls that come together are written together, since
//! a transaction for each would cost more than all else a worker does for a message.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use longshore_store::SqlStore;
use longshore_worker::{Statement, StoreError, sql};
use tokio::sync::{mpsc, oneshot};

use crate::Money;
use crate::patience::until_available;

/// Calls waiting to be written. At the bound, callers wait for their turn.
const QUEUE: usize = 256;
/// Calls in one statement: as many as there are handlers at once by default.
const BATCH: usize = 64;

/// What is to be done, if its key is new.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    key: String,
    kind: &'static str,
    order_id: String,
    amount: Option<Money>,
    outcome: Outcome,
}

impl Entry {
    pub(super) fn new(key: &str, kind: &'static str, order_id: &str, outcome: Outcome) -> Self {
        Self {
            key: key.to_owned(),
            kind,
            order_id: order_id.to_owned(),
            amount: None,
            outcome,
        }
    }

    pub(super) fn over(self, amount: Money) -> Self {
        Self {
            amount: Some(amount),
            ..self
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Reserved,
    SoldOut,
    Released,
    Charged,
    Declined,
    Booked,
}

/// A call that was not recorded.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum LedgerError {
    /// The database cannot hold it, ever.
    #[error("the ledger cannot record the call")]
    Rejected(#[source] Arc<StoreError>),
    /// The process is stopping; whether it was recorded is not known.
    #[error("the ledger has stopped")]
    Stopped,
}

impl From<StoreError> for LedgerError {
    fn from(error: StoreError) -> Self {
        Self::Rejected(Arc::new(error))
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
    let mut calls = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut calls, BATCH).await > 0 {
        match record(&store, &calls).await {
            Ok(recorded) => answer(calls.drain(..), &recorded),
            Err(_) if calls.len() > 1 => {
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
    let insert = insertion(calls);
    until_available(|| store.execute(&insert)).await?;
    let query = question(calls);
    let rows = until_available(|| store.fetch(&query)).await?;
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

fn insertion(calls: &[Call]) -> Statement {
    // One statement may touch a row only once, so calls with the same key become one row that counts them.
    let mut counts: HashMap<&str, (&Entry, i64)> = HashMap::with_capacity(calls.len());
    for Call { entry, .. } in calls {
        counts.entry(&entry.key).or_insert((entry, 0)).1 += 1;
    }
    let now = Timestamp::now().as_millisecond();
    let size = Size::of(counts.len());
    let mut rows = counts.into_values();
    let mut statement = sql(size.insertion());
    for _ in 0..size.rows() {
        statement = match rows.next() {
            Some((entry, calls)) => entry.bind(statement, calls, now),
            None => padding(statement),
        };
    }
    statement
}

impl Entry {
    fn bind(&self, statement: Statement, calls: i64, now: i64) -> Statement {
        statement
            .bind(&self.key)
            .bind(self.kind)
            .bind(&self.order_id)
            .bind(self.amount.map(|money| money.amount))
            .bind(self.amount.map(|money| money.currency.to_string()))
            .bind(self.outcome.as_str())
            .bind(calls)
            .bind(now)
    }
}

fn padding(statement: Statement) -> Statement {
    statement
        .bind(None::<String>)
        .bind(None::<String>)
        .bind(None::<String>)
        .bind(None::<i64>)
        .bind(None::<String>)
        .bind(None::<String>)
        .bind(None::<i64>)
        .bind(None::<i64>)
}

fn question(calls: &[Call]) -> Statement {
    let size = Size::of(calls.len());
    let mut statement = sql(size.question());
    let keys = calls.iter().map(|call| &call.entry.key).cycle();
    for key in keys.take(size.rows()) {
        statement = statement.bind(key);
    }
    statement
}

/// Statements come in two sizes, so that a database prepares few of them; what is left over is filled up.
#[derive(Clone, Copy)]
enum Size {
    Few,
    Batch,
}

impl Size {
    fn of(calls: usize) -> Self {
        if calls <= Self::Few.rows() {
            Self::Few
        } else {
            Self::Batch
        }
    }

    fn rows(self) -> usize {
        match self {
            Self::Few => 4,
            Self::Batch => BATCH,
        }
    }

    fn insertion(self) -> &'static str {
        static FEW: LazyLock<String> = LazyLock::new(|| insertion_text(Size::Few.rows()));
        static ALL: LazyLock<String> = LazyLock::new(|| insertion_text(Size::Batch.rows()));
        match self {
            Self::Few => &FEW,
            Self::Batch => &ALL,
        }
    }

    fn question(self) -> &'static str {
        static FEW: LazyLock<String> = LazyLock::new(|| question_text(Size::Few.rows()));
        static ALL: LazyLock<String> = LazyLock::new(|| question_text(Size::Batch.rows()));
        match self {
            Self::Few => &FEW,
            Self::Batch => &ALL,
        }
    }
}

/// The columns of a row, with the types that PostgreSQL cannot guess for a null.
const COLUMNS: [(&str, &str); 8] = [
    ("idempotency_key", "text"),
    ("kind", "text"),
    ("order_id", "text"),
    ("amount", "bigint"),
    ("currency", "text"),
    ("outcome", "text"),
    ("calls", "bigint"),
    ("at", "bigint"),
];

/// `column1` and so on are what both databases call the columns of `values`.
fn insertion_text(rows: usize) -> String {
    let names = COLUMNS.map(|(name, _)| name).join(", ");
    let columns = [1, 2, 3, 4, 5, 6, 7, 8].map(|number| format!("column{number}"));
    let values: Vec<String> = (0..rows)
        .map(|row| {
            let mut number = row * COLUMNS.len();
            let row = COLUMNS.map(|(_, kind)| {
                number += 1;
                format!("cast(${number} as {kind})")
            });
            format!("({})", row.join(", "))
        })
        .collect();
    format!(
        "insert into sandbox_ledger ({names}) select {} from (values {}) as calls where column1 is not null \
         on conflict (idempotency_key) do update set calls = sandbox_ledger.calls + excluded.calls",
        columns.join(", "),
        values.join(", "),
    )
}

fn question_text(keys: usize) -> String {
    let keys: Vec<String> = (1..=keys).map(|number| format!("${number}")).collect();
    let keys = keys.join(", ");
    format!("select idempotency_key, outcome from sandbox_ledger where idempotency_key in ({keys})")
}

impl Outcome {
    const ALL: [Self; 6] = [
        Self::Reserved,
        Self::SoldOut,
        Self::Released,
        Self::Charged,
        Self::Declined,
        Self::Booked,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::SoldOut => "sold_out",
            Self::Released => "released",
            Self::Charged => "charged",
            Self::Declined => "declined",
            Self::Booked => "booked",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
    }
}
