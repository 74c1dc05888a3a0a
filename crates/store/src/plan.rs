//! How SQLite goes about a statement, for tests: what runs often must be prepared once, and cost the same however large its
//! table is.

use sqlx::{AssertSqlSafe, Row as _};

use crate::SqlStore;

/// # Panics
/// If the statement looks through the table, or through one of its indexes, from one end to the other; or if its limit
/// makes SQLite prepare it anew each time (see [`limit`](crate::limit)).
pub(crate) async fn finds_by_index(table: &str, statement: &str) {
    let steps = plan(statement).await;
    let of_table = |step: &&String| step.split_whitespace().nth(1) == Some(table);
    let finds: Vec<_> = steps.iter().filter(of_table).collect();
    assert!(!finds.is_empty(), "{statement}: {steps:?}");
    assert!(
        finds.iter().all(|step| step.starts_with("SEARCH")),
        "{statement}: {steps:?}"
    );
}

/// # Panics
/// As [`finds_by_index`], or if the index does not have the order that is asked for: all would be read, however few are
/// wanted.
pub(crate) async fn reads_in_order(table: &str, statement: &str) {
    finds_by_index(table, statement).await;
    let steps = plan(statement).await;
    let sorts = |step: &String| step.contains("TEMP B-TREE");
    assert!(!steps.iter().any(sorts), "{statement}: {steps:?}");
}

/// What SQLite says of a statement, step by step.
async fn plan(statement: &str) -> Vec<String> {
    assert!(!statement.contains("limit $"), "{statement}");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("store.db");
    let url = format!("sqlite:{}", file.display());
    let url = url.parse().expect("a URL");
    let store = SqlStore::open(&url, "plans", &[]).await.expect("opens");
    let mut connection = store.reading().await.expect("a connection");
    let explained = AssertSqlSafe(format!("explain query plan {statement}"));
    let steps = sqlx::query(explained).fetch_all(&mut *connection).await;
    let steps = steps.expect("a plan");
    steps.iter().map(|step| step.get("detail")).collect()
}
