//! What a transaction may move: batches of messages that were delivered in the present stay of their partitions.

use std::collections::HashMap;

use longshore_event::{NextOffset, Offset, TopicPartition};

use super::{Ledger, Line, State};
use crate::native::Standing;

/// The part of a batch that is of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Its first message.
    pub(crate) first: Offset,
    /// What is read next once all of it is committed.
    pub(crate) next: NextOffset,
}

/// A batch, by partition.
pub(crate) type Spans = HashMap<TopicPartition, Span>;

/// Whether a transaction may move these offsets.
#[derive(Debug)]
pub(crate) enum Enlisted<M> {
    /// It may, as this member.
    As(M, Vec<(TopicPartition, NextOffset)>),
    /// An earlier transaction did so already, whose outcome had been unknown; or there is nothing to move.
    Covered,
    /// An earlier transaction did so for some of the messages.
    Overlapping,
    /// The partition is not this member's any more, or the messages are of an earlier stay of it.
    Foreign(TopicPartition),
    /// The client is no member at the moment, or not the one any more whose partitions these are.
    Nobody,
}

impl Ledger {
    /// From now on offsets move in transactions; nothing but what is left over at a revocation is committed here.
    pub(crate) fn leave_to_transactions(&self) {
        self.lock().in_transactions = true;
    }

    /// The first record of a stay is about to be delivered.
    pub(crate) fn began(&self, partition: &TopicPartition, first: Offset) {
        if let Some(line) = self.lock().partitions.get_mut(partition) {
            line.began = Some(first);
        }
    }

    /// A partition of the batch that is not this member's any more.
    pub(crate) fn foreign(&self, batch: &Spans) -> Option<TopicPartition> {
        self.lock().foreign(batch)
    }

    /// Puts a batch, and what else is finished, into a transaction, as the member that `member` tells. The batch may be
    /// empty.
    ///
    /// The two belong together: while a partition stands here, whoever has it next joins in a later generation, which
    /// fences the member that is told now. Told later, the member might be one of that later generation. For the same
    /// reason a member that was thrown out and is back puts in nothing before the source has seen it.
    pub(crate) fn enlist<M>(
        &self,
        batch: &Spans,
        member: impl FnOnce() -> Option<(Standing, M)>,
    ) -> Enlisted<M> {
        let mut state = self.lock();
        if let Some(partition) = state.foreign(batch) {
            return Enlisted::Foreign(partition);
        }
        let (whole, part) = state.covered(batch);
        if whole == batch.len() && !batch.is_empty() {
            return Enlisted::Covered;
        }
        if whole + part > 0 {
            return Enlisted::Overlapping;
        }
        let member = member().filter(|(standing, _)| state.goes_on_as(standing));
        let Some((_, member)) = member else {
            return Enlisted::Nobody;
        };
        let mut offsets = Vec::with_capacity(batch.len());
        for (partition, line) in &mut state.partitions {
            let finished = line
                .latest
                .filter(|next| line.known && line.is_left_over(*next));
            let span = batch.get(partition);
            let next = span.map(|span| line.past_markers(span.next)).max(finished);
            if let Some(next) = next {
                line.enlisted = true;
                offsets.push((partition.clone(), next));
            }
        }
        if offsets.is_empty() {
            return Enlisted::Covered;
        }
        Enlisted::As(member, offsets)
    }

    /// Whether anything is finished that no transaction has, such as a message that was skipped.
    pub(crate) fn has_left_over(&self) -> bool {
        let state = self.lock();
        let mut lines = state.partitions.values();
        lines.any(|line| line.latest.is_some_and(|next| line.is_left_over(next)))
    }

    /// The partitions that a transaction with this batch moves, and of which it has not been found out yet what the group
    /// had committed before this stay.
    pub(crate) fn unknown(&self, batch: &Spans) -> Vec<TopicPartition> {
        let state = self.lock();
        let lines = state.partitions.iter();
        let moves = lines.filter(|(partition, line)| {
            !line.known && (batch.contains_key(partition) || line.latest.is_some())
        });
        moves.map(|(partition, _)| partition.clone()).collect()
    }

    /// Takes what the group has committed, `None` for nothing. What lies below has taken effect: it is not put into
    /// transactions again, should it be read again.
    pub(crate) fn cover(&self, offsets: &[(TopicPartition, Option<NextOffset>)]) {
        let mut state = self.lock();
        for (partition, next) in offsets {
            if let Some(line) = state.partitions.get_mut(partition) {
                line.known = true;
                line.covered = line.covered.max(*next);
            }
        }
    }

    /// Takes the outcome of a transaction, once it is known.
    pub(crate) fn conclude(&self, offsets: &[(TopicPartition, NextOffset)], committed: bool) {
        let mut state = self.lock();
        for (partition, next) in offsets {
            if let Some(line) = state.partitions.get_mut(partition) {
                line.enlisted = false;
                if committed {
                    line.covered = line.covered.max(Some(*next));
                }
            }
        }
    }
}

impl State {
    /// Notes what is finished, for the next transaction to take along.
    pub(super) fn note(&mut self, offsets: &[(TopicPartition, NextOffset)]) {
        for (partition, next) in offsets {
            // What was finished in an earlier stay says nothing about this one.
            if let Some(line) = self.partitions.get_mut(partition)
                && line.began.is_some_and(|began| began.next() <= *next)
            {
                line.latest = Some(line.past_markers(*next));
            }
        }
    }

    fn foreign(&self, batch: &Spans) -> Option<TopicPartition> {
        let foreign = batch.iter().find(|(partition, span)| {
            let began = self.partitions.get(*partition).and_then(|line| line.began);
            began.is_none_or(|began| began > span.first)
        });
        foreign.map(|(partition, _)| partition.clone())
    }

    /// How many spans of the batch are committed as a whole, and how many in part.
    fn covered(&self, batch: &Spans) -> (usize, usize) {
        let (mut whole, mut part) = (0, 0);
        for (partition, span) in batch {
            match self.partitions.get(partition).and_then(|line| line.covered) {
                Some(covered) if covered >= span.next => whole += 1,
                Some(covered) if covered >= span.first.next() => part += 1,
                _ => {}
            }
        }
        (whole, part)
    }
}

impl Line {
    /// Whether this, which is finished, has been committed by no transaction and is in none.
    pub(super) fn is_left_over(&self, next: NextOffset) -> bool {
        !self.enlisted && self.covered < Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> TopicPartition {
        TopicPartition::new("t", number)
    }

    fn batch(spans: &[(i32, i64, i64)]) -> Spans {
        let span = |(number, first, next): &(i32, i64, i64)| {
            let (first, next) = (Offset(*first), NextOffset(*next));
            (partition(*number), Span { first, next })
        };
        spans.iter().map(span).collect()
    }

    /// A ledger whose partitions 0 and 1 were delivered from these offsets on.
    fn ledger(first: i64, second: i64) -> Ledger {
        let ledger = Ledger::default();
        ledger.leave_to_transactions();
        ledger.add(&[partition(0), partition(1)]);
        ledger.began(&partition(0), Offset(first));
        ledger.began(&partition(1), Offset(second));
        ledger
    }

    fn standing(member: &str, generation: i32) -> Standing {
        let member = member.to_owned();
        Standing { member, generation }
    }

    fn member() -> Option<(Standing, ())> {
        Some((standing("m", 1), ()))
    }

    fn enlist(ledger: &Ledger, spans: &[(i32, i64, i64)]) -> Vec<(TopicPartition, NextOffset)> {
        match ledger.enlist(&batch(spans), member) {
            Enlisted::As((), mut offsets) => {
                offsets.sort();
                offsets
            }
            other => panic!("not enlisted: {other:?}"),
        }
    }

    #[track_caller]
    fn is_foreign(ledger: &Ledger, spans: &[(i32, i64, i64)]) {
        let enlisted = ledger.enlist(&batch(spans), member);
        assert!(matches!(enlisted, Enlisted::Foreign(_)), "{enlisted:?}");
    }

    #[test]
    fn a_batch_of_an_earlier_stay_is_foreign() {
        let ledger = ledger(5, 0);
        is_foreign(&ledger, &[(2, 0, 1)]);

        // Another member got to 8 meanwhile.
        ledger.settle(&[partition(0)], Vec::new());
        is_foreign(&ledger, &[(0, 5, 7)]);
        ledger.add(&[partition(0)]);
        is_foreign(&ledger, &[(0, 5, 7)]);
        ledger.began(&partition(0), Offset(8));
        is_foreign(&ledger, &[(0, 5, 7)]);
        enlist(&ledger, &[(0, 8, 9)]);
    }

    #[test]
    fn who_is_no_member_enlists_nothing() {
        let ledger = ledger(0, 0);
        let enlisted = ledger.enlist(&batch(&[(0, 0, 1)]), || None::<(_, ())>);
        assert!(matches!(enlisted, Enlisted::Nobody), "{enlisted:?}");
    }

    #[test]
    fn who_was_thrown_out_and_is_back_enlists_nothing_before_the_source_has_seen_it() {
        let ledger = ledger(0, 0);
        assert!(ledger.stands(standing("m", 5)));
        let enlist_as = |now: &Standing| {
            let enlisted = ledger.enlist(&batch(&[(0, 0, 1)]), || Some((now.clone(), ())));
            !matches!(enlisted, Enlisted::Nobody)
        };
        assert!(enlist_as(&standing("m", 5)));
        assert!(enlist_as(&standing("m", 6)), "it heard of the next one");

        for back in [standing("n", 6), standing("n", 5), standing("m", 7)] {
            assert!(!enlist_as(&back), "{back:?}");
        }
        assert!(!ledger.stands(standing("n", 7)));
        assert!(enlist_as(&standing("n", 7)));
    }

    fn nothing_committed_before(ledger: &Ledger) {
        ledger.cover(&[(partition(0), None), (partition(1), None)]);
    }

    #[test]
    fn what_was_skipped_moves_with_the_next_transaction() {
        let ledger = ledger(0, 0);
        nothing_committed_before(&ledger);
        let skipped = [(partition(1), NextOffset(4))];
        assert_eq!(ledger.lock().take(&skipped), [], "not by itself");

        let offsets = enlist(&ledger, &[(0, 0, 2)]);

        let expected = [(partition(0), NextOffset(2)), (partition(1), NextOffset(4))];
        assert_eq!(offsets, expected);
        ledger.conclude(&offsets, true);
        let next = enlist(&ledger, &[(0, 2, 3)]);
        assert_eq!(next, [(partition(0), NextOffset(3))]);
    }

    #[test]
    fn what_was_skipped_is_left_over_until_a_transaction_of_its_own_has_moved_it() {
        let ledger = ledger(0, 0);
        assert!(!ledger.has_left_over());
        ledger.lock().take(&[(partition(1), NextOffset(4))]);
        assert!(ledger.has_left_over());
        let empty = ledger.enlist(&batch(&[]), member);
        assert!(matches!(empty, Enlisted::Covered), "not known: {empty:?}");
        assert_eq!(ledger.unknown(&batch(&[])), [partition(1)]);

        nothing_committed_before(&ledger);
        let offsets = enlist(&ledger, &[]);

        assert_eq!(offsets, [(partition(1), NextOffset(4))]);
        ledger.conclude(&offsets, true);
        assert!(!ledger.has_left_over());
    }

    #[test]
    fn what_was_skipped_below_the_groups_offset_does_not_set_that_back() {
        let ledger = ledger(0, 0);
        ledger.lock().take(&[(partition(1), NextOffset(4))]);
        ledger.cover(&[(partition(1), Some(NextOffset(9)))]);
        assert!(!ledger.has_left_over());
        assert_eq!(
            enlist(&ledger, &[(0, 0, 2)]),
            [(partition(0), NextOffset(2))]
        );

        let not_known = self::ledger(0, 0);
        let finished = vec![(partition(1), NextOffset(4))];
        assert!(not_known.settle(&[partition(1)], finished).is_empty());
    }

    #[test]
    fn a_batch_that_turns_out_to_be_committed_is_covered_as_a_whole_or_in_part() {
        let ledger = ledger(0, 0);
        let offsets = enlist(&ledger, &[(0, 0, 3), (1, 0, 2)]);
        ledger.conclude(&offsets, true);
        let again = |spans: &[_]| ledger.enlist(&batch(spans), member);
        assert!(matches!(again(&[(0, 0, 3), (1, 0, 2)]), Enlisted::Covered));
        assert!(matches!(again(&[(0, 0, 2)]), Enlisted::Covered));
        assert!(matches!(again(&[(0, 2, 4)]), Enlisted::Overlapping));
        assert!(matches!(
            again(&[(0, 3, 4), (1, 1, 2)]),
            Enlisted::Overlapping
        ));
        assert!(matches!(again(&[(0, 3, 4)]), Enlisted::As(..)));
    }

    #[test]
    fn what_the_group_has_committed_before_is_covered_and_asked_for_once_a_stay() {
        let ledger = ledger(0, 0);
        let both = batch(&[(0, 0, 3), (1, 0, 2)]);
        assert_eq!(ledger.unknown(&both).len(), 2);
        ledger.cover(&[(partition(0), Some(NextOffset(2))), (partition(1), None)]);
        assert_eq!(ledger.unknown(&both), []);

        let enlist_first = |next| ledger.enlist(&batch(&[(0, 0, next)]), member);
        assert!(matches!(enlist_first(2), Enlisted::Covered));
        assert!(matches!(enlist_first(3), Enlisted::Overlapping));
        enlist(&ledger, &[(0, 2, 3), (1, 0, 2)]);

        ledger.settle(&[partition(0)], Vec::new());
        ledger.add(&[partition(0)]);
        assert_eq!(ledger.unknown(&both), [partition(0)]);
    }

    #[test]
    fn only_what_no_transaction_has_is_committed_when_a_partition_goes() {
        let left = |ledger: &Ledger, next| {
            let finished = vec![(partition(0), NextOffset(next))];
            ledger.settle(&[partition(0)], finished)
        };
        let committed = ledger(0, 0);
        let offsets = enlist(&committed, &[(0, 0, 3)]);
        committed.conclude(&offsets, true);
        assert!(left(&committed, 3).is_empty());

        let skipped = ledger(0, 0);
        nothing_committed_before(&skipped);
        let expected = HashMap::from([(partition(0), NextOffset(2))]);
        assert_eq!(left(&skipped, 2), expected);

        let under_way = ledger(0, 0);
        enlist(&under_way, &[(0, 0, 3)]);
        assert!(left(&under_way, 2).is_empty());
    }
}
