//! The ledger's two statements: record many calls, and ask for their outcomes.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use longshore_store::{BySize, Insertion};
use longshore_worker::{Statement, sql};

use super::entry::Entry;

static INSERTION: LazyLock<Insertion> = LazyLock::new(|| {
    let columns = &[
        ("idempotency_key", "text"),
        ("kind", "text"),
        ("order_id", "text"),
        ("amount", "bigint"),
        ("currency", "text"),
        ("outcome", "text"),
        ("calls", "bigint"),
        ("at", "bigint"),
    ];
    Insertion::new(
        "sandbox_ledger",
        columns,
        "on conflict (idempotency_key) do update set calls = sandbox_ledger.calls + excluded.calls",
    )
});

/// Records the entries; of those whose key is there already, only counts the call.
pub(super) fn insertion(entries: &[&Entry], now: i64) -> Statement {
    // One statement may touch a row only once, so calls with the same key become one row that counts them. Rows come
    // in the order of their keys: two instances that lock the same rows then wait for each other and do not deadlock.
    let mut counts: BTreeMap<&str, (&Entry, i64)> = BTreeMap::new();
    for entry in entries {
        counts.entry(&entry.key).or_insert((entry, 0)).1 += 1;
    }
    INSERTION.of(counts.into_values(), |statement, (entry, calls)| {
        row(statement, entry, calls, now)
    })
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

/// Asks for key and outcome of the entries.
pub(super) fn question(entries: &[&Entry]) -> Statement {
    static TEXT: LazyLock<BySize> = LazyLock::new(|| BySize::new(question_text));
    let (text, size) = TEXT.holding(entries.len());
    let keys = entries.iter().map(|entry| &entry.key).cycle();
    keys.take(size)
        .fold(sql(text), |statement, key| statement.bind(key))
}

fn question_text(keys: usize) -> String {
    let keys: Vec<String> = (1..=keys).map(|number| format!("${number}")).collect();
    let keys = keys.join(", ");
    format!("select idempotency_key, outcome from sandbox_ledger where idempotency_key in ({keys})")
}
