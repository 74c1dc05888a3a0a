//! Idempotent producers of one partition: is a batch new, a repeat, or out of order (KIP-98)?

use std::collections::{HashMap, HashSet, VecDeque};

use super::batch::BatchHeader;

/// A client has at most this many batches in flight, so a repeat is one of these.
const REMEMBERED_BATCHES: usize = 5;

/// Past this many producers, the one that wrote longest ago is forgotten; its next batch counts as its first.
const MAX_PRODUCERS: usize = 10_000;

/// What the sequence numbers of a batch say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sequence {
    /// The batch is new and goes into the log.
    New,
    /// The batch is in the log already, at this base offset.
    Repeated { base_offset: i64 },
}

/// Why a batch of an idempotent producer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SequenceError {
    #[error("sequence {actual} of producer {producer_id} follows {expected}")]
    OutOfOrder {
        producer_id: i64,
        expected: i32,
        actual: i32,
    },
    #[error("epoch {epoch} of producer {producer_id} is older than {current}")]
    StaleEpoch {
        producer_id: i64,
        epoch: i16,
        current: i16,
    },
}

/// What is remembered of the producers that wrote to a partition.
#[derive(Debug, Default)]
pub(crate) struct Producers {
    by_id: HashMap<i64, Producer>,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    recent: VecDeque<Written>,
}

#[derive(Debug, Clone, Copy)]
struct Written {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
}

impl Producers {
    /// Judges the batch with `header` before it is written.
    pub(crate) fn check(&self, header: &BatchHeader) -> Result<Sequence, SequenceError> {
        if header.producer_id < 0 {
            return Ok(Sequence::New);
        }
        // An unknown producer may start anywhere: its earlier batches may be gone with their segment.
        let Some(producer) = self.by_id.get(&header.producer_id) else {
            return Ok(Sequence::New);
        };
        if header.producer_epoch < producer.epoch {
            return Err(SequenceError::StaleEpoch {
                producer_id: header.producer_id,
                epoch: header.producer_epoch,
                current: producer.epoch,
            });
        }
        let expected = if header.producer_epoch > producer.epoch {
            0
        } else {
            if let Some(base_offset) = producer.offset_of(header) {
                return Ok(Sequence::Repeated { base_offset });
            }
            producer.next_sequence()
        };
        if header.base_sequence == expected {
            Ok(Sequence::New)
        } else {
            Err(SequenceError::OutOfOrder {
                producer_id: header.producer_id,
                expected,
                actual: header.base_sequence,
            })
        }
    }

    /// Remembers that the batch with `header` is in the log at its base offset.
    pub(crate) fn record(&mut self, header: &BatchHeader) {
        // A marker has no sequence number.
        if header.producer_id < 0 || header.is_control() {
            return;
        }
        if self.by_id.len() >= MAX_PRODUCERS && !self.by_id.contains_key(&header.producer_id) {
            self.forget_longest_silent();
        }
        let producer = self.by_id.entry(header.producer_id).or_insert(Producer {
            epoch: header.producer_epoch,
            recent: VecDeque::with_capacity(REMEMBERED_BATCHES),
        });
        if producer.epoch != header.producer_epoch {
            producer.epoch = header.producer_epoch;
            producer.recent.clear();
        }
        if producer.recent.len() == REMEMBERED_BATCHES {
            producer.recent.pop_front();
        }
        producer.recent.push_back(Written {
            first_sequence: header.base_sequence,
            last_sequence: last_sequence(header),
            base_offset: header.base_offset,
        });
    }

    /// Where the last batch of each producer is: what a restart needs to know their next sequence numbers.
    pub(super) fn last_batches(&self) -> HashSet<i64> {
        let last = self
            .by_id
            .values()
            .filter_map(|producer| producer.recent.back());
        last.map(|written| written.base_offset).collect()
    }

    fn forget_longest_silent(&mut self) {
        let longest_silent = self
            .by_id
            .iter()
            .min_by_key(|(_, producer)| producer.recent.back().map(|last| last.base_offset))
            .map(|(id, _)| *id);
        if let Some(id) = longest_silent {
            self.by_id.remove(&id);
        }
    }
}

impl Producer {
    fn offset_of(&self, header: &BatchHeader) -> Option<i64> {
        self.recent
            .iter()
            .find(|written| {
                written.first_sequence == header.base_sequence
                    && written.last_sequence == last_sequence(header)
            })
            .map(|written| written.base_offset)
    }

    fn next_sequence(&self) -> i32 {
        self.recent
            .back()
            .map_or(0, |last| advance(last.last_sequence, 1))
    }
}

fn last_sequence(header: &BatchHeader) -> i32 {
    advance(header.base_sequence, header.last_offset_delta)
}

/// Sequence numbers wrap from `i32::MAX` to 0.
fn advance(sequence: i32, by: i32) -> i32 {
    let sum = i64::from(sequence) + i64::from(by);
    (sum % (i64::from(i32::MAX) + 1)) as i32
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::BatchOf;
    use super::*;

    fn header(producer: (i64, i16, i32), count: i32, base_offset: i64) -> BatchHeader {
        let batch = BatchOf {
            count,
            producer,
            ..BatchOf::default()
        };
        BatchHeader {
            base_offset,
            ..batch.checked().header
        }
    }

    fn after(written: &[BatchHeader]) -> Producers {
        let mut producers = Producers::default();
        for header in written {
            assert_eq!(producers.check(header), Ok(Sequence::New));
            producers.record(header);
        }
        producers
    }

    #[test]
    fn a_repeated_batch_keeps_its_first_offset() {
        let producers = after(&[header((7, 0, 0), 3, 100), header((7, 0, 3), 2, 103)]);

        let repeat = producers.check(&header((7, 0, 0), 3, -1));

        assert_eq!(repeat, Ok(Sequence::Repeated { base_offset: 100 }));
    }

    #[test]
    fn a_gap_is_out_of_order() {
        let producers = after(&[header((7, 0, 0), 3, 0)]);

        let gap = producers.check(&header((7, 0, 4), 1, -1));

        assert!(matches!(
            gap,
            Err(SequenceError::OutOfOrder {
                expected: 3,
                actual: 4,
                ..
            })
        ));
    }

    #[test]
    fn a_repeat_older_than_what_is_remembered_is_out_of_order() {
        let written: Vec<_> = (0..6).map(|n| header((7, 0, n), 1, i64::from(n))).collect();
        let producers = after(&written);

        assert!(producers.check(&written[0]).is_err());
        assert!(matches!(
            producers.check(&written[1]),
            Ok(Sequence::Repeated { base_offset: 1 })
        ));
    }

    #[test]
    fn a_newer_epoch_starts_at_zero_and_fences_the_older() {
        let mut producers = after(&[header((7, 0, 0), 3, 0)]);

        assert!(producers.check(&header((7, 1, 3), 1, -1)).is_err());
        producers.record(&header((7, 1, 0), 1, 3));

        let stale = producers.check(&header((7, 0, 3), 1, -1));
        assert!(matches!(
            stale,
            Err(SequenceError::StaleEpoch { current: 1, .. })
        ));
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let producers = after(&[header((7, 0, i32::MAX - 1), 3, 0)]);

        assert_eq!(
            producers.check(&header((7, 0, 1), 1, -1)),
            Ok(Sequence::New)
        );
    }

    #[test]
    fn memory_for_producers_is_bounded() {
        let mut producers = Producers::default();

        for id in 0..MAX_PRODUCERS as i64 + 10 {
            producers.record(&header((id, 0, 0), 1, id));
        }

        assert_eq!(producers.by_id.len(), MAX_PRODUCERS);
        assert!(!producers.by_id.contains_key(&0));
    }
}
