//! The `plain` strategy: at least once, with no database. Follow-on records are published, then the offset is free.

use std::sync::{Mutex, PoisonError};

use longshore_event::{Identity, OutgoingRecord, TopicPartition};
use tracing::warn;

use crate::backoff::Backoff;
use crate::failure::chain;
use crate::{CommitError, CommitStrategy, Finished, Publisher, Refused, Window};

/// Commits by publishing. Nothing is atomic: after a crash, messages are handled and follow-ons published again, under
/// the same ids. Statements are refused. While a record cannot be published, nothing else is committed.
#[derive(Debug)]
pub struct PlainStrategy<P> {
    publisher: P,
    window: Mutex<Window>,
}

impl<P: Publisher> PlainStrategy<P> {
    /// Publishes through `publisher`.
    pub fn new(publisher: P) -> Self {
        Self {
            publisher,
            window: Mutex::new(Window::default()),
        }
    }

    /// Sends until all are acknowledged: a follow-on or a dead letter is never given up.
    async fn publish(&self, mut records: Vec<OutgoingRecord>) {
        let mut backoff = Backoff::new();
        loop {
            let results = self.publisher.publish(&records).await;
            let mut results = results.into_iter();
            records.retain(|_| match results.next() {
                Some(Err(error)) => {
                    warn!(error = chain(&error), "not published; tried again");
                    true
                }
                Some(Ok(())) | None => false,
            });
            if records.is_empty() {
                return;
            }
            backoff.wait().await;
        }
    }

    fn window(&self) -> std::sync::MutexGuard<'_, Window> {
        // The window is whole after every operation, so a panic elsewhere does not spoil it.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Publisher> CommitStrategy for PlainStrategy<P> {
    async fn take_over(&self, _: &[TopicPartition]) -> Result<Option<i64>, CommitError> {
        Ok(None)
    }

    async fn seen(&self, messages: &[&Identity]) -> Result<Vec<bool>, CommitError> {
        let window = self.window();
        Ok(messages.iter().map(|id| window.contains(id)).collect())
    }

    async fn commit(&self, batch: Vec<Finished>) -> Result<(), Refused> {
        let mut batch = Refused::if_it_needs_a_store(batch, "plain")?;
        let records = batch
            .iter_mut()
            .flat_map(|finished| finished.outbox.drain(..))
            .map(|row| row.record)
            .collect();
        self.publish(records).await;
        let mut window = self.window();
        for finished in batch {
            window.remember(finished.identity);
        }
        Ok(())
    }

    async fn hand_over(&self, _: &[TopicPartition]) {}
}
