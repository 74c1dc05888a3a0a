//! The rows of one topic that wait to be published, up to a bound; beyond it they stay in the store.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use longshore_event::TopicPartition;
use tokio::time::Instant;
use tracing::{info, warn};

use super::sending::Sending;
use crate::backoff::Backoff;
use crate::failure::chain;
use crate::{OutboxRow, PublishError};

/// Rows of one topic in memory. At the bound the later ones are left in the store and loaded when these are gone.
const CAPACITY: usize = 2_000;

/// The queue of one topic.
#[derive(Debug)]
pub(super) struct TopicQueue {
    topic: Arc<str>,
    rows: VecDeque<OutboxRow>,
    sending: Option<Sending>,
    /// Whether the batch under way has had its time.
    stuck: bool,
    /// The lowest sequence that was left in the store for want of room.
    spilled_from: Option<i64>,
    /// Whether what was left there is being read. Until it is, whatever is committed is behind it.
    reloading: bool,
    /// Set while the topic cannot be written.
    failing: Option<Backoff>,
}

impl TopicQueue {
    pub(super) fn new(topic: Arc<str>) -> Self {
        Self {
            topic,
            rows: VecDeque::new(),
            sending: None,
            stuck: false,
            spilled_from: None,
            reloading: false,
            failing: None,
        }
    }

    /// Takes a row in that was just committed, or leaves it in the store; says whether it is held.
    pub(super) fn offer(&mut self, row: OutboxRow) -> bool {
        if self.reloading {
            return self.spill(&row);
        }
        self.offer_stored(row)
    }

    /// The same for a row that was read from the store, in ascending sequence.
    pub(super) fn offer_stored(&mut self, row: OutboxRow) -> bool {
        let behind = self.spilled_from.is_some_and(|from| row.sequence >= from);
        if behind || self.rows.len() >= CAPACITY {
            return self.spill(&row);
        }
        self.rows.push_back(row);
        true
    }

    fn spill(&mut self, row: &OutboxRow) -> bool {
        let from = self.spilled_from.get_or_insert(row.sequence);
        *from = row.sequence.min(*from);
        false
    }

    /// From which sequence on the store must be read, once there is room again; [`TopicQueue::reloaded`] says that it was.
    pub(super) fn take_spilled(&mut self) -> Option<i64> {
        if self.reloading || !self.rows.is_empty() {
            return None;
        }
        let from = self.spilled_from.take()?;
        self.reloading = true;
        Some(from)
    }

    /// Whether rows were left in the store for want of room.
    pub(super) fn has_spilled(&self) -> bool {
        self.spilled_from.is_some() || self.reloading
    }

    /// All that was left in the store by then has been offered, or is left there once more.
    pub(super) fn reloaded(&mut self) {
        self.reloading = false;
    }

    /// Takes the next rows to send, with the wait before it, unless rows are being sent or there are none.
    pub(super) fn start(&mut self, most: usize) -> Option<(Vec<OutboxRow>, Option<Duration>)> {
        if self.sending.is_some() || self.rows.is_empty() {
            return None;
        }
        let rows: Vec<_> = self.rows.drain(..most.min(self.rows.len())).collect();
        self.sending = Some(Sending::of(&rows));
        let wait = self.failing.as_mut().map(Backoff::delay);
        Some((rows, wait))
    }

    /// Rows were sent; those that failed go back to the front, in their order. So do those of partitions that have gone
    /// meanwhile, unlike what [`TopicQueue::forget`] takes: whatever is behind them here would overtake them.
    pub(super) fn sent(&mut self, failed: Vec<(OutboxRow, PublishError)>) {
        self.sending = None;
        self.stuck = false;
        match (failed.first(), &self.failing) {
            (Some((row, error)), None) => {
                warn!(topic = %self.topic, rows = failed.len(), first = %row.id, error = chain(error), "outbox rows not published; they wait in the store and are tried again");
                self.failing = Some(Backoff::new());
            }
            (None, Some(_)) => {
                info!(topic = %self.topic, "outbox rows are published again");
                self.failing = None;
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        for (row, _) in failed.into_iter().rev() {
            self.rows.push_front(row);
        }
    }

    /// Whether rows of these partitions are on their way. A topic that cannot be written is not waited for.
    pub(super) fn is_busy_with(&self, partitions: &[TopicPartition]) -> bool {
        let mut rows = self.rows.iter();
        let sending = self.sending.as_ref();
        self.failing.is_none()
            && (self.has_spilled()
                || rows.any(|row| partitions.contains(&row.source))
                || sending.is_some_and(|sending| sending.has_some_of(partitions)))
    }

    /// When the batch under way makes the topic a stuck one; `None` once it is.
    pub(super) fn stuck_at(&self) -> Option<Instant> {
        let sending = self.sending.as_ref().filter(|_| !self.stuck);
        sending.map(Sending::stuck_at)
    }

    /// Takes note of the time.
    pub(super) fn look_at_clock(&mut self, now: Instant) {
        self.stuck |= self.stuck_at().is_some_and(|stuck| stuck <= now);
    }

    /// Whether the topic neither takes rows nor refuses them.
    pub(super) fn is_stuck(&self) -> bool {
        self.stuck
    }

    /// These partitions were taken over.
    pub(super) fn taken_over(&self, partitions: &[TopicPartition]) {
        if self.stuck && self.is_busy_with(partitions) {
            warn!(topic = %self.topic, "the topic does not answer: partitions are taken over before all that was left for it is published");
        }
    }

    /// Forgets the rows of these partitions: they are somebody else's now. Returns what was held.
    pub(super) fn forget(&mut self, partitions: &[TopicPartition]) -> VecDeque<OutboxRow> {
        let (forgotten, kept) = std::mem::take(&mut self.rows)
            .into_iter()
            .partition(|row| partitions.contains(&row.source));
        self.rows = kept;
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_event::{Headers, OutgoingRecord};
    use uuid::Uuid;

    fn row(sequence: i64) -> OutboxRow {
        OutboxRow {
            id: Uuid::from_u128(sequence.unsigned_abs().into()),
            sequence,
            source: TopicPartition::new("s", 0),
            record: OutgoingRecord {
                topic: "t".into(),
                key: Some("k".into()),
                value: None,
                headers: Headers::new(),
            },
        }
    }

    fn drain(queue: &mut TopicQueue) -> Vec<i64> {
        let mut sent = Vec::new();
        while let Some((rows, _)) = queue.start(CAPACITY) {
            sent.extend(rows.iter().map(|row| row.sequence));
            queue.sent(Vec::new());
        }
        sent
    }

    #[test]
    fn nothing_overtakes_what_is_being_read_from_the_store_again() {
        let full = i64::try_from(CAPACITY).expect("small");
        let mut queue = TopicQueue::new("t".into());
        assert!((1..=full).all(|sequence| queue.offer(row(sequence))));
        assert!(!queue.offer(row(full + 1)), "there is no room");
        assert_eq!(drain(&mut queue).len(), CAPACITY);

        assert_eq!(queue.take_spilled(), Some(full + 1));
        assert!(
            !queue.offer(row(full + 2)),
            "committed while the store is read"
        );
        assert!(queue.is_busy_with(&[TopicPartition::new("s", 0)]));
        // The page has both.
        assert!(queue.offer_stored(row(full + 1)));
        assert!(!queue.offer_stored(row(full + 2)));
        queue.reloaded();

        assert_eq!(drain(&mut queue), [full + 1]);
        assert_eq!(queue.take_spilled(), Some(full + 2));
        assert!(queue.offer_stored(row(full + 2)));
        queue.reloaded();
        assert!(queue.offer(row(full + 3)));
        assert_eq!(drain(&mut queue), [full + 2, full + 3]);
        assert_eq!(queue.take_spilled(), None);
    }
}
