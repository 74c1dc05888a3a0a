//! The coordinator of all groups: it gives the state machines their callers, time and journal.
//!
//! One lock guards everything: what happens under it is short, and a journal entry ends in the page cache.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use tokio::sync::{Notify, oneshot};

use super::entry::Entry;
use super::machine::{Action, Answer, CallId, Caller, Join, Leaver, Sync};
use super::offsets::Offsets;
use super::pending::PendingOffsets;
use super::slot::{self, Slot};
use crate::journal::Journal;
use crate::sync::lock;

/// All consumer groups.
#[derive(Debug)]
pub(crate) struct Coordinator {
    inner: Mutex<Inner>,
    initial_delay: Duration,
    /// Told when a group has a deadline before the one the timer sleeps until.
    pub(super) earlier_deadline: Notify,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) groups: BTreeMap<String, Slot>,
    journal: Journal<Entry>,
    callers: HashMap<CallId, oneshot::Sender<Answer>>,
    next_call: CallId,
    sleeps_until: Option<Instant>,
}

impl Coordinator {
    /// Opens the groups kept in the journal at `path`, and rewrites it.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub(crate) fn open(
        path: &Path,
        journal_bytes: u64,
        initial_delay: Duration,
    ) -> io::Result<Self> {
        let now = Instant::now();
        let mut groups = BTreeMap::new();
        let journal = Journal::open(path, journal_bytes, |entry| {
            slot::replay(&mut groups, entry, initial_delay, now);
        })?;
        groups.retain(|_, slot: &mut Slot| !slot.is_unused());
        let mut inner = Inner {
            groups,
            journal,
            callers: HashMap::new(),
            next_call: 0,
            sleeps_until: None,
        };
        inner.rewrite_journal();
        Ok(Self {
            inner: Mutex::new(inner),
            initial_delay,
            earlier_deadline: Notify::new(),
        })
    }

    /// Joins a group; returns when the rebalance has gone so far. `join.call` is set here.
    pub(crate) async fn join(&self, group_id: &str, mut join: Join) -> Answer {
        let answer = {
            let mut inner = self.inner();
            if let Some(slot) = inner.groups.get_mut(group_id) {
                if let Err(error) = slot.may_join() {
                    return Answer::Failed(error);
                }
                slot.consumers = None;
            }
            let (call, answer) = inner.new_call();
            join.call = call;
            self.change(&mut inner, group_id, |slot, now| slot.group.join(join, now));
            answer
        };
        answered(answer).await
    }

    /// Asks for an assignment; returns when the leader has given it. `sync.call` is set here.
    pub(crate) async fn sync(&self, group_id: &str, mut sync: Sync) -> Answer {
        let answer = {
            let mut inner = self.inner();
            if !inner.groups.contains_key(group_id) {
                return Answer::Failed(ResponseError::UnknownMemberId);
            }
            let (call, answer) = inner.new_call();
            sync.call = call;
            self.change(&mut inner, group_id, |slot, now| slot.group.sync(sync, now));
            answer
        };
        answered(answer).await
    }

    /// Keeps a member alive.
    ///
    /// # Errors
    ///
    /// The member has to join again, or is none.
    pub(crate) fn heartbeat(&self, group_id: &str, caller: &Caller) -> Result<(), ResponseError> {
        let mut inner = self.inner();
        let slot = inner
            .groups
            .get_mut(group_id)
            .ok_or(ResponseError::UnknownMemberId)?;
        slot.group.heartbeat(caller, Instant::now())
    }

    /// Removes members; the results are in the order of `leavers`.
    pub(crate) fn leave(
        &self,
        group_id: &str,
        leavers: &[Leaver],
    ) -> Vec<Result<(), ResponseError>> {
        let mut inner = self.inner();
        if !inner.groups.contains_key(group_id) {
            return vec![Err(ResponseError::UnknownMemberId); leavers.len()];
        }
        let mut results = Vec::with_capacity(leavers.len());
        self.change(&mut inner, group_id, |slot, now| {
            let mut out = Vec::new();
            for leaver in leavers {
                results.push(slot.group.leave(leaver, now, &mut out));
            }
            out
        });
        results
    }

    /// Makes the members of a group join again, or let go of what they have; returns whether it has any.
    pub(crate) fn force_rebalance(&self, group_id: &str) -> bool {
        let mut inner = self.inner();
        let slot = inner.groups.get(group_id);
        if slot.is_none_or(Slot::is_empty) {
            return false;
        }
        self.change(&mut inner, group_id, |slot, now| {
            match &mut slot.consumers {
                Some(consumers) if !consumers.is_empty() => {
                    consumers.force_rebalance();
                    vec![Action::Persist]
                }
                _ => slot.group.force_rebalance(now),
            }
        });
        true
    }

    /// Commits `offsets` as `caller`.
    ///
    /// # Errors
    ///
    /// Nothing was committed.
    pub(crate) fn commit(
        &self,
        group_id: &str,
        caller: &Caller,
        offsets: Offsets,
    ) -> Result<(), ResponseError> {
        let mut inner = self.inner();
        match inner.groups.get_mut(group_id) {
            Some(slot) => slot.may_commit(caller, Instant::now())?,
            None if caller.generation < 0 => {}
            None => return Err(ResponseError::IllegalGeneration),
        }
        if offsets.is_empty() {
            return Ok(());
        }
        let entry = Entry::Committed {
            group: group_id.to_owned(),
            offsets,
        };
        inner.write(&entry)?;
        if let Entry::Committed { offsets, .. } = entry {
            self.slot(&mut inner, group_id).commit(offsets);
        }
        inner.rewrite_journal_if_due();
        Ok(())
    }

    /// Gives `read` the offsets of a group, committed and pending; a group that is not there has none.
    pub(crate) fn offsets<T>(
        &self,
        group_id: &str,
        read: impl FnOnce(&Offsets, &PendingOffsets) -> T,
    ) -> T {
        match self.inner().groups.get(group_id) {
            Some(slot) => read(&slot.offsets, &slot.pending),
            None => read(&Offsets::default(), &PendingOffsets::default()),
        }
    }

    /// Removes committed offsets of partitions of one topic.
    ///
    /// # Errors
    ///
    /// Nothing was removed: there is no such group, or it consumes the topic.
    pub(crate) fn forget(
        &self,
        group_id: &str,
        topic: &str,
        partitions: &[i32],
    ) -> Result<(), ResponseError> {
        let mut inner = self.inner();
        let slot = inner
            .groups
            .get(group_id)
            .ok_or(ResponseError::GroupIdNotFound)?;
        slot.check_not_subscribed(topic)?;
        inner.forget(group_id, topic, partitions)
    }

    /// Removes the committed offsets of a topic that was deleted from all groups.
    pub(crate) fn forget_topic(&self, topic: &str) {
        let mut inner = self.inner();
        let partitions_by_group: Vec<(String, Vec<i32>)> = inner
            .groups
            .iter()
            .map(|(id, slot)| (id.clone(), slot.partitions_of(topic)))
            .filter(|(_, partitions)| !partitions.is_empty())
            .collect();
        for (group_id, partitions) in partitions_by_group {
            if let Err(error) = inner.forget(&group_id, topic, &partitions) {
                tracing::warn!(group = group_id, topic, %error, "offsets of a deleted topic remain");
            }
        }
    }

    /// Deletes a group without members, and its offsets.
    ///
    /// # Errors
    ///
    /// It is still there.
    pub(crate) fn delete(&self, group_id: &str) -> Result<(), ResponseError> {
        let mut inner = self.inner();
        let slot = inner
            .groups
            .get(group_id)
            .ok_or(ResponseError::GroupIdNotFound)?;
        if !slot.is_empty() {
            return Err(ResponseError::NonEmptyGroup);
        }
        inner.write(&Entry::Deleted {
            group: group_id.to_owned(),
        })?;
        inner.groups.remove(group_id);
        Ok(())
    }

    /// Brings the journal to the disk.
    ///
    /// # Errors
    ///
    /// What the operating system said.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.inner().journal.flush()
    }

    /// Does what is due in all groups; returns when the next thing is.
    pub(super) fn tick(&self, now: Instant) -> Option<Instant> {
        let mut inner = self.inner();
        let is_due = |slot: &Slot| slot.next_deadline().is_some_and(|at| at <= now);
        let due: Vec<String> = inner
            .groups
            .iter()
            .filter(|(_, slot)| is_due(slot))
            .map(|(id, _)| id.clone())
            .collect();
        for group_id in due {
            self.change(&mut inner, &group_id, |slot, _| slot.tick(now));
        }
        let deadlines = inner.groups.values().filter_map(Slot::next_deadline);
        inner.sleeps_until = deadlines.min();
        inner.sleeps_until
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Changes a group, which is created if it is missing, and does what follows from the change.
    fn change(
        &self,
        inner: &mut Inner,
        group_id: &str,
        change: impl FnOnce(&mut Slot, Instant) -> Vec<Action>,
    ) {
        let slot = self.slot(inner, group_id);
        let actions = change(slot, Instant::now());
        let deadline = slot.next_deadline();
        let is_unused = slot.is_unused();
        inner.perform(group_id, actions);
        if is_unused {
            inner.groups.remove(group_id);
        }
        if let Some(deadline) = deadline
            && inner.sleeps_until.is_none_or(|until| deadline < until)
        {
            self.earlier_deadline.notify_one();
        }
    }

    pub(super) fn slot<'a>(&self, inner: &'a mut Inner, group_id: &str) -> &'a mut Slot {
        inner
            .groups
            .entry(group_id.to_owned())
            .or_insert_with(|| Slot::new(self.initial_delay))
    }
}

impl Inner {
    fn new_call(&mut self) -> (CallId, oneshot::Receiver<Answer>) {
        let call = self.next_call;
        self.next_call += 1;
        let (answer, receiver) = oneshot::channel();
        self.callers.insert(call, answer);
        (call, receiver)
    }

    fn perform(&mut self, group_id: &str, actions: Vec<Action>) {
        let mut failure = None;
        for action in actions {
            match action {
                Action::Persist => failure = self.persist(group_id).err(),
                Action::Answer(call, answer) => {
                    if let Some(caller) = self.callers.remove(&call) {
                        // A caller that hung up needs no answer; its session will time out.
                        drop(caller.send(failure.map_or(answer, Answer::Failed)));
                    }
                }
            }
        }
        self.rewrite_journal_if_due();
    }

    fn persist(&mut self, group_id: &str) -> Result<(), ResponseError> {
        let Some(slot) = self.groups.get(group_id) else {
            return Ok(());
        };
        let entry = slot.members_entry(group_id);
        self.write(&entry)
    }

    fn forget(
        &mut self,
        group_id: &str,
        topic: &str,
        partitions: &[i32],
    ) -> Result<(), ResponseError> {
        self.write(&Entry::Forgotten {
            group: group_id.to_owned(),
            topic: topic.to_owned(),
            partitions: partitions.to_vec(),
        })?;
        if let Some(slot) = self.groups.get_mut(group_id) {
            for partition in partitions {
                slot.forget(topic, *partition);
            }
        }
        Ok(())
    }

    pub(super) fn write(&mut self, entry: &Entry) -> Result<(), ResponseError> {
        self.journal.append(entry).map_err(|error| {
            tracing::error!(%error, "cannot write the journal of groups");
            // Retriable for every client, as a disk may get space again.
            ResponseError::CoordinatorNotAvailable
        })
    }

    pub(super) fn rewrite_journal_if_due(&mut self) {
        if self.journal.is_due_for_rewrite() {
            self.rewrite_journal();
        }
    }

    fn rewrite_journal(&mut self) {
        let entries = self.groups.iter().flat_map(|(id, slot)| slot.entries(id));
        self.journal.rewrite(entries);
    }
}

async fn answered(answer: oneshot::Receiver<Answer>) -> Answer {
    answer
        .await
        .unwrap_or(Answer::Failed(ResponseError::CoordinatorNotAvailable))
}

mod consumers;
mod transactions;

#[cfg(test)]
mod tests;
