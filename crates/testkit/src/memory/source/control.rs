//! The hand of the test on a member of a group: partitions come and go, the broker is away, transactions take its offsets.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use longshore_event::{Position, TopicPartition};
use longshore_worker::{CommitError, SourceError, SourceEvent};
use tokio::sync::oneshot;

use super::{Member, Offsets, Shared, lock};
#[cfg(doc)]
use crate::memory::MemorySource;

/// The hand that moves partitions to and from a [`MemorySource`], and cuts it off from its broker.
#[derive(Clone, Debug)]
pub struct SourceControl {
    pub(super) shared: Arc<Shared>,
}

impl SourceControl {
    /// Gives partitions to the member. It reads from the committed offsets, or from the beginning.
    pub fn assign(&self, partitions: &[TopicPartition]) {
        let mut member = lock(&self.shared.member);
        member.owned.extend_from_slice(partitions);
        self.tell(member, SourceEvent::Assigned(partitions.to_vec()));
    }

    /// Takes partitions away in good order: waits for the offsets that the run loop answers within `within`, commits
    /// them, and returns them. `None` if it did not answer in time.
    pub async fn revoke(&self, partitions: &[TopicPartition], within: Duration) -> Option<Offsets> {
        let (finished, answer) = oneshot::channel();
        let revoked = SourceEvent::Revoked {
            partitions: partitions.to_vec(),
            within,
            finished,
        };
        self.tell(lock(&self.shared.member), revoked);
        let answer = tokio::time::timeout(within, answer).await;
        let answer = answer.ok().and_then(Result::ok);
        let mut member = lock(&self.shared.member);
        member.settle(
            partitions,
            answer.as_deref().unwrap_or_default(),
            &self.shared.group,
        );
        drop(member);
        self.shared.changed.notify_one();
        answer
    }

    /// Takes partitions away without asking, as a session time-out does. Commits for them are refused from now on.
    pub fn lose(&self, partitions: &[TopicPartition]) {
        let mut member = lock(&self.shared.member);
        member.disown(partitions);
        self.tell(member, SourceEvent::Lost(partitions.to_vec()));
    }

    /// Takes partitions away without telling, as from a member that is cut off: it goes on with what it holds, but its
    /// commits for them are refused. [`SourceControl::lose`] tells it later.
    pub fn disown(&self, partitions: &[TopicPartition]) {
        lock(&self.shared.member).disown(partitions);
    }

    /// Cuts the member off from its broker: no records, no commits.
    pub fn unavailable(&self, reason: &str) {
        let mut member = lock(&self.shared.member);
        member.reachable = false;
        let reason = Some(reason.to_owned());
        self.tell(member, SourceEvent::Unavailable { reason });
    }

    /// Ends [`SourceControl::unavailable`]; the latest commits made meanwhile go through.
    pub fn available(&self) {
        let mut member = lock(&self.shared.member);
        member.reachable = true;
        let unsent: Offsets = std::mem::take(&mut member.unsent).into_iter().collect();
        member.commit(&unsent, &self.shared.group);
        self.tell(member, SourceEvent::Unavailable { reason: None });
    }

    /// Ends the member with an error that no retry mends.
    pub fn fail(&self, error: SourceError) {
        let member = lock(&self.shared.member);
        self.tell(member, SourceEvent::Closed(Err(error)));
    }

    /// Records that are delivered and not released.
    pub fn in_flight(&self) -> usize {
        let member = lock(&self.shared.member);
        member.max_in_flight - member.budget
    }

    /// Commits that were refused because the partition was not the member's any more.
    pub fn stale_commits(&self) -> usize {
        lock(&self.shared.member).stale_commits
    }

    /// From now on offsets move in transactions.
    pub(in crate::memory) fn leave_to_transactions(&self) {
        lock(&self.shared.member).in_transactions = true;
    }

    /// Commits the offsets of a batch of messages, those of a partition without a gap.
    ///
    /// # Errors
    /// [`CommitError::Fenced`] if one was not delivered in the present stay of its partition;
    /// [`CommitError::Duplicate`] if the group has committed one already; [`CommitError::Unavailable`] while the member is
    /// cut off.
    pub(in crate::memory) fn enlist(&self, messages: &[&Position]) -> Result<(), CommitError> {
        let mut member = lock(&self.shared.member);
        let group = &self.shared.group;
        if !member.reachable {
            return Err(CommitError::Unavailable("cut off by the test".into()));
        }
        for message in messages {
            let partition = &message.partition;
            let delivered = member.delivered.get(partition);
            let is_delivered = delivered.is_some_and(|next| message.offset.next() <= *next);
            if !is_delivered || !member.owned.contains(partition) {
                let reason = format!("{partition} is not this member's, or not any more");
                return Err(CommitError::Fenced(reason.into()));
            }
            if group.committed(partition) >= Some(message.offset.next()) {
                return Err(CommitError::Duplicate);
            }
        }
        for message in messages {
            let next = message.offset.next();
            member.commit(&[(message.partition.clone(), next)], group);
        }
        Ok(())
    }

    fn tell(&self, mut member: MutexGuard<'_, Member>, event: SourceEvent) {
        member.pending.push_back(event);
        drop(member);
        self.shared.changed.notify_one();
    }
}
