//! The line between one instance and everything outside of it: slow, stopped with the whole process, or cut by a crash
//! at the n-th call, before or after that call took effect.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longshore_testkit::memory::Watched;

use super::journal::{Journal, Life};

/// What state the process is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Running,
    /// As by SIGSTOP: nothing goes on, and it does not know.
    Stopped,
    Dead,
}

/// Where in a call the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Before,
    After,
}

/// The line of one life. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) life: Life,
    pub(super) journal: Journal,
    pub(super) condition: Watched<Condition>,
    calls: Arc<AtomicU64>,
    crash: Arc<Mutex<Option<(u64, Moment)>>>,
    slowest: Duration,
}

impl Line {
    pub(super) fn new(life: Life, journal: &Journal, slowest: Duration) -> Self {
        Self {
            life,
            journal: journal.clone(),
            condition: Watched::new(Condition::Running),
            calls: Arc::default(),
            crash: Arc::default(),
            slowest,
        }
    }

    /// The process dies in its `n`-th call from now; the next one is 1.
    pub(super) fn crash_in_call(&self, n: u64, moment: Moment) {
        let call = self.calls.load(Ordering::Relaxed) + n;
        *self.crash.lock().unwrap_or_else(PoisonError::into_inner) = Some((call, moment));
    }

    /// Ends [`Line::crash_in_call`].
    pub(super) fn spare(&self) {
        *self.crash.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn is(&self, condition: Condition) -> bool {
        self.condition.get() == condition
    }

    pub(super) fn become_(&self, condition: Condition) {
        // The dead stay dead.
        if !self.is(Condition::Dead) {
            self.condition.set(condition);
        }
    }

    /// Goes out and comes back, if the process lives that long.
    pub(super) async fn call<T>(&self, what: &str, effect: impl Future<Output = T>) -> T {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        self.travel().await;
        self.die_at(number, Moment::Before, what).await;
        let answer = effect.await;
        self.die_at(number, Moment::After, what).await;
        self.travel().await;
        answer
    }

    async fn travel(&self) {
        let slowest = self.slowest.as_millis() as u64;
        if slowest > 0 {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=slowest))).await;
        }
        self.condition.until(|now| now == Condition::Running).await;
    }

    async fn die_at(&self, number: u64, moment: Moment, what: &str) {
        let crash = *self.crash.lock().unwrap_or_else(PoisonError::into_inner);
        if crash == Some((number, moment)) {
            self.journal.fault(
                Some(self.life),
                format!("dies {moment:?} {what} (call {number})"),
            );
            self.become_(Condition::Dead);
        }
        if self.is(Condition::Dead) {
            std::future::pending().await
        }
    }
}
