//! The log of a partition: record batches as the bytes they came in, in segment files, in offset order.
//!
//! Nothing of the data is kept in memory; what was written lately is in the page cache. As with Kafka's
//! defaults, an acknowledged record survives the death of the process, not of the machine.

mod batch;
mod codec;
mod compaction;
mod index;
mod marker;
mod partition;
mod producers;
mod read;
mod records;
mod recovery;
mod retention;
mod segment;
mod start;
mod timestamps;
mod transactions;

use std::fs;
use std::io;
use std::path::PathBuf;

#[cfg(test)]
pub(crate) use batch::tests::BatchOf;
pub(crate) use batch::{BatchError, BatchHeader, IncomingBatch, LEADER_EPOCH};
pub(crate) use compaction::Compaction;
pub(crate) use marker::{Marker, Outcome};
pub(crate) use partition::{Partition, Waker};
pub(crate) use producers::SequenceError;
use producers::{Producers, Sequence};
pub(crate) use read::{Span, end_of};
pub(crate) use retention::{DeleteError, Retention};
use segment::Segment;
pub(crate) use timestamps::TimestampAt;
pub(crate) use transactions::Aborted;
use transactions::Transactions;

/// How a batch is to be appended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Append {
    /// Size in bytes past which a new segment is begun.
    pub(crate) segment_bytes: u64,
    /// Replaces the producer's timestamps: milliseconds since 1970.
    pub(crate) append_time: Option<i64>,
}

/// Where a batch is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base_offset: i64,
}

/// Why a batch is not in the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    #[error("the producer is in a transaction here, and the batch is not part of it")]
    InTransaction,
    #[error("the topic was deleted")]
    Deleted,
    #[error("the log cannot be written")]
    Storage(#[source] io::Error),
}

/// The log of one partition. The high watermark is its end, as there is no replica to wait for.
#[derive(Debug)]
pub(crate) struct PartitionLog {
    directory: PathBuf,
    segments: Vec<Segment>,
    /// The first offset that can be read; segments may hold records below it.
    start_offset: i64,
    next_offset: i64,
    producers: Producers,
    transactions: Transactions,
    compaction: compaction::Progress,
    deleted: bool,
}

impl PartitionLog {
    /// Opens the log in `directory`, which need not exist: it is created by the first append.
    ///
    /// # Errors
    ///
    /// The files cannot be read, or a torn end cannot be cut.
    pub(crate) fn open(directory: PathBuf) -> io::Result<Self> {
        let recovered = recovery::recover(&directory)?;
        let first = recovered.segments.first().map_or(0, |s| s.base_offset);
        // What was deleted by offset may have been lost besides, with the end of the log.
        let deleted_below = start::read(&directory)?.min(recovered.next_offset);
        let start_offset = first.max(deleted_below);
        let mut transactions = recovered.transactions;
        transactions.forget_below(start_offset);
        Ok(Self {
            directory,
            start_offset,
            segments: recovered.segments,
            next_offset: recovered.next_offset,
            producers: recovered.producers,
            transactions,
            compaction: compaction::Progress::default(),
            deleted: false,
        })
    }

    /// Appends `batch`, unless it is in the log already: then its first position is returned.
    ///
    /// # Errors
    ///
    /// The batch is not in the log; on [`AppendError::Storage`] it may be sent again.
    pub(crate) fn append(
        &mut self,
        batch: &IncomingBatch,
        how: &Append,
    ) -> Result<Appended, AppendError> {
        if self.deleted {
            return Err(AppendError::Deleted);
        }
        if let Sequence::Repeated { base_offset } = self.producers.check(&batch.header)? {
            return Ok(Appended { base_offset });
        }
        if !batch.header.is_transactional() && self.transactions.is_open(batch.header.producer_id) {
            return Err(AppendError::InTransaction);
        }
        let header = self.write(batch, how)?;
        self.producers.record(&header);
        self.transactions.note_data(&header);
        Ok(Appended {
            base_offset: header.base_offset,
        })
    }

    /// Ends the open transaction of the producer of `marker`; returns whether there was one.
    ///
    /// A transaction without records here needs no marker, and one that has its marker no second one: so
    /// this may be done again when it is not known whether it was done.
    ///
    /// # Errors
    ///
    /// The marker is not in the log.
    pub(crate) fn end_transaction(
        &mut self,
        marker: &Marker,
        how: &Append,
    ) -> Result<bool, AppendError> {
        if self.deleted {
            return Err(AppendError::Deleted);
        }
        if !self.transactions.is_open(marker.producer_id) {
            return Ok(false);
        }
        let header = self.write(&marker.batch(), how)?;
        self.transactions.note_marker(&header, marker.outcome);
        Ok(true)
    }

    /// Writes `batch` at the end of the log and returns its header as it is there.
    fn write(&mut self, batch: &IncomingBatch, how: &Append) -> Result<BatchHeader, AppendError> {
        let base_offset = self.next_offset;
        let stamped = batch.stamped(base_offset, how.append_time);
        let header = BatchHeader {
            base_offset,
            max_timestamp: how.append_time.unwrap_or(batch.header.max_timestamp),
            ..batch.header
        };
        let segment = self
            .segment_for(header.size as u64, how.segment_bytes)
            .map_err(AppendError::Storage)?;
        segment
            .append(&stamped, batch)
            .map_err(AppendError::Storage)?;
        segment.admit(&header);
        self.next_offset = header.next_offset();
        Ok(header)
    }

    /// The first offset that can be read.
    pub(crate) fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// The offset that the next record gets.
    pub(crate) fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// The end for readers that see committed transactions only: where the first open one begins.
    pub(crate) fn last_stable_offset(&self) -> i64 {
        match self.transactions.first_open() {
            Some(first) => first.max(self.start_offset()),
            None => self.next_offset,
        }
    }

    /// The aborted transactions that a reader of committed records has to know of to read from `from` on
    /// and below `until`.
    pub(crate) fn aborted(&self, from: i64, until: i64) -> Vec<Aborted> {
        self.transactions.aborted(from, until)
    }

    /// The producers that have an open transaction here.
    pub(crate) fn open_transactions(&self) -> Vec<i64> {
        self.transactions.open_producers().collect()
    }

    /// Where to read from for `offset`; `None` at the end of the log and outside it.
    pub(crate) fn span(&self, offset: i64) -> Option<Span> {
        if offset < self.start_offset() || offset >= self.next_offset {
            return None;
        }
        let after = self
            .segments
            .partition_point(|segment| segment.base_offset <= offset);
        // Compaction leaves gaps: the next batch may be segments away.
        let mut from = self.segments.get(after.checked_sub(1)?..)?.iter();
        let segment = from.find(|segment| segment.size > 0 && segment.next_offset > offset)?;
        let position = segment.index.position_of_offset(offset);
        Some(Span::new(segment, position, offset))
    }

    /// Where to look for the first record with a timestamp of `timestamp` or later, one after the other.
    fn spans_of_timestamp(&self, timestamp: i64) -> impl Iterator<Item = Span> {
        let candidates = self
            .segments
            .iter()
            .filter(move |segment| segment.size > 0 && segment.index.max_timestamp() >= timestamp);
        candidates.map(move |segment| {
            let position = segment.index.position_of_timestamp(timestamp);
            Span::new(segment, position, segment.base_offset)
        })
    }

    /// The highest timestamp in the log, in milliseconds since 1970; `None` when it is empty.
    fn max_timestamp(&self) -> Option<i64> {
        self.segments
            .iter()
            .filter(|segment| segment.size > 0)
            .map(|segment| segment.index.max_timestamp())
            .max()
    }

    /// Brings what was appended to the disk.
    pub(crate) fn flush(&self) -> io::Result<()> {
        match self.segments.last() {
            Some(active) => active.file.sync_all(),
            None => Ok(()),
        }
    }

    /// Refuses every later append, so that a producer cannot bring the directory back.
    pub(crate) fn mark_deleted(&mut self) {
        self.deleted = true;
    }

    fn segment_for(&mut self, batch_bytes: u64, segment_bytes: u64) -> io::Result<&mut Segment> {
        let full = self
            .segments
            .last()
            .is_none_or(|active| active.size > 0 && active.size + batch_bytes > segment_bytes);
        if full {
            self.roll()?;
        }
        self.segments
            .last_mut()
            .ok_or_else(|| io::Error::other("a log without a segment"))
    }

    /// Begins a new active segment.
    fn roll(&mut self) -> io::Result<()> {
        self.flush()?;
        fs::create_dir_all(&self.directory)?;
        let segment = Segment::create(&self.directory, self.next_offset)?;
        self.segments.push(segment);
        Ok(())
    }
}
