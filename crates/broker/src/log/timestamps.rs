//! The offset that belongs to a timestamp: the exact record, or in a batch that cannot be decoded the
//! start of the batch, so that a reader may see a few older records but misses none.

use std::io;

use super::PartitionLog;
use super::batch::{BatchHeader, HEADER_BYTES};
use super::read::Span;
use super::records::Records;

/// A record found by timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimestampAt {
    pub(crate) offset: i64,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
}

impl PartitionLog {
    /// The first record with a timestamp of `timestamp` (milliseconds since 1970) or later.
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    pub(crate) fn first_at_or_after(&self, timestamp: i64) -> io::Result<Option<TimestampAt>> {
        let from = self.start_offset;
        for span in self.spans_of_timestamp(timestamp) {
            for found in span.headers() {
                let (position, header) = found?;
                if header.max_timestamp >= timestamp && header.next_offset() > from {
                    return first_in_batch(&span, position, &header, timestamp, from).map(Some);
                }
            }
        }
        Ok(None)
    }

    /// The first record with the highest timestamp of the log (KIP-734).
    ///
    /// # Errors
    ///
    /// The log cannot be read.
    pub(crate) fn latest_by_timestamp(&self) -> io::Result<Option<TimestampAt>> {
        match self.max_timestamp() {
            Some(timestamp) => self.first_at_or_after(timestamp),
            None => Ok(None),
        }
    }
}

/// The first record of a batch with a timestamp of `timestamp` or later and an offset of at least `from`.
fn first_in_batch(
    span: &Span,
    position: u64,
    header: &BatchHeader,
    timestamp: i64,
    from: i64,
) -> io::Result<TimestampAt> {
    let has_base_timestamp = !header.has_log_append_time() && header.delete_horizon().is_none();
    let start = TimestampAt {
        offset: header.base_offset.max(from),
        timestamp: if has_base_timestamp {
            header.base_timestamp
        } else {
            header.max_timestamp
        },
    };
    if header.has_log_append_time() {
        return Ok(start);
    }
    let batch = span.read_at(position, header.size)?;
    let decoded = header.decode(&batch[HEADER_BYTES..]).unwrap_or_default();
    let mut records = Records::of(&decoded).map(|record| TimestampAt {
        offset: header.base_offset + record.offset_delta,
        timestamp: header.base_timestamp.saturating_add(record.timestamp_delta),
    });
    let found = records.find(|at| at.timestamp >= timestamp && at.offset >= from);
    Ok(found.unwrap_or(start))
}

#[cfg(test)]
mod tests {
    use super::super::Append;
    use super::super::batch::tests::BatchOf;
    use super::super::codec::tests::COMPRESSED;
    use super::super::records::tests::record;
    use super::*;

    fn log_of(timestamps: &[i64]) -> (tempfile::TempDir, PartitionLog) {
        let directory = tempfile::tempdir().unwrap();
        let mut log = PartitionLog::open(directory.path().join("0")).unwrap();
        let how = Append {
            segment_bytes: 500,
            append_time: None,
        };
        for timestamp in timestamps {
            let batch = BatchOf {
                timestamp: *timestamp,
                ..BatchOf::default()
            };
            log.append(&batch.checked(), &how).unwrap();
        }
        (directory, log)
    }

    #[test]
    fn the_first_record_at_or_after_a_timestamp_is_found_across_segments() {
        let timestamps: Vec<i64> = (0..50).map(|n| n * 100).collect();
        let (_directory, log) = log_of(&timestamps);

        for (timestamp, offset) in [(0, 0), (1, 1), (100, 1), (2_450, 25), (4_900, 49)] {
            let found = log.first_at_or_after(timestamp).unwrap().unwrap();
            assert_eq!(found.offset, offset, "first at or after {timestamp}");
        }
        assert_eq!(log.first_at_or_after(4_901).unwrap(), None);
    }

    #[test]
    fn a_record_is_found_inside_a_compressed_batch() {
        for codec in COMPRESSED {
            let (_directory, mut log) = log_of(&[]);
            let records = [(-200, 0), (-100, 1), (-150, 2), (0, 3)];
            let records = records.map(|deltas| record(deltas, Some("k"), Some("v")));
            let batch = BatchOf {
                count: 4,
                body: codec.encode(records.concat()).unwrap(),
                ..BatchOf::default()
            };
            let how = Append {
                segment_bytes: 500,
                append_time: None,
            };
            let batch = batch.with_attributes(codec.id());
            log.append(&batch, &how).unwrap();

            for (timestamp, offset) in [(0, 0), (801, 1), (900, 1), (901, 3)] {
                let found = log.first_at_or_after(timestamp).unwrap().unwrap();
                assert_eq!(found.offset, offset, "{codec:?}, {timestamp}");
            }
            let latest = log.latest_by_timestamp().unwrap().unwrap();
            assert_eq!((latest.offset, latest.timestamp), (3, 1_000), "{codec:?}");
        }
    }

    #[test]
    fn unsorted_timestamps_hide_nothing() {
        let (_directory, log) = log_of(&[500, 100, 900, 200]);

        assert_eq!(log.first_at_or_after(600).unwrap().unwrap().offset, 2);
        assert_eq!(log.latest_by_timestamp().unwrap().unwrap().offset, 2);
    }

    #[test]
    fn an_empty_log_has_no_timestamps() {
        let (_directory, log) = log_of(&[]);

        assert_eq!(log.first_at_or_after(0).unwrap(), None);
        assert_eq!(log.latest_by_timestamp().unwrap(), None);
    }
}
