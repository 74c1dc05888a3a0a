//! The claimed timers of one topic: a queue of their own, so that they and the follow-on events do not wait for each other.

use std::collections::VecDeque;
use std::sync::Arc;

use longshore_event::TopicPartition;
use tokio::time::Instant;
use tracing::{info, warn};
use uuid::Uuid;

use super::sending::Sending;
use crate::failure::chain;
use crate::{OutboxRow, PublishError};

/// Claimed timers of one topic in memory. As long as the topic is written, no more are claimed at the bound. Those of a
/// stuck topic are left alone beyond it, until their lease is over.
pub(super) const SHARE: usize = 2_000;

/// The timers of one topic.
#[derive(Debug)]
pub(super) struct TimerQueue {
    topic: Arc<str>,
    rows: VecDeque<OutboxRow>,
    sending: Option<Sending>,
    /// Claimed and not taken out of the store yet: those in `rows`, being sent, and acknowledged.
    held: usize,
    /// Whether the last batch failed, so that an outage is told once.
    failing: bool,
}

impl TimerQueue {
    pub(super) fn new(topic: Arc<str>) -> Self {
        Self {
            topic,
            rows: VecDeque::new(),
            sending: None,
            held: 0,
            failing: false,
        }
    }

    /// Takes a timer in, if there is room for it.
    pub(super) fn offer(&mut self, row: OutboxRow) -> bool {
        if self.held >= SHARE {
            return false;
        }
        self.rows.push_back(row);
        self.held += 1;
        true
    }

    /// Takes the next rows to send, unless rows are being sent or there are none.
    pub(super) fn start(&mut self, most: usize) -> Option<Vec<OutboxRow>> {
        if self.sending.is_some() || self.rows.is_empty() {
            return None;
        }
        let rows: Vec<_> = self.rows.drain(..most.min(self.rows.len())).collect();
        self.sending = Some(Sending::of(&rows));
        Some(rows)
    }

    /// A batch was sent; `error` is the first one of it.
    pub(super) fn sent(&mut self, error: Option<&PublishError>) {
        self.sending = None;
        match (error, self.failing) {
            (Some(error), false) => {
                warn!(topic = %self.topic, error = chain(error), "timers not published; they wait in the store and are tried again");
            }
            (None, true) => info!(topic = %self.topic, "timers are published again"),
            (Some(_), true) | (None, false) => {}
        }
        self.failing = error.is_some();
    }

    /// One of its timers is no longer in memory.
    pub(super) fn released(&mut self) {
        self.held -= 1;
    }

    /// Forgets the rows of these partitions that are not being sent; says which they were.
    pub(super) fn forget(&mut self, partitions: &[TopicPartition]) -> Vec<Uuid> {
        let mut forgotten = Vec::new();
        self.rows.retain(|row| {
            let leaves = partitions.contains(&row.source);
            if leaves {
                forgotten.push(row.id);
            }
            !leaves
        });
        forgotten
    }

    /// Whether timers of these partitions are being sent.
    pub(super) fn is_sending(&self, partitions: &[TopicPartition]) -> bool {
        let sending = self.sending.as_ref();
        sending.is_some_and(|sending| sending.has_some_of(partitions))
    }

    /// How many claims must reckon with; `None` while the topic is stuck.
    pub(super) fn flowing(&self, now: Instant) -> Option<usize> {
        let stuck = self.stuck_at().is_some_and(|stuck| stuck <= now);
        (!stuck).then_some(self.held)
    }

    /// When the batch under way makes the topic a stuck one.
    pub(super) fn stuck_at(&self) -> Option<Instant> {
        self.sending.as_ref().map(Sending::stuck_at)
    }
}
