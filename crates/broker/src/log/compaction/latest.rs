//! The last offset of each key in the part of a log that is not compacted yet.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::batch::{BatchHeader, HEADER_BYTES};
use super::super::read::Span;
use super::super::records::{RecordView, Records};
use super::super::transactions::AbortedBatches;

/// Most bytes of memory for keys. What is behind the key that would be one too many is left for the next
/// compaction.
pub(super) const MAX_BYTES: usize = 64 * 1024 * 1024;

/// What a key costs besides its own bytes, about.
const ENTRY_BYTES: usize = 64;

/// The last offset of each key from one offset to another.
#[derive(Debug)]
pub(super) struct LatestOffsets {
    by_key: HashMap<Box<[u8]>, i64>,
    end: i64,
}

impl LatestOffsets {
    /// Reads the keys in `spans` from offset `from` on, those of `aborted` batches aside, with about `max_bytes` of memory and those of one
    /// batch, until it is told to `stop`.
    ///
    /// # Errors
    ///
    /// A segment cannot be read.
    pub(super) fn of<'a>(
        spans: impl Iterator<Item = &'a Span>,
        aborted: &AbortedBatches,
        from: i64,
        max_bytes: usize,
        stop: &AtomicBool,
    ) -> io::Result<Self> {
        let mut latest = Self {
            by_key: HashMap::new(),
            end: from,
        };
        let mut bytes = 0;
        for span in spans {
            for found in span.headers() {
                let (position, header) = found?;
                if header.next_offset() <= from {
                    continue;
                }
                // Between two batches, so that none is compacted in part; and never without progress.
                if bytes > max_bytes || stop.load(Ordering::Relaxed) {
                    return Ok(latest);
                }
                if !header.is_control() && !aborted.has(&header) {
                    let batch = span.read_at(position, header.size)?;
                    bytes += latest.note(&header, &batch[HEADER_BYTES..]);
                }
                latest.end = header.next_offset();
            }
        }
        Ok(latest)
    }

    /// Below this offset, every key is known.
    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// Whether the key of the record at `offset` comes again behind it.
    pub(super) fn has_later(&self, key: &[u8], offset: i64) -> bool {
        self.by_key.get(key).is_some_and(|latest| *latest > offset)
    }

    /// Notes the keys of a batch; returns how many bytes more are in use.
    fn note(&mut self, header: &BatchHeader, body: &[u8]) -> usize {
        let Some(records) = header.decode(body) else {
            return 0;
        };
        let mut bytes = 0;
        let keyed = |record: RecordView<'_>| Some((record.key?.into(), record.offset_delta));
        for (key, offset_delta) in Records::of(&records).filter_map(keyed) {
            let key: Box<[u8]> = key;
            let length = key.len();
            let offset = header.base_offset + offset_delta;
            if self.by_key.insert(key, offset).is_none() {
                bytes += length + ENTRY_BYTES;
            }
        }
        bytes
    }
}
