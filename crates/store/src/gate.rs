//! What a test puts before every call of a store: it keeps the clock still meanwhile, or answers in the store's place.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use longshore_worker::StoreError;

use crate::SqlStore;

/// What a call of a store is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The transaction of finished messages.
    Commit,
    /// Anything else, statements of handlers among it.
    Other,
}

/// Stands before every call of a [`SqlStore::gated`] store.
pub trait Gate: Debug + Send + Sync + 'static {
    /// A call begins; what is returned is kept until it has ended, or was dropped.
    ///
    /// # Errors
    /// The answer of the call: the database is not asked.
    fn enter(&self, call: Call) -> Result<Box<dyn Any + Send>, StoreError>;

    /// A call has succeeded.
    ///
    /// # Errors
    /// The answer of the call all the same: as if the connection broke after it had taken effect.
    fn leave(&self, call: Call) -> Result<(), StoreError>;
}

impl SqlStore {
    /// The same store behind a gate, for tests of workers. Clones of it are behind the gate too; the original is not.
    #[must_use]
    pub fn gated(&self, gate: Arc<dyn Gate>) -> Self {
        Self {
            inner: self.inner.clone(),
            gate: Some(gate),
        }
    }

    /// Runs `run` behind the gate, if there is one.
    pub(crate) async fn through_gate<T>(
        &self,
        call: Call,
        run: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let Some(gate) = &self.gate else {
            return run.await;
        };
        let _entered = gate.enter(call)?;
        let result = run.await?;
        gate.leave(call)?;
        Ok(result)
    }
}
