//! Where in a segment an offset or a timestamp is, to within a few kilobytes; rebuilt when a log is opened.

use super::batch::BatchHeader;

/// Bytes of log between two entries: what a look-up may have to skip.
pub(crate) const INTERVAL_BYTES: u64 = 16 * 1024;

/// A sparse index of one segment: 24 bytes of memory for every [`INTERVAL_BYTES`] of log.
#[derive(Debug)]
pub(crate) struct SparseIndex {
    entries: Vec<Entry>,
    max_timestamp: i64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    offset: i64,
    position: u64,
    /// The highest timestamp of all batches before `position`.
    timestamp_before: i64,
}

impl SparseIndex {
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            max_timestamp: i64::MIN,
        }
    }

    /// Notes that the batch with `header` starts at byte `position`; batches come in order.
    pub(crate) fn note(&mut self, header: &BatchHeader, position: u64) {
        let due = self
            .entries
            .last()
            .is_none_or(|last| position >= last.position + INTERVAL_BYTES);
        if due {
            self.entries.push(Entry {
                offset: header.base_offset,
                position,
                timestamp_before: self.max_timestamp,
            });
        }
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
    }

    /// The highest timestamp in the segment, in milliseconds since 1970; `i64::MIN` when it is empty.
    pub(crate) fn max_timestamp(&self) -> i64 {
        self.max_timestamp
    }

    /// A position at or before the batch that holds `offset`.
    pub(crate) fn position_of_offset(&self, offset: i64) -> u64 {
        let after = self.entries.partition_point(|entry| entry.offset <= offset);
        self.position_before(after)
    }

    /// A position at or before the first batch with a timestamp of `timestamp` or later.
    pub(crate) fn position_of_timestamp(&self, timestamp: i64) -> u64 {
        let after = self
            .entries
            .partition_point(|entry| entry.timestamp_before < timestamp);
        self.position_before(after)
    }

    fn position_before(&self, after: usize) -> u64 {
        after
            .checked_sub(1)
            .map_or(0, |entry| self.entries[entry].position)
    }
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::BatchOf;
    use super::*;

    /// One batch of one record every 10 kB, with the given timestamps.
    fn index_of(timestamps: &[i64]) -> SparseIndex {
        let mut index = SparseIndex::new();
        for (n, timestamp) in timestamps.iter().enumerate() {
            let batch = BatchOf {
                timestamp: *timestamp,
                ..BatchOf::default()
            };
            let header = BatchHeader {
                base_offset: n as i64,
                ..batch.checked().header
            };
            index.note(&header, n as u64 * 10_000);
        }
        index
    }

    #[test]
    fn an_offset_is_found_at_or_before_its_batch() {
        let index = index_of(&[0; 10]);

        for offset in 0..10 {
            let position = index.position_of_offset(offset);
            let exact = offset as u64 * 10_000;
            assert!(position <= exact && exact - position <= 2 * INTERVAL_BYTES);
        }
    }

    #[test]
    fn a_timestamp_is_found_before_the_first_batch_that_reaches_it() {
        // Timestamps of producers are not sorted: 900 comes before 200.
        let index = index_of(&[100, 900, 200, 300, 400, 1_000]);

        assert_eq!(index.position_of_timestamp(50), 0);
        assert!(index.position_of_timestamp(300) <= 10_000);
        assert!(index.position_of_timestamp(1_000) <= 50_000);
        assert_eq!(index.max_timestamp(), 1_000);
    }

    #[test]
    fn an_empty_index_points_at_the_start() {
        let index = SparseIndex::new();

        assert_eq!(index.position_of_offset(5), 0);
        assert_eq!(index.position_of_timestamp(5), 0);
    }
}
