//! The sandbox's books, read as an auditor would: straight from the worker's database.

use longshore_testkit::history::check_effects;
use sqlx::any::install_default_drivers;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};

use super::worker::Kind;

/// One row of the books.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// `charged`, `declined`, `reserved`, `booked` and so on.
    pub(crate) outcome: String,
    pub(crate) order: String,
    pub(crate) cents: Option<i64>,
    /// How often it was asked for.
    pub(crate) calls: i64,
}

/// All rows of a worker's books in the store at `url`, as `--store` takes it.
pub(crate) async fn entries(url: &str, kind: Kind) -> Vec<Entry> {
    install_default_drivers();
    let (url, table) = match url.strip_prefix("sqlite:") {
        Some(path) => (
            format!("sqlite:{path}?mode=ro"),
            "sandbox_ledger".to_owned(),
        ),
        // In PostgreSQL each group has a schema, named as the group.
        None => (
            url.to_owned(),
            format!("\"{}\".sandbox_ledger", kind.name()),
        ),
    };
    let mut connection = AnyConnection::connect(&url).await.expect("the store opens");
    let select = format!("select outcome, order_id, amount, calls from {table}");
    let rows = sqlx::query(AssertSqlSafe(select))
        .fetch_all(&mut connection)
        .await
        .expect("the books");
    rows.iter()
        .map(|row| Entry {
            outcome: row.get(0),
            order: row.get(1),
            cents: row.get(2),
            calls: row.get(3),
        })
        .collect()
}

/// The orders with this outcome and their cents, each order once.
pub(crate) async fn once(url: &str, kind: Kind, outcome: &str) -> Vec<(String, i64)> {
    let entries = entries(url, kind).await.into_iter();
    let mut found: Vec<_> = entries
        .filter(|entry| entry.outcome == outcome)
        .map(|entry| (entry.order, entry.cents.unwrap_or(0)))
        .collect();
    check_effects(found.iter().map(|(order, _)| format!("{outcome} {order}"))).expect("each once");
    found.sort();
    found
}
