//! The one timer of all transactions: it sleeps until the next deadline there is, and for ever when there is none.

use std::time::Instant;

use super::coordinator::TransactionCoordinator;
use super::participants::Participants;

impl TransactionCoordinator {
    /// Aborts transactions whose time is up, and completes what could not be completed at once. Runs
    /// until it is dropped.
    pub(crate) async fn run_timers(&self, participants: Participants<'_>) {
        loop {
            match self.tick(participants, Instant::now()) {
                Some(deadline) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(deadline.into()) => {}
                        () = self.earlier_deadline.notified() => {}
                    }
                }
                None => self.earlier_deadline.notified().await,
            }
        }
    }
}
