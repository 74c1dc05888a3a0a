//! Partitions that go: handed over in time, lost, or all of them as the member leaves its group.

use std::time::{Duration, Instant};

use longshore_event::TopicPartition;
use longshore_worker::{SourceError, SourceEvent};
use tokio::sync::oneshot;

use super::Member;
use crate::native::{Event, PartitionList};
use crate::source::answer::answer;

/// How long the commit at a revocation may take. What is not committed then is read again by the next owner.
const LAST_COMMIT: Duration = Duration::from_secs(5);

/// How much longer an answer is waited for than the one who gives it may take.
const GRACE: Duration = Duration::from_secs(1);

/// How long leaving the group may take, besides what revocations wait for. Then it leaves without telling, and the
/// group notices by the session time-out.
const LEAVE: Duration = Duration::from_secs(10);

/// How often it is checked whether the group has been left, which comes without an event.
const LEAVE_CHECK: Duration = Duration::from_millis(20);

impl Member {
    /// Hands partitions over, unless they are somebody else's already.
    pub(super) fn give_up(&mut self, partitions: Vec<TopicPartition>, thrown_out: bool) {
        if partitions.is_empty() {
            return;
        }
        if thrown_out || self.consumer.client.is_assignment_lost() {
            self.lose(partitions);
        } else {
            self.hand_over(partitions);
        }
    }

    /// Waits until what is in flight is finished, and commits it while the partitions are still this member's.
    fn hand_over(&mut self, partitions: Vec<TopicPartition>) {
        self.flush();
        tracing::debug!(group = self.group, ?partitions, "partitions revoked");
        let (finished, answered) = oneshot::channel();
        self.send(SourceEvent::Revoked {
            partitions: partitions.clone(),
            within: self.within,
            finished,
        });
        let finished = answer(answered, self.within + GRACE).unwrap_or_default();
        self.owned.remove(&partitions);
        let last = self.shared.ledger.settle(&partitions, finished);
        if last.is_empty() {
            return;
        }
        let list = PartitionList::of_offsets(last.iter());
        if let Err(error) = self.consumer.client.commit_within(&list, LAST_COMMIT) {
            tracing::warn!(
                group = self.group,
                error = %error,
                partitions = last.len(),
                "offsets not committed at a revocation; the next owner reads these records again"
            );
        }
    }

    /// Gives up partitions that are somebody else's already.
    pub(super) fn lose(&mut self, partitions: Vec<TopicPartition>) {
        if partitions.is_empty() {
            return;
        }
        self.flush();
        tracing::debug!(group = self.group, ?partitions, "partitions lost");
        self.owned.remove(&partitions);
        self.shared.ledger.settle(&partitions, Vec::new());
        self.send(SourceEvent::Lost(partitions));
    }

    /// Hands everything over, then leaves the group. In this order: the client sends no heartbeats any more once it is
    /// closing, and lets everything go at the first rebalance.
    pub(super) fn leave(&mut self) -> Result<(), SourceError> {
        let deadline = Instant::now() + self.within + LEAVE;
        let thrown_out = self.was_thrown_out();
        self.give_up(self.owned.all(), thrown_out);
        if let Err(error) = self.consumer.client.close_into(&self.consumer.queue) {
            // It does not even begin to leave after an error that is fatal.
            return Err(self.fatal(error));
        }
        while !self.consumer.client.is_closed() && Instant::now() < deadline {
            match self.consumer.queue.poll(LEAVE_CHECK) {
                Some(Event::Revoke(list)) => {
                    self.note(self.consumer.client.let_go(&list), "let partitions go");
                }
                // It was on its way when leaving began, and is revoked again at once.
                Some(Event::Assign(list)) => {
                    self.note(self.consumer.client.accept(&list), "accept an assignment");
                }
                _ => {}
            }
        }
        Ok(())
    }
}
