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
    /// From the oldest unfinished record on.
    tracked: VecDeque<(Offset, State)>,
    /// The ticket of the first one in `tracked`.
    first: u64,
    /// The ticket of the first record, from the front, that is not even ready.
    unready: u64,
    next: Option<NextOffset>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unfinished,
    /// Handled, and waiting for its commit.
    Ready,
    Finished,
}

impl Watermark {
    /// Tracks a record. Records must come in offset order.
    pub(crate) fn track(&mut self, offset: Offset) -> Ticket {
        let ticket = Ticket(self.first + self.tracked.len() as u64);
        self.tracked.push_back((offset, State::Unfinished));
        ticket
    }

    /// Marks a record ready to be committed.
    pub(crate) fn ready(&mut self, ticket: Ticket) {
        if let Some(entry) = self.entry(ticket) {
            entry.1 = State::Ready;
        }
    }

    /// Whether every record up to this one is ready or finished.
    pub(crate) fn completes_prefix(&mut self, ticket: Ticket) -> bool {
        self.unready = self.unready.max(self.first);
        while let Some((_, state)) = self.tracked.get((self.unready - self.first) as usize)
            && *state != State::Unfinished
        {
            self.unready += 1;
        }
        ticket.0 < self.unready
    }

    /// Marks a record finished; says whether the watermark moved. Finishing twice changes nothing.
    pub(crate) fn finish(&mut self, ticket: Ticket) -> bool {
        if let Some(entry) = self.entry(ticket) {
            entry.1 = State::Finished;
        }
        let before = self.next;
        while let Some(&(offset, State::Finished)) = self.tracked.front() {
            self.tracked.pop_front();
            self.first += 1;
            self.next = Some(offset.next());
        }
        self.next != before
    }

    /// Whether everything below this record is finished.
    pub(crate) fn has_reached(&self, ticket: Ticket) -> bool {
        self.first >= ticket.0
    }

    /// The offset to read next if the process ended now; `None` if nothing has been finished yet.
    pub(crate) fn next(&self) -> Option<NextOffset> {
        self.next
    }

    /// The offset below which everything is finished: what is below the first record that came, others have finished.
    /// `None` if none came.
    pub(crate) fn position(&self) -> Option<NextOffset> {
        let first = || self.oldest().map(|(_, offset)| NextOffset(offset.0));
        self.next.or_else(first)
    }

    /// The oldest unfinished record.
    pub(crate) fn oldest(&self) -> Option<(Ticket, Offset)> {
        let (offset, _) = self.tracked.front()?;
        Some((Ticket(self.first), *offset))
    }

    fn entry(&mut self, ticket: Ticket) -> Option<&mut (Offset, State)> {
        let index = ticket.0.checked_sub(self.first)?;
        self.tracked.get_mut(index as usize)
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

    #[test]
    fn a_prefix_is_complete_when_nothing_below_is_unfinished() {
        let mut watermark = Watermark::default();
        let tickets: Vec<_> = (0..3).map(|n| watermark.track(Offset(n))).collect();

        watermark.ready(tickets[2]);
        watermark.ready(tickets[0]);
        assert!(watermark.completes_prefix(tickets[0]));
        assert!(!watermark.completes_prefix(tickets[2]));
        watermark.finish(tickets[0]);
        watermark.ready(tickets[1]);
        assert!(watermark.completes_prefix(tickets[2]));
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
