//! Opening a log: every batch is read and its checksum checked; from the first unsound byte on, the log is cut.

use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use super::batch::{BatchError, BatchHeader, HEADER_BYTES};
use super::marker;
use super::producers::Producers;
use super::segment::{self, Segment};
use super::transactions::Transactions;

/// Reads ahead this many bytes, so that small batches do not cost a system call each.
const READ_AHEAD_BYTES: usize = 1024 * 1024;

/// A batch is held in memory while it is checked; no producer can have written a larger one.
const MAX_BATCH_BYTES: usize = crate::wire::MAX_REQUEST_BYTES;

/// What is on disk of a log.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// Oldest first; the last one is written next.
    pub(crate) segments: Vec<Segment>,
    pub(crate) next_offset: i64,
    pub(crate) producers: Producers,
    pub(crate) transactions: Transactions,
}

#[derive(Debug, thiserror::Error)]
enum Unsound {
    #[error("the file ends inside a batch")]
    Torn,
    #[error("batch is unsound: {0}")]
    Batch(BatchError),
    #[error("batch of {0} bytes is larger than any producer can send")]
    Size(usize),
    #[error("offset {actual} follows where {least} is due, or a later one")]
    Offset { least: i64, actual: i64 },
}

/// Reads the log in `directory`, cutting what a crash left unfinished.
///
/// # Errors
///
/// A file cannot be read or cut.
pub(crate) fn recover(directory: &Path) -> io::Result<Recovered> {
    let mut recovered = Recovered {
        segments: Vec::new(),
        next_offset: 0,
        producers: Producers::default(),
        transactions: Transactions::default(),
    };
    segment::remove_unfinished(directory)?;
    let mut cut = false;
    for (base_offset, path) in segment::list(directory)? {
        if cut {
            set_aside(&path)?;
            continue;
        }
        if !recovered.segments.is_empty() && base_offset < recovered.next_offset {
            remove_merged(&path)?;
            continue;
        }
        let mut segment = Segment::open(path, base_offset)?;
        recovered.next_offset = base_offset;
        cut = read_segment(&mut segment, &mut recovered)?;
        recovered.segments.push(segment);
    }
    Ok(recovered)
}

/// Reads one segment up to its end or its first unsound byte, where it is cut; returns whether it was.
fn read_segment(segment: &mut Segment, recovered: &mut Recovered) -> io::Result<bool> {
    let file_size = segment.file.metadata()?.len();
    let file = segment.file.clone();
    (&*file).rewind()?;
    let mut reader = BufReader::with_capacity(READ_AHEAD_BYTES, &*file);
    let mut batch = Vec::new();
    while segment.size < file_size {
        let left = file_size - segment.size;
        match read_batch(&mut reader, left, recovered.next_offset, &mut batch)? {
            Ok(header) => {
                segment.admit(&header);
                recovered.producers.record(&header);
                recovered.transactions.note_data(&header);
                if let Some(outcome) = marker::outcome_of(&header, &batch) {
                    recovered.transactions.note_marker(&header, outcome);
                }
                recovered.next_offset = header.next_offset();
            }
            Err(unsound) => {
                tracing::warn!(
                    path = %segment.path.display(),
                    position = segment.size,
                    bytes_cut = left,
                    next_offset = recovered.next_offset,
                    reason = %unsound,
                    "cut the unfinished end of a log"
                );
                file.set_len(segment.size)?;
                file.sync_all()?;
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn read_batch(
    reader: &mut impl Read,
    left: u64,
    least: i64,
    batch: &mut Vec<u8>,
) -> io::Result<Result<BatchHeader, Unsound>> {
    if left < HEADER_BYTES as u64 {
        return Ok(Err(Unsound::Torn));
    }
    batch.resize(HEADER_BYTES, 0);
    reader.read_exact(batch)?;
    let header = match BatchHeader::parse(batch) {
        Ok(header) => header,
        Err(error) => return Ok(Err(Unsound::Batch(error))),
    };
    // Later than due is no fault: compaction leaves gaps.
    if header.base_offset < least {
        let actual = header.base_offset;
        return Ok(Err(Unsound::Offset { least, actual }));
    }
    if header.size > MAX_BATCH_BYTES {
        return Ok(Err(Unsound::Size(header.size)));
    }
    if header.size as u64 > left {
        return Ok(Err(Unsound::Torn));
    }
    batch.resize(header.size, 0);
    reader.read_exact(&mut batch[HEADER_BYTES..])?;
    Ok(header
        .check_crc(batch)
        .map_err(Unsound::Batch)
        .map(|()| header))
}

/// Renames a segment behind a cut: its records have no place in the log, but a person may want them.
fn set_aside(path: &Path) -> io::Result<()> {
    let aside = path.with_extension("cut");
    tracing::error!(
        path = %path.display(),
        aside = %aside.display(),
        "a segment behind an unsound one was set aside; its records are lost to readers"
    );
    std::fs::rename(path, aside)
}

/// Removes a segment that a compaction had put into the one before it when a crash came.
fn remove_merged(path: &Path) -> io::Result<()> {
    tracing::info!(path = %path.display(), "remove a segment that was merged into the one before it");
    std::fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;
    use std::path::PathBuf;

    use super::super::batch::tests::BatchOf;
    use super::super::{Append, PartitionLog};
    use super::*;

    const BATCH_BYTES: u64 = 61 + 40;

    fn log_of(batches: usize, segment_bytes: u64) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0");
        let mut log = PartitionLog::open(path.clone()).unwrap();
        let how = Append {
            segment_bytes,
            append_time: None,
        };
        for sequence in 0..batches {
            let batch = BatchOf {
                producer: (7, 0, sequence as i32),
                ..BatchOf::default()
            };
            log.append(&batch.checked(), &how).unwrap();
        }
        (directory, path)
    }

    fn first_segment(path: &Path) -> PathBuf {
        segment::list(path).unwrap()[0].1.clone()
    }

    #[test]
    fn what_was_appended_is_there_after_opening_again() {
        let (_directory, path) = log_of(10, 3 * BATCH_BYTES);

        let recovered = recover(&path).unwrap();

        assert_eq!(recovered.next_offset, 10);
        assert_eq!(recovered.segments.len(), 4);
    }

    #[test]
    fn a_torn_tail_of_any_length_is_cut_to_the_last_whole_batch() {
        for torn in 1..BATCH_BYTES {
            let (_directory, path) = log_of(3, u64::MAX);
            let file = OpenOptions::new()
                .write(true)
                .open(first_segment(&path))
                .unwrap();
            file.set_len(2 * BATCH_BYTES + torn).unwrap();

            let recovered = recover(&path).unwrap();

            assert_eq!(recovered.next_offset, 2, "{torn} bytes of the third batch");
            assert_eq!(file.metadata().unwrap().len(), 2 * BATCH_BYTES);
        }
    }

    #[test]
    fn a_batch_with_a_wrong_checksum_ends_the_log() {
        let (_directory, path) = log_of(3, u64::MAX);
        let segment = first_segment(&path);
        let mut bytes = fs::read(&segment).unwrap();
        bytes[BATCH_BYTES as usize + 80] ^= 1;
        fs::write(&segment, bytes).unwrap();

        let recovered = recover(&path).unwrap();

        assert_eq!(recovered.next_offset, 1);
    }

    #[test]
    fn segments_behind_a_cut_are_set_aside_and_not_deleted() {
        let (_directory, path) = log_of(9, 3 * BATCH_BYTES);
        let file = OpenOptions::new()
            .append(true)
            .open(first_segment(&path))
            .unwrap();
        (&file).write_all(b"garbage").unwrap();

        let recovered = recover(&path).unwrap();

        assert_eq!(recovered.next_offset, 3);
        assert!(path.join("00000000000000000003.cut").exists());
        assert!(path.join("00000000000000000006.cut").exists());
    }

    #[test]
    fn appending_goes_on_after_a_cut_and_sequences_are_remembered() {
        let (_directory, path) = log_of(3, u64::MAX);
        let file = OpenOptions::new()
            .write(true)
            .open(first_segment(&path))
            .unwrap();
        file.set_len(3 * BATCH_BYTES - 1).unwrap();
        let mut log = PartitionLog::open(path).unwrap();
        let how = Append {
            segment_bytes: u64::MAX,
            append_time: None,
        };
        let batch = |sequence| BatchOf {
            producer: (7, 0, sequence),
            ..BatchOf::default()
        };

        let repeated = log.append(&batch(1).checked(), &how).unwrap();
        let lost_and_sent_again = log.append(&batch(2).checked(), &how).unwrap();

        assert_eq!(
            (repeated.base_offset, lost_and_sent_again.base_offset),
            (1, 2)
        );
        assert_eq!(log.next_offset(), 3);
    }
}
