//! The store and the publisher as one instance sees them: through its line.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use longshore_event::{Identity, OutgoingRecord, TopicPartition};
use longshore_testkit::memory::{MemoryPublisher, MemoryStore};
use longshore_worker::{
    Commit, Due, Fence, OutboxRow, ParkedHead, ParkedRow, PublishError, PublishErrorKind,
    Publisher, Store, StoreCounts, StoreError,
};
use uuid::Uuid;

use super::journal::What;
use super::line::Line;

/// The shared database, seen by one instance.
#[derive(Clone, Debug)]
pub(super) struct SimStore {
    pub(super) store: MemoryStore,
    pub(super) line: Line,
    /// Commits from now whose answers are lost, for all instances together.
    pub(super) lost_answers: Arc<AtomicUsize>,
}

impl SimStore {
    async fn commit_and_tell(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        self.store.commit(commit).await?;
        let effects = commit.messages.iter().map(Into::into).collect();
        self.line
            .journal
            .write(Some(self.line.life), What::Committed(effects));
        let lost = |left: usize| left.checked_sub(1);
        let lost = self
            .lost_answers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, lost);
        if lost.is_ok() {
            self.line
                .journal
                .fault(Some(self.line.life), "the answer is lost");
            return Err(StoreError::Unavailable("the answer is lost".into()));
        }
        Ok(())
    }
}

impl Store for SimStore {
    async fn take_over(&self, partitions: &[TopicPartition]) -> Result<Vec<Fence>, StoreError> {
        let taken = async {
            let fences = self.store.take_over(partitions).await;
            if let Ok(fences) = &fences {
                for fence in fences {
                    let what = What::TookOver(fence.partition.clone());
                    self.line.journal.write(Some(self.line.life), what);
                }
            }
            fences
        };
        self.line.call("take_over", taken).await
    }

    async fn seen(&self, messages: &[&Identity]) -> Result<Vec<bool>, StoreError> {
        self.line.call("seen", self.store.seen(messages)).await
    }

    async fn commit(&self, commit: &Commit<'_>) -> Result<(), StoreError> {
        self.line.call("commit", self.commit_and_tell(commit)).await
    }

    async fn outbox(
        &self,
        partitions: Option<&[TopicPartition]>,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        self.line
            .call("outbox", self.store.outbox(partitions, after, limit))
            .await
    }

    async fn claim_due(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Due, StoreError> {
        let claimed = async {
            let due = self.store.claim_due(now, until, limit).await?;
            if !due.rows.is_empty() {
                let timers = due.rows.iter().map(|row| row.id).collect();
                let what = What::Claimed(timers, until);
                self.line.journal.write(Some(self.line.life), what);
            }
            Ok(due)
        };
        self.line.call("claim_due", claimed).await
    }

    async fn published(&self, rows: &[Uuid]) -> Result<(), StoreError> {
        self.line
            .call("published", self.store.published(rows))
            .await
    }

    async fn parked_heads(
        &self,
        partitions: &[TopicPartition],
        limit: usize,
    ) -> Result<Vec<ParkedHead>, StoreError> {
        self.line
            .call("parked_heads", self.store.parked_heads(partitions, limit))
            .await
    }

    async fn parked(
        &self,
        lane: &[u8],
        partitions: &[TopicPartition],
        limit: usize,
    ) -> Result<Vec<ParkedRow>, StoreError> {
        self.line
            .call("parked", self.store.parked(lane, partitions, limit))
            .await
    }

    async fn prune(
        &self,
        before: Timestamp,
        redrivable_before: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.line
            .call("prune", self.store.prune(before, redrivable_before, limit))
            .await
    }

    async fn counts(&self) -> Result<StoreCounts, StoreError> {
        self.line.call("counts", self.store.counts()).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.line.call("ping", self.store.ping()).await
    }
}

/// The brokers, seen by one instance's producer.
#[derive(Clone, Debug)]
pub(super) struct SimPublisher {
    pub(super) publisher: MemoryPublisher,
    pub(super) line: Line,
}

impl SimPublisher {
    async fn publish_and_tell(&self, records: &[OutgoingRecord]) -> Vec<Result<(), PublishError>> {
        let results = self.publisher.publish(records).await;
        let sent = results.iter().filter(|result| result.is_ok()).count();
        let topic = &records[0].topic;
        let text = format!("publishes {sent} of {} to {topic}", records.len());
        self.line.journal.note(Some(self.line.life), text);
        results
    }
}

impl Publisher for SimPublisher {
    /// Half of the records in a call of their own, so that a crash may come in between.
    async fn publish(&self, records: &[OutgoingRecord]) -> Vec<Result<(), PublishError>> {
        let (first, second) = records.split_at(records.len() / 2);
        let mut results = Vec::with_capacity(records.len());
        for half in [first, second] {
            if half.is_empty() {
                continue;
            }
            // What failed is sent again, and in its order: nothing overtakes it.
            if results.iter().any(Result::is_err) {
                results.extend(half.iter().map(|record| Err(behind_another(record))));
                continue;
            }
            results.extend(self.line.call("publish", self.publish_and_tell(half)).await);
        }
        results
    }
}

fn behind_another(record: &OutgoingRecord) -> PublishError {
    PublishError {
        topic: record.topic.clone(),
        kind: PublishErrorKind::Unavailable,
        source: "one before it failed".into(),
    }
}
