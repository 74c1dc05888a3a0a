//! Compaction: of the records of a key, the last one stays. Offsets stay as they are, with gaps.
//!
//! Only sealed segments are compacted. Each group of neighbours is rewritten as one segment beside the
//! log, without its lock, and takes their place by a rename. What a crash leaves is either a file
//! without a place, or segments that are in the one before them already; recovery removes both.
//!
//! A compressed batch is decoded, and what is left of it compressed as it was: in the same codec it can be
//! read by whoever could read it before, and takes about as little room.
//!
//! Of transactions, all of which have ended where segments are compacted, those that were aborted go as a whole. A
//! marker goes as a tombstone does, some time after the last batch of its transaction: without it, the next start
//! would take that transaction for an open one.
//!
//! Batches that cannot be decoded or are too large for that are copied as they are. As they may hold a key that
//! a tombstone behind them deleted, such a tombstone stays.

mod latest;
mod rewrite;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::read::Span;
use super::segment::Segment;
use super::transactions::AbortedBatches;
use super::{Partition, PartitionLog};
use crate::durable;
use latest::LatestOffsets;
use rewrite::Rewrite;

/// How a log is compacted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Compaction {
    /// The share of bytes not compacted yet from which on compaction is worth its while.
    pub(crate) min_dirty_ratio: f64,
    /// Milliseconds that a record stays as it is.
    pub(crate) min_lag_ms: i64,
    /// Milliseconds after which a record is compacted whatever the ratio.
    pub(crate) max_lag_ms: i64,
    /// Milliseconds that a tombstone stays after what it deletes is gone, so that readers see it.
    pub(crate) delete_retention_ms: i64,
    /// Size in bytes up to which small segments are put together.
    pub(crate) segment_bytes: u64,
}

/// How far a log is compacted. Not kept across restarts: the first compaction after one looks at everything.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Below this offset no key occurs twice, batches aside that are copied as they are.
    clean_below: i64,
    /// When a tombstone can go next, in milliseconds since 1970.
    next_horizon: Option<i64>,
}

/// The sealed segments that can be compacted now, as they were when the log was asked.
#[derive(Debug)]
struct Plan {
    sealed: Vec<Sealed>,
    clean_below: i64,
    last_batches: HashSet<i64>,
    aborted: AbortedBatches,
}

#[derive(Debug)]
struct Sealed {
    base_offset: i64,
    size: u64,
    path: PathBuf,
    span: Span,
}

impl Partition {
    /// Compacts the log if there is enough to do; returns whether it was compacted to the end. Blocks, until
    /// it is done or told to `stop`; besides the keys, it has one batch in memory at a time.
    ///
    /// # Errors
    ///
    /// The log cannot be read or rewritten; it is as it was, or compacted in part.
    pub(crate) fn compact(
        &self,
        how: &Compaction,
        now_ms: i64,
        stop: &AtomicBool,
    ) -> io::Result<bool> {
        let Some(plan) = self.log().plan_compaction(how, now_ms) else {
            return Ok(false);
        };
        let dirty = plan.sealed.iter().map(|sealed| &sealed.span);
        let most = latest::MAX_BYTES;
        let latest = LatestOffsets::of(dirty, &plan.aborted, plan.clean_below, most, stop)?;
        let mut rewrite = Rewrite::new(&latest, &plan.last_batches, &plan.aborted, how, now_ms);
        let reached = plan
            .sealed
            .iter()
            .position(|sealed| sealed.base_offset >= latest.end());
        let sealed = &plan.sealed[..reached.unwrap_or(plan.sealed.len())];
        let is_stopped = || stop.load(Ordering::Relaxed);
        for group in groups(sealed, how.segment_bytes).take_while(|_| !is_stopped()) {
            let Some(cleaned) = rewrite.group(group, stop)? else {
                continue;
            };
            // What comes behind a group is compacted as if all before were: without this one it cannot be.
            if !self.replace(group, cleaned, &rewrite.take_gone_markers())? {
                return Ok(false);
            }
        }
        if is_stopped() {
            return Ok(false);
        }
        self.log().compaction = Progress {
            clean_below: latest.end(),
            next_horizon: rewrite.next_horizon(),
        };
        Ok(true)
    }

    /// Puts `cleaned` in the place of `group`, without the markers at these offsets; returns whether it has a place.
    fn replace(
        &self,
        group: &[Sealed],
        mut cleaned: Segment,
        gone_markers: &HashSet<i64>,
    ) -> io::Result<bool> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            return Ok(false);
        };
        {
            let mut log = self.log();
            let place = |of: &Sealed| {
                let mut segments = log.segments.iter();
                segments.position(|segment| segment.base_offset == of.base_offset)
            };
            let (false, Some(begin), Some(end)) = (log.deleted, place(first), place(last)) else {
                // The deletion of records or of the topic was faster.
                drop(log);
                remove_if_there(&cleaned.path)?;
                return Ok(false);
            };
            fs::rename(&cleaned.path, &first.path)?;
            cleaned.path.clone_from(&first.path);
            log.segments.splice(begin..=end, [cleaned]);
            log.transactions.forget_markers(gone_markers);
        }
        // Before the others go: what they held must be on disk under its new name.
        durable::sync_parent(&first.path)?;
        for merged in &group[1..] {
            remove_if_there(&merged.path)?;
        }
        Ok(true)
    }
}

impl PartitionLog {
    fn plan_compaction(&self, how: &Compaction, now_ms: i64) -> Option<Plan> {
        if self.deleted {
            return None;
        }
        let stable = self.last_stable_offset();
        let is_old_enough = |segment: &Segment| {
            let newest = segment.index.max_timestamp();
            how.min_lag_ms == 0 || newest.saturating_add(how.min_lag_ms) <= now_ms
        };
        let sealed = self.segments.split_last()?.1.iter();
        let segments: Vec<_> = sealed
            .take_while(|segment| segment.next_offset <= stable && is_old_enough(segment))
            .collect();
        if !self.is_worth_compacting(&segments, how, now_ms) {
            return None;
        }
        Some(Plan {
            sealed: segments.into_iter().map(Sealed::of).collect(),
            clean_below: self.compaction.clean_below,
            last_batches: self.producers.last_batches(),
            aborted: self.transactions.aborted_batches(),
        })
    }

    fn is_worth_compacting(&self, sealed: &[&Segment], how: &Compaction, now_ms: i64) -> bool {
        let clean_below = self.compaction.clean_below;
        let is_dirty = |segment: &&&Segment| segment.size > 0 && segment.next_offset > clean_below;
        let size = |segment: &&Segment| segment.size;
        let all: u64 = sealed.iter().map(size).sum();
        let dirty: u64 = sealed.iter().filter(is_dirty).map(size).sum();
        let tombstones_are_due = self.compaction.next_horizon.is_some_and(|at| at <= now_ms);
        let waited_too_long = sealed.iter().filter(is_dirty).any(|segment| {
            let newest = segment.index.max_timestamp();
            newest.saturating_add(how.max_lag_ms) < now_ms
        });
        tombstones_are_due
            || dirty > 0 && (waited_too_long || dirty as f64 >= how.min_dirty_ratio * all as f64)
    }
}

impl Sealed {
    fn of(segment: &Segment) -> Self {
        Self {
            base_offset: segment.base_offset,
            size: segment.size,
            path: segment.path.clone(),
            span: Span::new(segment, 0, segment.base_offset),
        }
    }
}

/// Neighbours that fit into one segment together; at least one each.
fn groups(sealed: &[Sealed], segment_bytes: u64) -> impl Iterator<Item = &[Sealed]> {
    let mut left = sealed;
    std::iter::from_fn(move || {
        let mut size = 0;
        let fits = left.iter().take_while(|sealed| {
            size += sealed.size;
            size <= segment_bytes
        });
        let count = fits.count().max(1).min(left.len());
        let (group, after) = left.split_at(count);
        left = after;
        (!group.is_empty()).then_some(group)
    })
}

fn remove_if_there(path: &std::path::Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
