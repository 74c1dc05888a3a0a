//! Rewriting segments without the records that are not the last of their key.

use std::collections::HashSet;
use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::batch::{BatchHeader, Compacted, HEADER_BYTES};
use super::super::codec::Codec;
use super::super::records::{RecordView, Records, put_varint};
use super::super::segment::Segment;
use super::super::transactions::AbortedBatches;
use super::latest::LatestOffsets;
use super::{Compaction, Sealed};

/// One pass over a log from its start on.
#[derive(Debug)]
pub(super) struct Rewrite<'a> {
    latest: &'a LatestOffsets,
    last_batches: &'a HashSet<i64>,
    aborted: &'a AbortedBatches,
    how: &'a Compaction,
    now_ms: i64,
    /// Whether a batch that could not be looked into lies before the present one.
    opaque_before: bool,
    /// The producers of which a batch stayed whose transaction's marker is still to come.
    open: HashSet<i64>,
    /// The offsets of markers that did not stay.
    gone_markers: HashSet<i64>,
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
        aborted: &'a AbortedBatches,
        how: &'a Compaction,
        now_ms: i64,
    ) -> Self {
        Self {
            latest,
            last_batches,
            aborted,
            how,
            now_ms,
            opaque_before: false,
            open: HashSet::new(),
            gone_markers: HashSet::new(),
            next_horizon: None,
        }
    }

    /// When a tombstone that stayed can go, in milliseconds since 1970.
    pub(super) fn next_horizon(&self) -> Option<i64> {
        self.next_horizon
    }

    /// The offsets of markers that did not stay since this was last asked.
    pub(super) fn take_gone_markers(&mut self) -> HashSet<i64> {
        std::mem::take(&mut self.gone_markers)
    }

    /// Writes what stays of `group` as one segment that is on disk but has no place in the log yet;
    /// `None` when everything stays as it is, and when it is told to `stop`.
    ///
    /// # Errors
    ///
    /// A segment cannot be read, or the new one not written.
    pub(super) fn group(
        &mut self,
        group: &[Sealed],
        stop: &AtomicBool,
    ) -> io::Result<Option<Segment>> {
        let Some(first) = group.first() else {
            return Ok(None);
        };
        let mut cleaned = Segment::create_unfinished(&first.path, first.base_offset)?;
        let written = self.write(group, &mut cleaned, stop);
        if matches!(written, Ok(true)) {
            return Ok(Some(cleaned));
        }
        // On a full disk what was written so far is in the way of everything else.
        std::fs::remove_file(&cleaned.path)?;
        written.map(|_| None)
    }

    /// Writes what stays of `group` into `cleaned`; returns whether that is to take its place.
    fn write(
        &mut self,
        group: &[Sealed],
        cleaned: &mut Segment,
        stop: &AtomicBool,
    ) -> io::Result<bool> {
        let file = cleaned.file.clone();
        let mut writer = BufWriter::new(&*file);
        let mut is_changed = group.len() > 1;
        for sealed in group {
            for found in sealed.span.headers() {
                // A segment of compressed batches takes its time, and a broker that stops waits for this.
                if stop.load(Ordering::Relaxed) {
                    return Ok(false);
                }
                let (position, header) = found?;
                let batch = sealed.span.read_at(position, header.size)?;
                let rewritten = match self.fate(&header, &batch)? {
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
        if is_changed {
            file.sync_all()?;
        }
        Ok(is_changed)
    }

    fn fate(&mut self, header: &BatchHeader, batch: &[u8]) -> io::Result<Fate> {
        let Some((former, body)) = batch.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(Fate::Stays);
        };
        let fate = match header.is_control() {
            true => return self.fate_of_marker(header, former, body),
            false => self.fate_of_data(header, former, body)?,
        };
        if header.is_transactional() && !matches!(fate, Fate::Goes) {
            self.open.insert(header.producer_id);
        }
        Ok(fate)
    }

    /// A marker whose transaction has no batch any more has its time, and then goes.
    fn fate_of_marker(
        &mut self,
        header: &BatchHeader,
        former: &[u8; HEADER_BYTES],
        body: &[u8],
    ) -> io::Result<Fate> {
        if self.open.remove(&header.producer_id) {
            return Ok(Fate::Stays);
        }
        if header.delete_horizon().is_some_and(|at| at <= self.now_ms) {
            self.gone_markers.insert(header.base_offset);
            return Ok(Fate::Goes);
        }
        let horizon = self.horizon(header);
        if horizon == header.delete_horizon() {
            return Ok(Fate::Stays);
        }
        let record = Records::of(body);
        Ok(Fate::Becomes(
            compacted(header, record, horizon)?.in_place_of(former),
        ))
    }

    fn fate_of_data(
        &mut self,
        header: &BatchHeader,
        former: &[u8; HEADER_BYTES],
        body: &[u8],
    ) -> io::Result<Fate> {
        let is_aborted = self.aborted.has(header);
        let Some(records) = header.decode(body) else {
            self.opaque_before |= !is_aborted;
            return Ok(Fate::Stays);
        };
        let stays = self.stays(header);
        let kept = Records::of(&records).filter(|record| !is_aborted && stays(record));
        let (mut count, mut has_tombstones) = (0, false);
        for record in kept.clone() {
            count += 1;
            has_tombstones |= record.is_tombstone;
        }
        if count == 0 && !self.last_batches.contains(&header.base_offset) {
            return Ok(Fate::Goes);
        }
        // From the first compaction on that keeps them, tombstones have their time.
        let horizon = match has_tombstones && self.knows(header) {
            true if self.opaque_before => self.horizon_of(header),
            true => self.horizon(header),
            false => header.delete_horizon(),
        };
        if count == header.record_count && horizon == header.delete_horizon() {
            return Ok(Fate::Stays);
        }
        Ok(Fate::Becomes(
            compacted(header, kept, horizon)?.in_place_of(former),
        ))
    }

    /// Whether it is known of each key in a batch whether it comes again.
    fn knows(&self, header: &BatchHeader) -> bool {
        header.next_offset() <= self.latest.end()
    }

    /// Which records of a batch stay.
    fn stays(&self, header: &BatchHeader) -> impl Fn(&RecordView<'_>) -> bool + Clone + use<'a> {
        let horizon = header.delete_horizon();
        let tombstones_go = !self.opaque_before && horizon.is_some_and(|at| at <= self.now_ms);
        let (latest, is_known, base_offset) = (self.latest, self.knows(header), header.base_offset);
        move |record| {
            // Kafka drops records without a key too: a compacted topic takes none.
            let is_last = |key| {
                let is_gone = record.is_tombstone && tombstones_go;
                !is_gone && !latest.has_later(key, base_offset + record.offset_delta)
            };
            !is_known || record.key.is_some_and(is_last)
        }
    }

    /// When something in a batch may go whose time begins now, unless it has begun.
    fn horizon_of(&self, header: &BatchHeader) -> Option<i64> {
        let after_retention = self.now_ms.saturating_add(self.how.delete_retention_ms);
        header.delete_horizon().or(Some(after_retention))
    }

    /// The same, for what is to go then.
    fn horizon(&mut self, header: &BatchHeader) -> Option<i64> {
        let horizon = self.horizon_of(header);
        self.next_horizon = self.next_horizon.into_iter().chain(horizon).min();
        horizon
    }
}

fn compacted<'r>(
    header: &BatchHeader,
    kept: impl Iterator<Item = RecordView<'r>>,
    horizon: Option<i64>,
) -> io::Result<Compacted> {
    let base_timestamp = horizon.unwrap_or(header.base_timestamp);
    // A producer may write any delta. Readers add it and wrap around, so this moves none of their sums.
    let moved_by = header.base_timestamp.wrapping_sub(base_timestamp);
    let mut records = Vec::new();
    let mut record_count = 0;
    let mut newest = None;
    for record in kept {
        if moved_by == 0 {
            records.extend_from_slice(record.bytes);
        } else {
            put_record(
                &mut records,
                &record,
                record.timestamp_delta.wrapping_add(moved_by),
            );
        }
        record_count += 1;
        let timestamp = header.base_timestamp.saturating_add(record.timestamp_delta);
        newest = newest.max(Some(timestamp));
    }
    let codec = match header.codec() {
        // No bytes at all are no frame of any codec.
        Some(codec) if record_count > 0 => codec,
        _ => Codec::None,
    };
    Ok(Compacted {
        records: codec.encode(records)?,
        codec,
        record_count,
        max_timestamp: match newest {
            Some(newest) if !header.has_log_append_time() => newest,
            _ => header.max_timestamp,
        },
        delete_horizon: horizon,
    })
}

/// Writes `record` with another timestamp delta.
fn put_record(to: &mut Vec<u8>, record: &RecordView<'_>, timestamp_delta: i64) {
    let mut content = vec![record.attributes];
    put_varint(&mut content, timestamp_delta);
    content.extend_from_slice(record.rest);
    put_varint(to, content.len() as i64);
    to.extend_from_slice(&content);
}
