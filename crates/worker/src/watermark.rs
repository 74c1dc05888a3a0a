//! The watermark of a partition: the offset below which everything is finished. Only that may be committed.

use std::collections::VecDeque;

use longshore_event::{NextOffset, Offset};

/// Stands for one tracked record of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// Tracks what is unfinished in one partition. All operations are O(1), amortised.
///
/// Offsets need not be contiguous: compaction and transaction markers leave gaps, so tickets count, and offsets are
/// only kept.
#[derive(Debug, Default)]
pub(crate) struct Watermark {
    /// From the oldest unfinished record on; `true` once finished.
    tracked: VecDeque<(Offset, bool)>,
    /// The ticket of the first one in `tracked`.
    first: u64,
    next: Option<NextOffset>,
}

impl Watermark {
    /// Tracks a record. Records must come in offset order.
    pub(crate) fn track(&mut self, offset: Offset) -> Ticket {
        let ticket = Ticket(self.first + self.tracked.len() as u64);
        self.tracked.push_back((offset, false));
        ticket
    }

    /// Marks a record finished; says whether the watermark moved. Finishing twice changes nothing.
    pub(crate) fn finish(&mut self, ticket: Ticket) -> bool {
        let Some(index) = ticket.0.checked_sub(self.first) else {
            return false;
        };
        if let Some(entry) = self.tracked.get_mut(index as usize) {
            entry.1 = true;
        }
        let before = self.next;
        while let Some(&(offset, true)) = self.tracked.front() {
            self.tracked.pop_front();
            self.first += 1;
            self.next = Some(offset.next());
        }
        self.next != before
    }

    /// The offset to read next if the process ended now; `None` if nothing has been finished yet.
    pub(crate) fn next(&self) -> Option<NextOffset> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_gap_holds_the_watermark_back() {
        let mut watermark = Watermark::default();
        let first = watermark.track(Offset(10));
        let second = watermark.track(Offset(15));

        assert!(!watermark.finish(second));
        assert_eq!(watermark.next(), None);
        assert!(watermark.finish(first));
        assert_eq!(watermark.next(), Some(NextOffset(16)));
        assert!(!watermark.finish(first), "finished before");
    }

    proptest! {
        #[test]
        fn it_is_the_end_of_the_finished_prefix(order in Just((0..40usize).collect::<Vec<_>>()).prop_shuffle(), gaps in prop::collection::vec(1..5i64, 40)) {
            let mut watermark = Watermark::default();
            let mut offset = 0;
            let tracked: Vec<_> = gaps.iter().map(|gap| {
                offset += gap;
                (Offset(offset), watermark.track(Offset(offset)))
            }).collect();
            let mut done = [false; 40];
            for index in order {
                watermark.finish(tracked[index].1);
                done[index] = true;
                let prefix = done.iter().take_while(|done| **done).count();
                let expected = prefix.checked_sub(1).map(|last| tracked[last].0.next());
                prop_assert_eq!(watermark.next(), expected);
            }
        }
    }
}
