//! Waiting out an outage: for ever, each wait longer than the last up to a bound.

use std::time::Duration;

use crate::settings::jittered;

/// The wait after the first failure.
const FIRST: Duration = Duration::from_millis(50);
/// The longest wait, so that work goes on soon after the outage ends.
const LONGEST: Duration = Duration::from_secs(5);

/// The waits between tries during an outage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The wait before the next try.
    pub(crate) fn delay(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        jittered(wait)
    }

    /// Waits before the next try.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.delay()).await;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}
