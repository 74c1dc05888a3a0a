//! What goes from the front of a log: records deleted by offset, and whole segments by age and size.

use std::fs;
use std::io;

use super::{PartitionLog, start};

/// How much of a log is kept. A segment goes as a whole, so more than this may be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Milliseconds after its last record that a segment goes; `None` for never.
    pub(crate) age_ms: Option<i64>,
    /// Bytes that the log may have; `None` for any number. The active segment stays.
    pub(crate) bytes: Option<u64>,
}

/// Why records were not deleted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeleteError {
    #[error("offset {offset} is not in the log, which ends at {end}")]
    OutOfRange { offset: i64, end: i64 },
    #[error("the log start offset cannot be written")]
    Storage(#[source] io::Error),
}

impl PartitionLog {
    /// Makes `offset` the log start offset, unless it is behind it already; returns the log start offset.
    ///
    /// # Errors
    ///
    /// Nothing was deleted.
    pub(crate) fn delete_below(&mut self, offset: i64) -> Result<i64, DeleteError> {
        let end = self.next_offset;
        if !(0..=end).contains(&offset) {
            return Err(DeleteError::OutOfRange { offset, end });
        }
        if offset > self.start_offset {
            start::write(&self.directory, offset).map_err(DeleteError::Storage)?;
            self.start_at(offset);
            if let Err(error) = self.drop_unreadable() {
                // They cannot be read any more; the next round of upkeep tries again.
                tracing::warn!(path = %self.directory.display(), %error, "cannot remove the segments of deleted records");
            }
        }
        Ok(self.start_offset)
    }

    /// Begins a new segment when the active one has records and was begun more than `age_ms` ago, so
    /// that a log nobody writes to is cleaned too. Kafka does so with the next append.
    ///
    /// # Errors
    ///
    /// The new segment cannot be created.
    pub(crate) fn roll_if_older(&mut self, age_ms: i64, now_ms: i64) -> io::Result<()> {
        let is_due = |active: &super::Segment| {
            active.size > 0 && active.begun_ms.saturating_add(age_ms) < now_ms
        };
        if !self.deleted && self.segments.last().is_some_and(is_due) {
            self.roll()?;
        }
        Ok(())
    }

    /// Removes the segments that `retention` does not keep, oldest first; returns how many.
    ///
    /// # Errors
    ///
    /// A segment cannot be removed; the log goes on from it.
    pub(crate) fn retain(&mut self, retention: &Retention, now_ms: i64) -> io::Result<usize> {
        if self.deleted {
            return Ok(0);
        }
        self.drop_unreadable()?;
        let count = self.expired(retention, now_ms).max(self.surplus(retention));
        self.drop_first(count)?;
        Ok(count)
    }

    /// How many of the oldest segments are too old, the active one included.
    fn expired(&self, retention: &Retention, now_ms: i64) -> usize {
        let Some(age_ms) = retention.age_ms else {
            return 0;
        };
        let stable = self.last_stable_offset();
        let expired = self.segments.iter().take_while(|segment| {
            let last_written = match segment.size {
                0 => segment.begun_ms,
                _ => segment.index.max_timestamp(),
            };
            segment.next_offset <= stable && last_written.saturating_add(age_ms) < now_ms
        });
        let count = expired.count();
        let all = count == self.segments.len();
        let active_is_empty = self.segments.last().is_some_and(|active| active.size == 0);
        // An empty active segment has nothing to give back, and would be replaced for ever.
        count - usize::from(all && active_is_empty)
    }

    /// How many of the oldest segments are not needed to have as many bytes as may be there.
    fn surplus(&self, retention: &Retention) -> usize {
        let Some(bytes) = retention.bytes else {
            return 0;
        };
        let stable = self.last_stable_offset();
        let mut size: u64 = self.segments.iter().map(|segment| segment.size).sum();
        let sealed = self.segments.len().saturating_sub(1);
        let surplus = self.segments[..sealed].iter().take_while(|segment| {
            let goes = segment.next_offset <= stable && size - segment.size >= bytes;
            size -= segment.size;
            goes
        });
        surplus.count()
    }

    /// Removes the segments whose records are all below the log start offset.
    fn drop_unreadable(&mut self) -> io::Result<()> {
        let start = self.start_offset;
        let ends = self.segments.iter().skip(1).map(|next| next.base_offset);
        let mut count = ends.take_while(|end| *end <= start).count();
        if let [active] = &self.segments[count..]
            && active.size > 0
            && active.next_offset <= start
        {
            count += 1;
        }
        self.drop_first(count)
    }

    /// Removes the `count` oldest segments. Should all of them go, an empty one is begun first: its
    /// name is what remembers the end of the log.
    fn drop_first(&mut self, count: usize) -> io::Result<()> {
        if count > 0 && count == self.segments.len() {
            self.roll()?;
        }
        for _ in 0..count {
            // Oldest first: a crash in between leaves a log that starts later, not one with a hole.
            match fs::remove_file(&self.segments[0].path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => drop(self.segments.remove(0)),
            }
            self.start_at(self.start_offset.max(self.segments[0].base_offset));
        }
        Ok(())
    }

    fn start_at(&mut self, offset: i64) {
        self.start_offset = offset;
        self.transactions.forget_below(offset);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::batch::tests::BatchOf;
    use super::super::{Append, segment};
    use super::*;

    const BATCH_BYTES: u64 = 61 + 40;
    const EVERYTHING: Retention = Retention {
        age_ms: None,
        bytes: None,
    };

    /// `batches` of one record each, three to a segment; the timestamp of each is its offset in seconds.
    fn log_of(batches: i64) -> (tempfile::TempDir, PartitionLog) {
        let directory = tempfile::tempdir().unwrap();
        let mut log = PartitionLog::open(directory.path().join("0")).unwrap();
        for n in 0..batches {
            append(&mut log, n * 1_000);
        }
        (directory, log)
    }

    fn append(log: &mut PartitionLog, timestamp: i64) {
        let how = Append {
            segment_bytes: 3 * BATCH_BYTES,
            append_time: None,
        };
        let batch = BatchOf {
            timestamp,
            ..BatchOf::default()
        };
        log.append(&batch.checked(), &how).unwrap();
    }

    fn files(log: &PartitionLog) -> Vec<i64> {
        let listed = segment::list(&log.directory).unwrap();
        listed.into_iter().map(|(base, _)| base).collect()
    }

    fn reopened(directory: &Path) -> PartitionLog {
        PartitionLog::open(directory.join("0")).unwrap()
    }

    #[test]
    fn segments_older_than_the_retention_go_and_the_start_moves() {
        let (directory, mut log) = log_of(10);
        let retention = Retention {
            age_ms: Some(5_000),
            ..EVERYTHING
        };

        // Segments end with the records of seconds 2, 5, 8 and 9.
        assert_eq!(log.retain(&retention, 10_500).unwrap(), 1 + 1);

        assert_eq!((log.start_offset(), log.next_offset()), (6, 10));
        assert!(log.span(5).is_none() && log.span(6).is_some());
        assert_eq!(files(&log), [6, 9]);
        assert_eq!(reopened(directory.path()).start_offset(), 6);
    }

    #[test]
    fn a_log_that_is_too_old_as_a_whole_keeps_its_end() {
        let (directory, mut log) = log_of(4);
        let retention = Retention {
            age_ms: Some(1),
            ..EVERYTHING
        };

        assert_eq!(log.retain(&retention, i64::MAX).unwrap(), 2);
        assert_eq!(
            log.retain(&retention, i64::MAX).unwrap(),
            0,
            "nothing is left"
        );

        assert_eq!((log.start_offset(), log.next_offset()), (4, 4));
        let mut log = reopened(directory.path());
        assert_eq!((log.start_offset(), log.next_offset()), (4, 4));
        append(&mut log, 0);
        assert_eq!(log.next_offset(), 5);
    }

    #[test]
    fn the_oldest_segments_go_while_more_than_enough_is_left() {
        let (_directory, mut log) = log_of(10);
        let bytes = |batches: u64| Retention {
            bytes: Some(batches * BATCH_BYTES),
            ..EVERYTHING
        };

        assert_eq!(log.retain(&bytes(10), 0).unwrap(), 0);
        assert_eq!(
            log.retain(&bytes(5), 0).unwrap(),
            1,
            "four would be too few"
        );
        assert_eq!(log.start_offset(), 3);
        assert_eq!(
            log.retain(&bytes(0), 0).unwrap(),
            2,
            "all but the active one"
        );
        assert_eq!(files(&log), [9]);
    }

    #[test]
    fn records_deleted_by_offset_stay_deleted_after_opening_again() {
        let (directory, mut log) = log_of(10);

        assert_eq!(log.delete_below(4).unwrap(), 4);

        assert_eq!(
            files(&log),
            [3, 6, 9],
            "whole segments give their space back"
        );
        for log in [&log, &reopened(directory.path())] {
            assert_eq!((log.start_offset(), log.next_offset()), (4, 10));
            assert!(log.span(3).is_none() && log.span(4).is_some());
        }
        assert_eq!(log.delete_below(2).unwrap(), 4, "the start never goes back");
        assert!(log.delete_below(11).is_err() && log.delete_below(-2).is_err());
    }

    #[test]
    fn deleting_everything_gives_the_space_back_and_keeps_the_end() {
        let (directory, mut log) = log_of(4);

        assert_eq!(log.delete_below(4).unwrap(), 4);

        assert_eq!(files(&log), [4]);
        let log = reopened(directory.path());
        assert_eq!((log.start_offset(), log.next_offset()), (4, 4));
    }

    #[test]
    fn an_active_segment_is_closed_by_age_once() {
        let (_directory, mut log) = log_of(4);
        let begun = log.segments[1].begun_ms;

        log.roll_if_older(1_000, begun + 1_000).unwrap();
        assert_eq!(files(&log), [0, 3], "not old enough");
        for _ in 0..2 {
            log.roll_if_older(1_000, begun + 1_001).unwrap();
            assert_eq!(files(&log), [0, 3, 4], "the new one has no records yet");
        }
    }

    #[test]
    fn a_timestamp_never_leads_below_the_start() {
        let (_directory, mut log) = log_of(10);
        log.delete_below(4).unwrap();

        let found = log.first_at_or_after(0).unwrap().unwrap();

        assert_eq!((found.offset, found.timestamp), (4, 4_000));
    }
}
