//! The coordinator of all transactions: who may do what, written down before it is true.
//!
//! One lock guards everything, also while a transactional batch is appended: so none comes behind the
//! marker that ends its transaction. What happens under it is short and ends in the page cache. Locks of
//! partitions and groups are taken under it, never the other way round.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;
use tokio::sync::Notify;

use super::machine::{End, Producer, State, Transaction};
use super::participants::{Participants, Place};
use super::scope::Scope;
use super::slot::{Entry, SETTLE_AGAIN_AFTER, Slot};
use crate::journal::Journal;
use crate::log::Outcome;
use crate::node::now_ms;
use crate::sync::lock;

/// The longest time a producer may ask for: Kafka's `transaction.max.timeout.ms`.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Most transactional ids; past it, the one that did nothing for longest is forgotten.
const MAX_IDS: usize = 10_000;

/// An id that did nothing for so long is forgotten: Kafka's `transactional.id.expiration.ms`.
const FORGET_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// All transactional ids.
#[derive(Debug)]
pub(crate) struct TransactionCoordinator {
    inner: Mutex<Inner>,
    /// Told when there is a deadline before the one the timer sleeps until.
    pub(super) earlier_deadline: Notify,
}

#[derive(Debug)]
struct Inner {
    by_id: HashMap<String, Slot>,
    journal: Journal<Entry>,
    sleeps_until: Option<Instant>,
}

impl TransactionCoordinator {
    /// Opens the transactions kept in the journal at `path`, and ends what a crash left half ended.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub(crate) fn open(
        path: &Path,
        journal_bytes: u64,
        participants: Participants<'_>,
    ) -> io::Result<Self> {
        let mut found: HashMap<String, Transaction> = HashMap::new();
        let journal = Journal::open(path, journal_bytes, |entry| match entry {
            Entry::Is { id, transaction } => {
                found.insert(id, transaction);
            }
            Entry::Forgotten { id } => {
                found.remove(&id);
            }
        })?;
        let silent_since = now_ms().saturating_sub(FORGET_AFTER.as_millis() as i64);
        found.retain(|_, found| found.scope().is_some() || found.changed_ms > silent_since);
        let slots = found
            .into_iter()
            .map(|(id, transaction)| (id, Slot::new(transaction)));
        let mut inner = Inner {
            by_id: slots.collect(),
            journal,
            sleeps_until: None,
        };
        inner.rewrite_journal();
        inner.complete_all(participants);
        participants.abort_unknown(|place, producer_id| inner.knows(place, producer_id));
        Ok(Self {
            inner: Mutex::new(inner),
            earlier_deadline: Notify::new(),
        })
    }

    /// Gives transactional id `id` to a producer, who names what it was if it was one. Its predecessor is
    /// fenced, and what that left open is aborted. `new_id` hands out producer ids.
    ///
    /// # Errors
    ///
    /// The producer has no id.
    pub(crate) fn init(
        &self,
        participants: Participants<'_>,
        id: &str,
        was: Option<Producer>,
        timeout: Duration,
        new_id: impl FnOnce() -> Result<i64, ResponseError>,
    ) -> Result<Producer, ResponseError> {
        if timeout.is_zero() || timeout > MAX_TIMEOUT {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        let timeout_ms = timeout.as_millis() as i32;
        let mut inner = self.inner();
        let next = match inner.by_id.get(id) {
            Some(slot) => {
                slot.transaction.check_successor(was)?;
                if let Some(fenced) = slot.transaction.fence(now_ms()) {
                    inner.write(id, fenced)?;
                }
                inner.complete(participants, id);
                let slot = inner.present(id)?;
                // The transaction that was fenced just now was aborted in the name of a newer epoch.
                let was = was.filter(|was| slot.transaction.check_successor(Some(*was)).is_ok());
                slot.transaction.init(was, timeout_ms, now_ms(), new_id)?
            }
            // A producer whose id was forgotten meanwhile begins anew.
            None => {
                inner.make_room()?;
                Transaction::new(new_id()?, timeout_ms, now_ms())
            }
        };
        let producer = next.producer;
        inner.write(id, next)?;
        Ok(producer)
    }

    /// Adds partitions to the transaction of `caller`, which begins with the first.
    ///
    /// # Errors
    ///
    /// None was added.
    pub(crate) fn add_partitions(
        &self,
        participants: Participants<'_>,
        id: &str,
        caller: Producer,
        partitions: &Scope,
    ) -> Result<(), ResponseError> {
        let mut inner = self.inner();
        inner.complete(participants, id);
        let slot = inner.present(id)?;
        if let Some(next) = slot.transaction.add(caller, partitions, now_ms())? {
            inner.write(id, next)?;
            self.wake_if_earlier(&inner, id);
        }
        Ok(())
    }

    /// Adds a group whose offsets the transaction of `caller` will commit.
    ///
    /// # Errors
    ///
    /// It was not added.
    pub(crate) fn add_group(
        &self,
        participants: Participants<'_>,
        id: &str,
        caller: Producer,
        group_id: &str,
    ) -> Result<(), ResponseError> {
        self.add_partitions(participants, id, caller, &Scope::of_group(group_id))
    }

    /// Appends a batch of the transaction of `caller` to a partition by `append`, while nobody can end it.
    ///
    /// # Errors
    ///
    /// Nothing was appended: the partition is not in an ongoing transaction of this producer.
    pub(crate) fn in_partition<T>(
        &self,
        id: &str,
        caller: Producer,
        (topic, partition): (&str, i32),
        append: impl FnOnce() -> T,
    ) -> Result<T, ResponseError> {
        let mut inner = self.inner();
        let transaction = &inner.present(id)?.transaction;
        transaction.check(caller)?;
        match transaction.ongoing() {
            Some(scope) if scope.has_partition(topic, partition) => Ok(append()),
            _ => Err(ResponseError::InvalidTxnState),
        }
    }

    /// Commits offsets in the transaction of `caller` by `commit`, while nobody can end it.
    ///
    /// # Errors
    ///
    /// Nothing was committed: what `commit` said, or the group is not in an ongoing transaction of this
    /// producer.
    pub(crate) fn in_group(
        &self,
        id: &str,
        caller: Producer,
        group_id: &str,
        commit: impl FnOnce() -> Result<(), ResponseError>,
    ) -> Result<(), ResponseError> {
        let mut inner = self.inner();
        let transaction = &inner.present(id)?.transaction;
        transaction.check(caller)?;
        match transaction.ongoing() {
            Some(scope) if scope.has_group(group_id) => commit(),
            _ => Err(ResponseError::InvalidTxnState),
        }
    }

    /// Ends the transaction of `caller`. On return it is decided; should a participant not be told yet,
    /// it is told as soon as it can be, and the next transaction waits for that.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    pub(crate) fn end(
        &self,
        participants: Participants<'_>,
        id: &str,
        caller: Producer,
        outcome: Outcome,
    ) -> Result<(), ResponseError> {
        let mut inner = self.inner();
        inner.complete(participants, id);
        let slot = inner.present(id)?;
        match slot.transaction.end(caller, outcome, now_ms())? {
            End::Already => Ok(()),
            End::Prepare(prepared) => {
                inner.write(id, prepared)?;
                inner.complete(participants, id);
                self.wake_if_earlier(&inner, id);
                Ok(())
            }
        }
    }

    /// The state of transactional id `id`.
    pub(crate) fn describe(&self, id: &str) -> Option<Transaction> {
        let inner = self.inner();
        inner.by_id.get(id).map(|slot| slot.transaction.clone())
    }

    /// All transactional ids with their states, by id.
    pub(crate) fn list(&self) -> Vec<(String, Transaction)> {
        let inner = self.inner();
        let slots = inner.by_id.iter();
        let mut all: Vec<_> = slots
            .map(|(id, slot)| (id.clone(), slot.transaction.clone()))
            .collect();
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// Brings the journal to the disk.
    ///
    /// # Errors
    ///
    /// What the operating system said.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.inner().journal.flush()
    }

    /// Does what is due; returns when the next thing is.
    pub(super) fn tick(&self, participants: Participants<'_>, now: Instant) -> Option<Instant> {
        let mut inner = self.inner();
        let is_due = |slot: &Slot| slot.deadline.is_some_and(|at| at <= now);
        let slots = inner.by_id.iter();
        let due: BTreeSet<String> = slots
            .filter(|(_, slot)| is_due(slot))
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            inner.expire(&id);
            inner.complete(participants, &id);
        }
        inner.sleeps_until = inner.by_id.values().filter_map(|slot| slot.deadline).min();
        inner.sleeps_until
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    fn wake_if_earlier(&self, inner: &Inner, id: &str) {
        let deadline = inner.by_id.get(id).and_then(|slot| slot.deadline);
        if let Some(deadline) = deadline
            && inner.sleeps_until.is_none_or(|until| deadline < until)
        {
            self.earlier_deadline.notify_one();
        }
    }
}

impl Inner {
    /// # Errors
    ///
    /// There is no such transactional id, or not any more.
    fn present(&mut self, id: &str) -> Result<&mut Slot, ResponseError> {
        let slot = self.by_id.get_mut(id);
        slot.ok_or(ResponseError::InvalidProducerIdMapping)
    }

    /// Makes `transaction` the state of `id`, first in the journal and then here.
    fn write(&mut self, id: &str, transaction: Transaction) -> Result<(), ResponseError> {
        let entry = Entry::Is {
            id: id.to_owned(),
            transaction,
        };
        self.append(&entry)?;
        if let Entry::Is { id, transaction } = entry {
            self.by_id.insert(id, Slot::new(transaction));
        }
        if self.journal.is_due_for_rewrite() {
            self.rewrite_journal();
        }
        Ok(())
    }

    fn append(&mut self, entry: &Entry) -> Result<(), ResponseError> {
        self.journal.append(entry).map_err(|error| {
            tracing::error!(%error, "cannot write the journal of transactions");
            // Retriable for every client, as a disk may get space again.
            ResponseError::CoordinatorNotAvailable
        })
    }

    /// Tells the participants of a transaction that is decided; what cannot be told is tried again later.
    fn complete(&mut self, participants: Participants<'_>, id: &str) {
        let Some(slot) = self.by_id.get_mut(id) else {
            return;
        };
        let transaction = &slot.transaction;
        let State::Prepared { outcome, scope } = &transaction.state else {
            return;
        };
        slot.deadline = Some(Instant::now() + SETTLE_AGAIN_AFTER);
        match participants.settle(transaction.producer, *outcome, scope) {
            Ok(()) => {
                let complete = transaction.complete(now_ms());
                if self.write(id, complete).is_err() {
                    // All are told again at the deadline, which changes nothing.
                }
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(id, %error, cause, "a transaction is decided and cannot be completed yet");
            }
        }
    }

    fn complete_all(&mut self, participants: Participants<'_>) {
        let ids: Vec<String> = self.by_id.keys().cloned().collect();
        for id in ids {
            self.complete(participants, &id);
        }
    }

    /// Aborts the transaction of a producer whose time is up.
    fn expire(&mut self, id: &str) {
        let Some(slot) = self.by_id.get_mut(id) else {
            return;
        };
        if let Some(fenced) = slot.transaction.fence(now_ms()) {
            tracing::info!(
                id,
                producer = fenced.producer.id,
                "a transaction took too long and is aborted"
            );
            slot.deadline = Some(Instant::now() + SETTLE_AGAIN_AFTER);
            if self.write(id, fenced).is_err() {
                // It is tried again at the deadline.
            }
        }
    }

    /// Whether `producer_id` has an open transaction that concerns `place`.
    fn knows(&self, place: &Place<'_>, producer_id: i64) -> bool {
        self.by_id.values().any(|slot| {
            let transaction = &slot.transaction;
            let concerns = |scope: &Scope| match place {
                Place::Partition(topic, partition) => scope.has_partition(topic, *partition),
                Place::Group(group_id) => scope.has_group(group_id),
            };
            transaction.producer.id == producer_id && transaction.scope().is_some_and(concerns)
        })
    }

    /// Forgets the id that did nothing for longest, if there is no room for one more.
    fn make_room(&mut self) -> Result<(), ResponseError> {
        if self.by_id.len() < MAX_IDS {
            return Ok(());
        }
        let idle = self
            .by_id
            .iter()
            .filter(|(_, slot)| slot.transaction.scope().is_none());
        let longest = idle.min_by_key(|(_, slot)| slot.transaction.changed_ms);
        // All have a transaction: one of them ends soon, or its time is up.
        let id = longest.ok_or(ResponseError::CoordinatorNotAvailable)?.0;
        let id = id.clone();
        self.append(&Entry::Forgotten { id: id.clone() })?;
        self.by_id.remove(&id);
        Ok(())
    }

    fn rewrite_journal(&mut self) {
        let entries = self.by_id.iter().map(|(id, slot)| Entry::Is {
            id: id.clone(),
            transaction: slot.transaction.clone(),
        });
        self.journal.rewrite(entries);
    }
}

#[cfg(test)]
mod tests;
