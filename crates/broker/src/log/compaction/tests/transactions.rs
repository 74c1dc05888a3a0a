//! Transactions are compacted once they have ended: what was committed as anything else, what was aborted as a whole, and
//! markers when nothing before them needs them any more.

use super::*;

impl Log {
    fn transaction(&self, keys: &[&str], producer: (i64, i16, i32), outcome: Outcome) {
        self.batch(keys, TRANSACTIONAL, producer);
        self.end_transaction(producer.0, outcome);
    }

    /// The offsets of the markers.
    fn markers(&self) -> Vec<i64> {
        let mut markers = Vec::new();
        let mut offset = 0;
        while let Some(span) = self.span(offset) {
            let batch = span.read(1, true, i64::MAX).unwrap();
            let header = BatchHeader::parse(&batch).unwrap();
            header.check_crc(&batch).unwrap();
            if header.is_control() {
                markers.push(header.base_offset);
            }
            offset = header.next_offset();
        }
        markers
    }

    fn span(&self, offset: i64) -> Option<Span> {
        self.partition.log().span(offset)
    }

    /// Whether readers of committed records get to the end, now and after a restart.
    fn is_stable(&mut self) -> bool {
        let to_the_end = |log: &Self| {
            let log = log.partition.log();
            log.last_stable_offset() == log.next_offset()
        };
        let before = to_the_end(self);
        self.reopen();
        before && to_the_end(self)
    }

    fn aborted(&self) -> usize {
        self.partition.log().aborted(0, i64::MAX).len()
    }
}

fn seen(expected: &[(i64, &str)]) -> Vec<Seen> {
    let expected = expected.iter();
    expected
        .map(|(offset, key)| (*offset, (*key).to_owned(), true))
        .collect()
}

#[test]
fn what_was_committed_is_compacted_as_anything_else() {
    let mut log = Log::new();
    log.transaction(&["a", "b", "a"], (9, 0, 0), Outcome::Committed);
    log.transaction(&["c", "b"], (9, 0, 3), Outcome::Committed);
    log.put(&["c"]);
    log.seal();

    assert!(log.compact(0));

    let expected = seen(&[(2, "a"), (5, "b"), (7, "c")]);
    assert_eq!(log.from(0), expected);
    let header = BatchHeader::parse(&log.first_batch()).unwrap();
    assert!(header.is_transactional());
    assert!(log.is_stable());
    assert_eq!(log.from(0), expected, "after a restart");
}

#[test]
fn what_was_aborted_goes_and_hides_nothing() {
    let mut log = Log::new();
    log.put(&["a"]);
    log.transaction(&["a", "b"], (9, 0, 0), Outcome::Aborted);
    log.transaction(&["b"], (9, 0, 2), Outcome::Committed);
    log.seal();

    assert!(log.compact(0));

    assert_eq!(log.from(0), seen(&[(0, "a"), (4, "b")]));
    assert!(log.is_stable());
    assert_eq!(log.from(0), seen(&[(0, "a"), (4, "b")]));
}

#[test]
fn a_marker_goes_some_time_after_the_last_batch_of_its_transaction() {
    let mut log = Log::new();
    for sequence in 0..4 {
        let outcome = match sequence {
            1 => Outcome::Aborted,
            _ => Outcome::Committed,
        };
        log.transaction(&["a"], (9, 0, sequence), outcome);
    }
    log.seal();

    assert!(log.compact(10_000));
    assert_eq!(log.from(0), seen(&[(6, "a")]));
    assert_eq!(log.markers(), [1, 3, 5, 7], "readers may need them");
    assert_eq!(log.aborted(), 1);
    log.compact(10_999);
    assert_eq!(log.markers(), [1, 3, 5, 7]);

    assert!(log.compact(11_000));
    assert_eq!(log.markers(), [7], "its batch is there");
    assert_eq!(log.aborted(), 0, "nobody waits for a marker that is gone");
    assert!(log.is_stable());
    assert_eq!(log.from(0), seen(&[(6, "a")]));
}

#[test]
fn the_emptied_last_batch_of_a_producer_keeps_its_marker() {
    let mut log = Log::new();
    log.transaction(&["a"], (9, 0, 0), Outcome::Aborted);
    log.put(&["b"]);
    log.seal();

    log.compact(10_000);
    log.compact(20_000);

    assert_eq!(log.from(0), seen(&[(2, "b")]));
    assert_eq!(log.markers(), [1], "its transaction would seem to be open");
    assert!(log.is_stable());
    // Refused as out of order if the broker had forgotten sequence 0.
    log.transaction(&["c"], (9, 0, 1), Outcome::Committed);
    assert_eq!(log.keys(), ["b", "c"]);
}

#[test]
fn a_topic_of_transactions_does_not_grow() {
    let log = Log::new();
    let size = || -> u64 {
        let log = log.partition.log();
        log.segments.iter().map(|segment| segment.size).sum()
    };
    let mut sizes = Vec::new();
    for round in 0..20 {
        let outcome = match round % 3 {
            0 => Outcome::Aborted,
            _ => Outcome::Committed,
        };
        log.transaction(&["a", "b"], (9, 0, 2 * round), outcome);
        log.seal();
        log.compact(i64::from(round) * 1_000);
        sizes.push(size());
    }

    let early = sizes[5..10].iter().max();
    let late = sizes[15..].iter().max();
    // A batch says how far its records are from the time at which it may go, in a byte or two more as that passes.
    assert!(late <= early.map(|early| early + 8).as_ref(), "{sizes:?}");
}
