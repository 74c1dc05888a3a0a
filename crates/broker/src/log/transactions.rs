//! The transactions in one partition: which are open, and which were aborted and have records in the log.
//!
//! Readers of committed records stop before the first open transaction, and are told which records to
//! skip (KIP-98).

use std::collections::{HashMap, HashSet};

use super::batch::BatchHeader;
use super::marker::Outcome;

/// A transaction that was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) producer_id: i64,
    /// The offset of the first record.
    pub(crate) first_offset: i64,
    /// The offset of the marker behind the last record.
    marker_offset: i64,
}

/// What is remembered of the transactions in a partition; rebuilt when a log is opened.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    /// Each producer's open transaction. As many as there are transactional producers at most, which is
    /// bounded by the coordinator of transactions.
    open: HashMap<i64, Open>,
    /// By the offset of the marker. Grows by 24 bytes for each aborted transaction in the log.
    aborted: Vec<Aborted>,
}

/// Where the records of an open transaction are so far.
#[derive(Debug, Clone, Copy)]
struct Open {
    first_offset: i64,
    /// The offset after the last record.
    next_offset: i64,
}

impl Transactions {
    /// Notes that the batch of data with `header` is in the log at its base offset.
    pub(super) fn note_data(&mut self, header: &BatchHeader) {
        if header.is_transactional() && !header.is_control() {
            let open = self.open.entry(header.producer_id).or_insert(Open {
                first_offset: header.base_offset,
                next_offset: header.base_offset,
            });
            open.next_offset = header.next_offset();
        }
    }

    /// Notes that the marker with `header` is in the log at its base offset.
    pub(super) fn note_marker(&mut self, header: &BatchHeader, outcome: Outcome) {
        let open = self.open.remove(&header.producer_id);
        if let (Some(open), Outcome::Aborted) = (open, outcome) {
            self.aborted.push(Aborted {
                producer_id: header.producer_id,
                first_offset: open.first_offset,
                marker_offset: header.base_offset,
            });
        }
    }

    pub(super) fn is_open(&self, producer_id: i64) -> bool {
        self.open.contains_key(&producer_id)
    }

    /// The producers that have an open transaction.
    pub(super) fn open_producers(&self) -> impl Iterator<Item = i64> {
        self.open.keys().copied()
    }

    /// The first offset of the open transactions.
    pub(super) fn first_open(&self) -> Option<i64> {
        self.open.values().map(|open| open.first_offset).min()
    }

    /// Forgets what has no record from `start` on, which is the log start offset now.
    ///
    /// An open transaction that is forgotten needs no marker, and bounds readers no longer; should its
    /// producer write again, it begins there.
    pub(super) fn forget_below(&mut self, start: i64) {
        self.open.retain(|_, open| open.next_offset > start);
        let gone = self
            .aborted
            .partition_point(|aborted| aborted.marker_offset < start);
        self.aborted.drain(..gone);
    }

    /// The aborted transactions with records from `from` on and below `until`.
    ///
    /// One whose marker is below `from` must not be among them: a reader would never come to its marker,
    /// and skip what the same producer committed later.
    pub(super) fn aborted(&self, from: i64, until: i64) -> Vec<Aborted> {
        let skip = self
            .aborted
            .partition_point(|aborted| aborted.marker_offset < from);
        let rest = self.aborted[skip..].iter();
        rest.filter(|aborted| aborted.first_offset < until)
            .copied()
            .collect()
    }

    /// The batches of aborted transactions.
    pub(super) fn aborted_batches(&self) -> AbortedBatches {
        let mut by_producer: HashMap<i64, Vec<Aborted>> = HashMap::new();
        for aborted in &self.aborted {
            let of = by_producer.entry(aborted.producer_id).or_default();
            of.push(*aborted);
        }
        AbortedBatches { by_producer }
    }

    /// Forgets the transactions whose markers are at these offsets: nothing of them is in the log any more, and a reader
    /// that was told of one would wait for its marker.
    pub(super) fn forget_markers(&mut self, offsets: &HashSet<i64>) {
        self.aborted
            .retain(|aborted| !offsets.contains(&aborted.marker_offset));
    }
}

/// Which batches are of transactions that were aborted.
#[derive(Debug, Default)]
pub(super) struct AbortedBatches {
    /// In the order of their markers, and so of their records.
    by_producer: HashMap<i64, Vec<Aborted>>,
}

impl AbortedBatches {
    /// Whether the batch of data with `header` is one of them.
    pub(super) fn has(&self, header: &BatchHeader) -> bool {
        let Some(of) = self.by_producer.get(&header.producer_id) else {
            return false;
        };
        let over = of.partition_point(|aborted| aborted.marker_offset < header.base_offset);
        let ends_next = of.get(over);
        header.is_transactional()
            && ends_next.is_some_and(|aborted| aborted.first_offset <= header.base_offset)
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::BatchOf;
    use super::*;

    fn header(producer_id: i64, base_offset: i64) -> BatchHeader {
        let batch = BatchOf {
            producer: (producer_id, 0, 0),
            transactional: true,
            ..BatchOf::default()
        };
        BatchHeader {
            base_offset,
            ..batch.checked().header
        }
    }

    #[test]
    fn the_first_open_transaction_bounds_what_is_stable() {
        let mut transactions = Transactions::default();
        transactions.note_data(&header(1, 10));
        transactions.note_data(&header(2, 20));
        transactions.note_data(&header(1, 30));
        assert_eq!(transactions.first_open(), Some(10));

        transactions.note_marker(&header(1, 40), Outcome::Committed);
        assert_eq!(transactions.first_open(), Some(20));

        transactions.note_marker(&header(2, 50), Outcome::Aborted);
        assert_eq!(transactions.first_open(), None);
    }

    #[test]
    fn only_aborted_transactions_that_reach_into_the_range_are_told() {
        let mut transactions = Transactions::default();
        transactions.note_data(&header(1, 10));
        transactions.note_marker(&header(1, 12), Outcome::Aborted);
        transactions.note_data(&header(1, 20));
        transactions.note_marker(&header(1, 22), Outcome::Committed);
        transactions.note_data(&header(1, 30));
        transactions.note_marker(&header(1, 32), Outcome::Aborted);
        let firsts = |from, until| -> Vec<i64> {
            let aborted = transactions.aborted(from, until);
            aborted.iter().map(|aborted| aborted.first_offset).collect()
        };

        assert_eq!(firsts(0, 100), [10, 30]);
        assert_eq!(firsts(12, 100), [10, 30], "the marker is still to be read");
        assert_eq!(firsts(13, 100), [30]);
        assert_eq!(firsts(13, 30), [0; 0], "begins behind the range");
        assert_eq!(firsts(33, 100), [0; 0]);
    }

    #[test]
    fn what_is_below_the_log_start_is_forgotten() {
        let mut transactions = Transactions::default();
        transactions.note_data(&header(1, 10));
        transactions.note_marker(&header(1, 12), Outcome::Aborted);
        transactions.note_data(&header(2, 20));
        transactions.note_data(&header(3, 21));
        transactions.note_data(&header(3, 23));

        transactions.forget_below(12);
        assert_eq!(transactions.aborted(0, 100).len(), 1, "its marker is left");
        transactions.forget_below(23);
        assert_eq!(transactions.aborted(0, 100), []);
        assert!(!transactions.is_open(2), "all of its records are gone");
        assert_eq!(transactions.first_open(), Some(21), "one of two is left");
        transactions.forget_below(24);
        assert_eq!(transactions.first_open(), None);
    }

    #[test]
    fn a_marker_without_records_is_nothing_to_skip() {
        let mut transactions = Transactions::default();

        transactions.note_marker(&header(1, 5), Outcome::Aborted);

        assert_eq!(transactions.aborted(0, 100), []);
    }
}
