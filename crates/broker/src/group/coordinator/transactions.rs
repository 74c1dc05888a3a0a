//! The part of groups in transactions: offsets that count only when their transaction is committed.
//!
//! Who is in which transaction is not known here; see `crate::transaction`.

use kafka_protocol::error::ResponseError;

use super::super::entry::Entry;
use super::super::machine::Caller;
use super::super::offsets::Offsets;
use super::super::slot::Slot;
use super::Coordinator;
use crate::log::Outcome;

impl Coordinator {
    /// Commits `offsets` as `caller` in the transaction of `producer_id`: they count once it is settled.
    ///
    /// # Errors
    ///
    /// Nothing was committed: the caller is no member, or of another generation (KIP-447).
    pub(crate) fn commit_pending(
        &self,
        group_id: &str,
        caller: &Caller,
        producer_id: i64,
        offsets: Offsets,
    ) -> Result<(), ResponseError> {
        let mut inner = self.inner();
        match inner.groups.get_mut(group_id) {
            Some(slot) => slot.may_commit_in_transaction(caller)?,
            None if caller.generation < 0 => {}
            None => return Err(ResponseError::IllegalGeneration),
        }
        if offsets.is_empty() {
            return Ok(());
        }
        let entry = Entry::Pending {
            group: group_id.to_owned(),
            producer_id,
            offsets,
        };
        inner.write(&entry)?;
        if let Entry::Pending { offsets, .. } = entry {
            let slot = self.slot(&mut inner, group_id);
            slot.pending.add(producer_id, offsets);
        }
        inner.rewrite_journal_if_due();
        Ok(())
    }

    /// Makes the pending offsets of `producer_id` count, or drops them; done again, it changes nothing.
    ///
    /// # Errors
    ///
    /// They are still pending.
    pub(crate) fn settle(
        &self,
        group_id: &str,
        producer_id: i64,
        outcome: Outcome,
    ) -> Result<(), ResponseError> {
        let mut inner = self.inner();
        let is_pending = |slot: &Slot| slot.pending.has(producer_id);
        if !inner.groups.get(group_id).is_some_and(is_pending) {
            return Ok(());
        }
        inner.write(&Entry::Settled {
            group: group_id.to_owned(),
            producer_id,
            outcome,
        })?;
        let slot = self.slot(&mut inner, group_id);
        slot.settle(producer_id, outcome);
        if slot.is_unused() {
            inner.groups.remove(group_id);
        }
        inner.rewrite_journal_if_due();
        Ok(())
    }

    /// Who has pending offsets in which group.
    pub(crate) fn pending(&self) -> Vec<(String, i64)> {
        let inner = self.inner();
        let groups = inner.groups.iter();
        groups
            .flat_map(|(id, slot)| {
                let producers = slot.pending.iter();
                producers.map(move |(producer_id, _)| (id.clone(), producer_id))
            })
            .collect()
    }
}
