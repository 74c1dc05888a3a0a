//! The deliveries of one batch, counted together, so that the sender is woken once and not once a record.

use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::{ClientError, Messages};

/// Records that were sent together. It lives until the last of them has been reported, whoever still waits for it.
#[derive(Debug)]
pub(crate) struct Batch {
    /// One for each record, whose address librdkafka keeps.
    slots: Box<[Slot]>,
    outstanding: AtomicUsize,
    failures: Mutex<Vec<(usize, ClientError)>>,
    done: Notify,
}

#[derive(Debug)]
struct Slot {
    batch: *const Batch,
    index: usize,
}

// SAFETY: the pointer is only followed while a count of the batch is held for it.
unsafe impl Send for Slot {}
// SAFETY: as above; nothing in a slot changes.
unsafe impl Sync for Slot {}

impl Batch {
    /// A batch of `count` records, none of which has been reported.
    pub(crate) fn new(count: usize) -> Arc<Self> {
        Arc::new_cyclic(|batch| Self {
            slots: (0..count)
                .map(|index| Slot {
                    batch: batch.as_ptr(),
                    index,
                })
                .collect(),
            outstanding: AtomicUsize::new(count),
            failures: Mutex::new(Vec::new()),
            done: Notify::new(),
        })
    }

    /// Waits until every record has been reported; gives the failures by index, in any order.
    pub(crate) async fn wait(&self) -> Vec<(usize, ClientError)> {
        while self.outstanding.load(Ordering::Acquire) > 0 {
            self.done.notified().await;
        }
        std::mem::take(&mut *self.failures.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reports one record.
    pub(crate) fn report(&self, index: usize, error: Option<ClientError>) {
        if let Some(error) = error {
            let failures = self.failures.lock();
            let mut failures = failures.unwrap_or_else(PoisonError::into_inner);
            failures.push((index, error));
        }
        if self.outstanding.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Keeps a permit if nobody waits yet.
            self.done.notify_one();
        }
    }

    /// Reports the records of a delivery report, to the batches they came from.
    pub(crate) fn deliver(mut messages: Messages) {
        while let Some(message) = messages.next() {
            // SAFETY: every message of our producers has an opaque of `to_opaque`, and is reported once.
            let (batch, index) = unsafe { Self::from_opaque(message.opaque()) };
            batch.report(index, message.error());
        }
    }

    /// What librdkafka keeps with a record; it holds a count of the batch.
    pub(super) fn to_opaque(batch: &Arc<Self>, index: usize) -> *mut c_void {
        let counted = Arc::into_raw(Arc::clone(batch));
        let slot = &batch.slots[index];
        debug_assert_eq!(slot.batch, counted);
        (slot as *const Slot).cast_mut().cast()
    }

    /// Undoes [`Batch::to_opaque`] for a record that librdkafka did not take.
    ///
    /// # Safety
    /// `opaque` is of `to_opaque`, and is not used again.
    pub(super) unsafe fn take_back(opaque: *mut c_void) {
        // SAFETY: as the caller promised.
        drop(unsafe { Self::from_opaque(opaque) });
    }

    unsafe fn from_opaque(opaque: *mut c_void) -> (Arc<Self>, usize) {
        // SAFETY: the slot lives in its batch, of which `to_opaque` left a count that is taken over here.
        unsafe {
            let slot = &*opaque.cast::<Slot>();
            let index = slot.index;
            (Arc::from_raw(slot.batch), index)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_batch_is_done_when_its_last_record_is_reported() {
        let batch = Batch::new(3);
        batch.report(2, None);
        let waiting = tokio::spawn({
            let batch = Arc::clone(&batch);
            async move { batch.wait().await }
        });
        let failure = ClientError {
            code: rdkafka::types::RDKafkaErrorCode::QueueFull,
            reason: "full".to_owned(),
        };
        batch.report(1, Some(failure));
        assert!(!waiting.is_finished());
        batch.report(0, None);
        let failures = waiting.await.expect("no panic");
        assert_eq!(failures.len(), 1);
        assert_eq!(failures[0].0, 1);
    }

    #[test]
    fn what_librdkafka_holds_keeps_the_batch_alive() {
        let batch = Batch::new(2);
        let opaque = Batch::to_opaque(&batch, 1);
        let weak = Arc::downgrade(&batch);
        drop(batch);
        assert!(weak.upgrade().is_some());
        // SAFETY: it is of `to_opaque`, above.
        let (back, index) = unsafe { Batch::from_opaque(opaque) };
        assert_eq!(index, 1);
        drop(back);
        assert!(weak.upgrade().is_none());
    }
}
