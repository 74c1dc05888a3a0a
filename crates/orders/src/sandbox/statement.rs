//! The ledger's two statements: record many calls, and ask for their outcomes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use longshore_worker::{Statement, sql};

use super::entry::Entry;

/// Entries in one statement: as many as there are handlers at once by default.
pub(super) const BATCH: usize = 64;

/// Records the entries; of those whose key is there already, only counts the call.
pub(super) fn insertion(entries: &[&Entry], now: i64) -> Statement {
    // One statement may touch a row only once, so calls with the same key become one row that counts them. Rows come
    // in the order of their keys: two instances that lock the same rows then wait for each other and do not deadlock.
    let mut counts: BTreeMap<&str, (&Entry, i64)> = BTreeMap::new();
    for entry in entries {
        counts.entry(&entry.key).or_insert((entry, 0)).1 += 1;
    }
    let size = Size::of(counts.len());
    let mut rows = counts.into_values();
    let mut statement = sql(size.insertion());
    for _ in 0..size.rows() {
        statement = match rows.next() {
            Some((entry, calls)) => row(statement, entry, calls, now),
            None => padding(statement),
        };
    }
    statement
}

fn row(statement: Statement, entry: &Entry, calls: i64, now: i64) -> Statement {
    statement
        .bind(&entry.key)
        .bind(entry.kind)
        .bind(&entry.order_id)
        .bind(entry.amount.map(|money| money.amount))
        .bind(entry.amount.map(|money| money.currency.to_string()))
        .bind(entry.outcome.as_str())
        .bind(calls)
        .bind(now)
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

/// Asks for key and outcome of the entries.
pub(super) fn question(entries: &[&Entry]) -> Statement {
    let size = Size::of(entries.len());
    let mut statement = sql(size.question());
    let keys = entries.iter().map(|entry| &entry.key).cycle();
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
