//! What stands before the store of a worker under test: it keeps the clock still during each call, and lets calls fail.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longshore_store::{Call, Gate};
use longshore_worker::StoreError;

use super::time::StandingClock;

/// The gate; it outlives crashes of the worker, as faults of a database do.
#[derive(Debug)]
pub(super) struct StoreGate {
    clock: Arc<StandingClock>,
    faults: Mutex<Faults>,
    calls: AtomicU64,
}

#[derive(Debug, Default)]
struct Faults {
    down: bool,
    failing_calls: usize,
    lost_answers: usize,
}

impl StoreGate {
    pub(super) fn new(clock: Arc<StandingClock>) -> Self {
        Self {
            clock,
            faults: Mutex::default(),
            calls: AtomicU64::new(0),
        }
    }

    /// Calls so far.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    pub(super) fn set_down(&self, down: bool) {
        self.faults().down = down;
    }

    pub(super) fn fail_calls(&self, calls: usize) {
        self.faults().failing_calls = calls;
    }

    pub(super) fn lose_answers(&self, commits: usize) {
        self.faults().lost_answers = commits;
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        // The faults are whole after every operation, so a panic elsewhere does not spoil them.
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate for StoreGate {
    fn enter(&self, _: Call) -> Result<Box<dyn Any + Send>, StoreError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut faults = self.faults();
        if faults.down {
            return Err(unavailable());
        }
        if faults.failing_calls > 0 {
            faults.failing_calls -= 1;
            return Err(unavailable());
        }
        Ok(Box::new(self.clock.call()))
    }

    fn leave(&self, call: Call) -> Result<(), StoreError> {
        let mut faults = self.faults();
        if call == Call::Commit && faults.lost_answers > 0 {
            faults.lost_answers -= 1;
            return Err(unavailable());
        }
        Ok(())
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("a fault of the test".into())
}
