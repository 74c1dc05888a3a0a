//! The one timer of all groups: it sleeps until the next deadline there is, and for ever when there is none.

use std::time::Instant;

use super::coordinator::Coordinator;

impl Coordinator {
    /// Ends rebalances and sessions that are due. Runs until it is dropped.
    pub(crate) async fn run_timers(&self) {
        loop {
            match self.tick(Instant::now()) {
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
