//! Reading whole batches out of a segment, without holding the lock of the log.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::batch::{BatchHeader, HEADER_BYTES};
use super::index::INTERVAL_BYTES;
use super::segment::Segment;

/// A part of a segment that was complete when the log was asked; it stays readable when the segment
/// is appended to or deleted.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    file: Arc<File>,
    position: u64,
    end: u64,
    offset: i64,
}

impl Span {
    pub(super) fn new(segment: &Segment, position: u64, offset: i64) -> Self {
        Self {
            file: segment.file.clone(),
            position,
            end: segment.size,
            offset,
        }
    }

    /// Reads whole batches from the one that holds the wanted offset on, below offset `until`.
    ///
    /// At most `max_bytes`, except that a larger first batch is returned whole when `at_least_one`:
    /// a reader must be able to get past it (KIP-74).
    ///
    /// # Errors
    ///
    /// The file cannot be read, or holds no batch where it should.
    pub(crate) fn read(
        &self,
        max_bytes: usize,
        at_least_one: bool,
        until: i64,
    ) -> io::Result<Bytes> {
        let window = max_bytes + INTERVAL_BYTES as usize;
        let mut position = self.position;
        let mut chunk = self.read_at(position, window)?;
        let mut first = self.header_at(position, &chunk)?;
        // The index leads to at most a few batches before the wanted one.
        while first.next_offset() <= self.offset {
            position += first.size as u64;
            if first.size + HEADER_BYTES <= chunk.len() {
                chunk = chunk.split_off(first.size);
            } else {
                chunk = self.read_at(position, window)?;
            }
            first = self.header_at(position, &chunk)?;
        }
        if first.size > max_bytes && !at_least_one {
            return Ok(Bytes::new());
        }
        if first.size > chunk.len() {
            chunk = self.read_at(position, first.size)?;
        }
        let length = whole_batches(&chunk, max_bytes.max(first.size), until);
        chunk.truncate(length);
        Ok(chunk.freeze())
    }

    /// The headers of the batches from the start of the span on, with their positions.
    pub(super) fn headers(&self) -> impl Iterator<Item = io::Result<(u64, BatchHeader)>> {
        let mut position = self.position;
        std::iter::from_fn(move || {
            if position >= self.end {
                return None;
            }
            let header = self
                .read_at(position, HEADER_BYTES)
                .and_then(|bytes| self.header_at(position, &bytes));
            let at = position;
            position = match &header {
                Ok(header) => position + header.size as u64,
                Err(_) => self.end,
            };
            Some(header.map(|header| (at, header)))
        })
    }

    /// Reads up to `length` bytes at `position`, fewer at the end of the span.
    pub(super) fn read_at(&self, position: u64, length: usize) -> io::Result<BytesMut> {
        let left = self.end.saturating_sub(position);
        let length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut bytes = BytesMut::zeroed(length);
        self.file.read_exact_at(&mut bytes, position)?;
        Ok(bytes)
    }

    fn header_at(&self, position: u64, bytes: &[u8]) -> io::Result<BatchHeader> {
        BatchHeader::parse(bytes).map_err(|error| {
            let context = format!("no batch at byte {position}: {error}");
            io::Error::new(io::ErrorKind::InvalidData, context)
        })
    }
}

/// Bytes of the whole batches at the start of `chunk` that end within `max_bytes` and are below `until`.
fn whole_batches(chunk: &[u8], max_bytes: usize, until: i64) -> usize {
    let mut length = 0;
    while let Ok(header) = BatchHeader::parse(&chunk[length..]) {
        let end = length + header.size;
        if end > chunk.len() || end > max_bytes || header.base_offset >= until {
            break;
        }
        length = end;
    }
    length
}

/// The offset after the last of the whole batches in `batches`; `None` when there is none.
pub(crate) fn end_of(mut batches: &[u8]) -> Option<i64> {
    let mut end = None;
    while let Ok(header) = BatchHeader::parse(batches) {
        end = Some(header.next_offset());
        batches = batches.get(header.size..).unwrap_or_default();
    }
    end
}

#[cfg(test)]
mod tests {
    use super::super::batch::tests::BatchOf;
    use super::super::{Append, PartitionLog};
    use super::*;

    const HOW: Append = Append {
        segment_bytes: 200_000,
        append_time: None,
    };

    /// 300 batches of 1 to 5 records and 60 to 3,000 bytes, over several segments.
    fn log() -> (tempfile::TempDir, PartitionLog) {
        let directory = tempfile::tempdir().unwrap();
        let mut log = PartitionLog::open(directory.path().join("0")).unwrap();
        for n in 0..300 {
            let batch = BatchOf {
                count: n % 5 + 1,
                body: vec![n as u8; (n as usize * 997) % 3_000],
                ..BatchOf::default()
            };
            log.append(&batch.checked(), &HOW).unwrap();
        }
        (directory, log)
    }

    #[test]
    fn every_offset_is_read_in_the_batch_that_holds_it() {
        let (_directory, log) = log();

        for offset in 0..log.next_offset() {
            let bytes = log.span(offset).unwrap().read(1, true, i64::MAX).unwrap();

            let header = BatchHeader::parse(&bytes).unwrap();
            assert!(header.base_offset <= offset && offset < header.next_offset());
            assert_eq!(
                bytes.len(),
                header.size,
                "one byte is allowed: exactly one batch"
            );
        }
    }

    #[test]
    fn reading_on_gives_every_batch_once_and_stays_within_the_limit() {
        let (_directory, log) = log();
        let mut offset = 0;
        let mut batches = 0;

        while let Some(span) = log.span(offset) {
            let bytes = span.read(10_000, true, i64::MAX).unwrap();
            assert!(!bytes.is_empty() && bytes.len() <= 10_000);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let header = BatchHeader::parse(rest).unwrap();
                assert_eq!(header.base_offset, offset);
                header.check_crc(rest).unwrap();
                offset = header.next_offset();
                batches += 1;
                rest = &rest[header.size..];
            }
        }

        assert_eq!((offset, batches), (log.next_offset(), 300));
    }

    #[test]
    fn a_first_batch_over_the_limit_comes_only_when_one_is_due() {
        let (_directory, log) = log();
        let span = log.span(10).unwrap();

        assert!(span.read(1, false, i64::MAX).unwrap().is_empty());
        assert!(!span.read(1, true, i64::MAX).unwrap().is_empty());
    }

    #[test]
    fn nothing_is_read_from_the_upper_bound_on() {
        let (_directory, log) = log();

        let below = log.span(0).unwrap().read(100_000, true, 6).unwrap();

        let headers: Vec<_> = std::iter::successors(Some(0), |at: &usize| {
            Some(at + BatchHeader::parse(&below[*at..]).ok()?.size)
        })
        .take_while(|at| *at < below.len())
        .map(|at| BatchHeader::parse(&below[at..]).unwrap().base_offset)
        .collect();
        assert_eq!(headers, [0, 1, 3]);
    }
}
