//! Rewriting segments without the records that are not the last of their key.

use std::collections::HashSet;
use std::io::{self, BufWriter, Write};

use super::super::batch::{BatchHeader, Compacted, HEADER_BYTES};
use super::super::records::{RecordView, Records, put_varint};
use super::super::segment::Segment;
use super::latest::{LatestOffsets, is_opaque};
use super::{Compaction, Sealed};

/// One pass over a log from its start on.
#[derive(Debug)]
pub(super) struct Rewrite<'a> {
    latest: &'a LatestOffsets,
    last_batches: &'a HashSet<i64>,
    how: &'a Compaction,
    now_ms: i64,
    /// Whether a batch that was not looked into lies before the present one.
    opaque_before: bool,
    next_horizon: Option<i64>,
}

/// What becomes of a batch.
#[derive(Debug)]
enum Fate {
    Stays,
    Goes,
    Becomes(Vec<u8>),
}

impl<'a> Rewrite<'a> {
    pub(super) fn new(
        latest: &'a LatestOffsets,
        last_batches: &'a HashSet<i64>,
        how: &'a Compaction,
        now_ms: i64,
    ) -> Self {
        Self {
            latest,
            last_batches,
            how,
            now_ms,
            opaque_before: false,
            next_horizon: None,
        }
    }

    /// When a tombstone that stayed can go, in milliseconds since 1970.
    pub(super) fn next_horizon(&self) -> Option<i64> {
        self.next_horizon
    }

    /// Writes what stays of `group` as one segment that is on disk but has no place in the log yet;
    /// `None` when everything stays as it is.
    ///
    /// # Errors
    ///
    /// A segment cannot be read, or the new one not written.
    pub(super) fn group(&mut self, group: &[Sealed]) -> io::Result<Option<Segment>> {
        let Some(first) = group.first() else {
            return Ok(None);
        };
        let mut cleaned = Segment::create_unfinished(&first.path, first.base_offset)?;
        let file = cleaned.file.clone();
        let mut writer = BufWriter::new(&*file);
        let mut is_changed = group.len() > 1;
        for sealed in group {
            for found in sealed.span.headers() {
                let (position, header) = found?;
                let batch = sealed.span.read_at(position, header.size)?;
                let rewritten = match self.fate(&header, &batch) {
                    Fate::Stays => None,
                    Fate::Goes => Some(Vec::new()),
                    Fate::Becomes(batch) => Some(batch),
                };
                is_changed |= rewritten.is_some();
                let batch = rewritten.as_deref().unwrap_or(&batch);
                if !batch.is_empty() {
                    writer.write_all(batch)?;
                    cleaned.admit(&BatchHeader::parse(batch).map_err(io::Error::other)?);
                }
            }
        }
        writer.flush()?;
        drop(writer);
        if !is_changed {
            std::fs::remove_file(&cleaned.path)?;
            return Ok(None);
        }
        file.sync_all()?;
        Ok(Some(cleaned))
    }

    fn fate(&mut self, header: &BatchHeader, batch: &[u8]) -> Fate {
        let Some((former, body)) = batch.split_first_chunk::<HEADER_BYTES>() else {
            return Fate::Stays;
        };
        let records = if is_opaque(header) {
            None
        } else {
            Records::all(body, header.record_count)
        };
        let Some(records) = records else {
            self.opaque_before |= !header.is_control();
            return Fate::Stays;
        };
        let (kept, has_tombstones) = self.select(header, &records);
        if kept.is_empty() && !self.last_batches.contains(&header.base_offset) {
            return Fate::Goes;
        }
        let horizon = self.horizon(header, has_tombstones);
        if kept.len() == records.len() && horizon == header.delete_horizon() {
            return Fate::Stays;
        }
        Fate::Becomes(compacted(header, &kept, horizon).in_place_of(former))
    }

    /// The records that stay, and whether there is a tombstone among them whose time can be set.
    fn select<'r>(
        &self,
        header: &BatchHeader,
        records: &[RecordView<'r>],
    ) -> (Vec<RecordView<'r>>, bool) {
        let horizon = header.delete_horizon();
        let tombstones_go = !self.opaque_before && horizon.is_some_and(|at| at <= self.now_ms);
        let is_known = header.next_offset() <= self.latest.end();
        let stays = |record: &&RecordView<'_>| {
            // Kafka drops records without a key too: a compacted topic takes none.
            record.key.is_some_and(|key| {
                let offset = header.base_offset + record.offset_delta;
                let is_gone = record.is_tombstone && tombstones_go;
                !is_gone && !self.latest.has_later(key, offset)
            })
        };
        let kept: Vec<_> = match is_known {
            true => records.iter().filter(stays).copied().collect(),
            false => records.to_vec(),
        };
        let has_tombstones = is_known && kept.iter().any(|record| record.is_tombstone);
        (kept, has_tombstones)
    }

    /// From the first compaction on that keeps them, tombstones have their time.
    fn horizon(&mut self, header: &BatchHeader, has_tombstones: bool) -> Option<i64> {
        if !has_tombstones {
            return header.delete_horizon();
        }
        let after_retention = self.now_ms.saturating_add(self.how.delete_retention_ms);
        let horizon = header.delete_horizon().unwrap_or(after_retention);
        if !self.opaque_before {
            let next = self.next_horizon.unwrap_or(i64::MAX);
            self.next_horizon = Some(next.min(horizon));
        }
        Some(horizon)
    }
}

fn compacted(header: &BatchHeader, kept: &[RecordView<'_>], horizon: Option<i64>) -> Compacted {
    let timestamp =
        |record: &RecordView<'_>| header.base_timestamp.saturating_add(record.timestamp_delta);
    let newest = kept.iter().map(timestamp).max();
    let base_timestamp = horizon.unwrap_or(header.base_timestamp);
    let mut records = Vec::with_capacity(header.size);
    for record in kept {
        if base_timestamp == header.base_timestamp {
            records.extend_from_slice(record.bytes);
        } else {
            put_record(&mut records, record, timestamp(record) - base_timestamp);
        }
    }
    Compacted {
        records,
        record_count: kept.len() as i32,
        max_timestamp: match newest {
            Some(newest) if !header.has_log_append_time() => newest,
            _ => header.max_timestamp,
        },
        delete_horizon: horizon,
    }
}

/// Writes `record` with another timestamp delta.
fn put_record(to: &mut Vec<u8>, record: &RecordView<'_>, timestamp_delta: i64) {
    let mut content = vec![record.attributes];
    put_varint(&mut content, timestamp_delta);
    content.extend_from_slice(record.rest);
    put_varint(to, content.len() as i64);
    to.extend_from_slice(&content);
}
