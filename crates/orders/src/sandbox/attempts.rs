//! How often something was tried, by idempotency key, for what fails at first; in the store, to survive restarts.

use longshore_store::SqlStore;
use longshore_worker::sql;

use super::ledger::LedgerError;

#[derive(Clone, Debug)]
pub(super) struct Attempts {
    store: SqlStore,
}

impl Attempts {
    pub(super) fn new(store: SqlStore) -> Self {
        Self { store }
    }

    /// Counts one more attempt and returns how many there were, this one included.
    pub(super) async fn count(&self, key: &str) -> Result<i64, LedgerError> {
        let more = sql(
            "insert into sandbox_attempts (idempotency_key, attempts) values ($1, 1)
             on conflict (idempotency_key) do update set attempts = sandbox_attempts.attempts + 1",
        )
        .bind(key.to_owned());
        self.store.execute(&more).await?;
        let count = sql("select attempts from sandbox_attempts where idempotency_key = $1")
            .bind(key.to_owned());
        let row = self.store.fetch_optional(&count).await?;
        Ok(row.and_then(|row| row.integer(0)).unwrap_or(1))
    }
}
