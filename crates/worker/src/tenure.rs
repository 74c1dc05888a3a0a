//! The end of a partition's stay, as its handlers hear of it: what they would still do takes no effect.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// One stay of a partition with this worker. Clones stand for the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tenure(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_over: AtomicBool,
    ended: Notify,
}

impl Tenure {
    /// Ends it: whoever waits for that is woken.
    pub(crate) fn end(&self) {
        self.0.is_over.store(true, Ordering::Relaxed);
        self.0.ended.notify_waiters();
    }

    /// Completes when it is over. Costs no lock as long as nobody has to wait.
    pub(crate) async fn over(&self) {
        // Taken before the look, so that an end in between is heard.
        let ended = self.0.ended.notified();
        if !self.0.is_over.load(Ordering::Relaxed) {
            ended.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn it_is_over_for_those_who_wait_and_for_those_who_come_later() {
        let tenure = Tenure::default();
        let mut waiting = std::pin::pin!(tenure.over());
        assert!(waiting.as_mut().now_or_never().is_none());

        tenure.clone().end();

        assert!(waiting.now_or_never().is_some());
        assert!(tenure.over().now_or_never().is_some());
    }
}
