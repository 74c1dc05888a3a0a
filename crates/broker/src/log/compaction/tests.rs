//! What compaction keeps, what it removes, and what a crash in it leaves.

mod compressed;
mod transactions;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::super::batch::tests::BatchOf;
use super::super::batch::{BatchHeader, HEADER_BYTES};
use super::super::codec::{Codec, MAX_DECODED_BYTES};
use super::super::records::{Records, tests::record};
use super::super::{Append, Marker, Outcome, segment};
use super::*;

/// Offset, key and whether there is a value.
type Seen = (i64, String, bool);

const TRANSACTIONAL: i16 = 0x10;

const ALWAYS: Compaction = Compaction {
    min_dirty_ratio: 0.0,
    min_lag_ms: 0,
    max_lag_ms: i64::MAX,
    delete_retention_ms: 1_000,
    segment_bytes: 1_000_000,
};

struct Log {
    directory: tempfile::TempDir,
    partition: Partition,
    segment_bytes: u64,
}

impl Log {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            partition: Partition::open(0, directory.path().join("0")).unwrap(),
            directory,
            segment_bytes: 300,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("0")
    }

    fn reopen(&mut self) {
        self.partition = Partition::open(0, self.path()).unwrap();
    }

    /// Appends one batch with a record for each key; those that begin with `-` are tombstones.
    fn batch(&self, keys: &[&str], attributes: i16, producer: (i64, i16, i32)) {
        self.append(keys.len(), records(keys), attributes, producer);
    }

    /// Appends one batch with `body` behind a header that says `count` records.
    fn append(&self, count: usize, body: Vec<u8>, attributes: i16, producer: (i64, i16, i32)) {
        let batch = BatchOf {
            count: count as i32,
            timestamp: 5_000,
            producer,
            body,
            ..BatchOf::default()
        };
        let batch = batch.with_attributes(attributes);
        let how = Append {
            segment_bytes: self.segment_bytes,
            append_time: None,
        };
        self.partition.append(&batch, &how).unwrap();
    }

    /// Ends the transaction of producer `producer_id`, if it is in one.
    fn end_transaction(&self, producer_id: i64, outcome: Outcome) {
        let marker = Marker {
            producer_id,
            producer_epoch: 0,
            outcome,
            timestamp: 5_000,
        };
        let how = Append {
            segment_bytes: self.segment_bytes,
            append_time: None,
        };
        self.partition.end_transaction(&marker, &how).unwrap();
    }

    fn put(&self, keys: &[&str]) {
        for key in keys {
            self.batch(&[key], 0, (-1, -1, -1));
        }
    }

    fn seal(&self) {
        self.partition.log().roll_if_older(-1, i64::MAX).unwrap();
    }

    fn compact(&self, now_ms: i64) -> bool {
        self.compact_as(&ALWAYS, now_ms)
    }

    fn compact_as(&self, how: &Compaction, now_ms: i64) -> bool {
        let never = AtomicBool::new(false);
        self.partition.compact(how, now_ms, &never).unwrap()
    }

    /// Everything a consumer sees from `offset` on, reading batch by batch.
    fn from(&self, mut offset: i64) -> Vec<Seen> {
        let mut seen = Vec::new();
        loop {
            let span = self.partition.log().span(offset);
            let Some(span) = span else { return seen };
            let batch = span.read(1, true, i64::MAX).unwrap();
            let header = BatchHeader::parse(&batch).unwrap();
            header.check_crc(&batch).unwrap();
            let records = header.decode(&batch[HEADER_BYTES..]);
            if let (Some(records), false) = (records, header.is_control()) {
                for record in Records::of(&records) {
                    assert_eq!(header.base_timestamp + record.timestamp_delta, 5_000);
                    let at = header.base_offset + record.offset_delta;
                    let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
                    if at >= offset {
                        seen.push((at, key, !record.is_tombstone));
                    }
                }
            }
            assert!(header.next_offset() > offset, "reading goes on");
            offset = header.next_offset();
        }
    }

    fn first_batch(&self) -> bytes::Bytes {
        let span = self.partition.log().span(0).unwrap();
        span.read(1, true, 9).unwrap()
    }

    fn keys(&self) -> Vec<String> {
        self.from(0).into_iter().map(|(_, key, _)| key).collect()
    }

    fn bases(&self) -> Vec<i64> {
        bases(&self.path())
    }
}

/// A record for each key; those that begin with `-` are tombstones.
fn records(keys: &[&str]) -> Vec<u8> {
    let records = keys.iter().enumerate().map(|(n, key)| {
        let value = (!key.starts_with('-')).then_some("a value");
        record((0, n as i64), Some(key.trim_start_matches('-')), value)
    });
    records.collect::<Vec<_>>().concat()
}

fn bases(path: &Path) -> Vec<i64> {
    let listed = segment::list(path).unwrap();
    listed.into_iter().map(|(base, _)| base).collect()
}

#[test]
fn the_last_record_of_each_key_stays_at_its_offset() {
    let mut log = Log::new();
    log.batch(&["a", "b", "a"], 0, (-1, -1, -1));
    log.put(&["b", "c", "a", "d"]);
    log.seal();

    assert!(log.compact(0));

    let expected = [(3, "b"), (4, "c"), (5, "a"), (6, "d")].map(|(n, k)| (n, k.to_owned(), true));
    assert_eq!(log.from(0), expected);
    log.reopen();
    assert_eq!(log.from(0), expected);
    let log = log.partition.log();
    assert_eq!((log.start_offset(), log.next_offset()), (0, 7));
}

#[test]
fn every_offset_is_readable_and_leads_to_the_next_record() {
    let log = Log::new();
    for n in 0..100 {
        log.put(&[&format!("{}", n % 7)]);
    }
    log.seal();

    log.compact(0);

    let all = log.from(0);
    assert_eq!(all.len(), 7);
    for offset in 0..100 {
        let expected: Vec<_> = all.iter().filter(|(at, ..)| *at >= offset).collect();
        assert_eq!(
            log.from(offset).iter().collect::<Vec<_>>(),
            expected,
            "{offset}"
        );
    }
}

#[test]
fn the_active_segment_is_left_alone() {
    let log = Log::new();
    log.put(&["a", "a"]);
    log.seal();
    log.put(&["a", "a"]);

    log.compact(0);

    assert_eq!(
        log.from(0).iter().map(|seen| seen.0).collect::<Vec<_>>(),
        [1, 2, 3]
    );
}

#[test]
fn small_segments_are_put_together_and_a_topic_does_not_grow() {
    let log = Log::new();
    let mut most = 0;
    for round in 0..50 {
        log.put(&["a", "b", "c", "d", "e"]);
        log.seal();
        log.compact(round);
        most = most.max(log.bases().len());
    }

    assert_eq!(log.from(0).len(), 5);
    assert!(most <= 3, "{most} segments");
}

#[test]
fn a_tombstone_stays_for_its_retention_and_then_goes() {
    let mut log = Log::new();
    log.put(&["a", "b", "-a"]);
    log.seal();

    assert!(log.compact(10_000));
    let tombstone = (2, "a".to_owned(), false);
    assert_eq!(log.from(0), [(1, "b".to_owned(), true), tombstone.clone()]);
    assert!(!log.compact(10_999), "nothing is due");
    log.reopen();
    log.compact(10_999);
    assert!(
        log.from(0).contains(&tombstone),
        "its time is kept across restarts"
    );

    assert!(log.compact(11_000));
    assert_eq!(log.from(0), [(1, "b".to_owned(), true)]);
}

#[test]
fn what_the_broker_does_not_look_into_is_copied_and_keeps_the_tombstones_behind_it() {
    let too_large = "x".repeat(MAX_DECODED_BYTES);
    let bomb = record((0, 0), Some("a"), Some(&too_large));
    let bomb = Codec::Zstd.encode(bomb).unwrap();
    let misplaced = record((i64::MIN, i64::MAX), Some("a"), None);
    let opaque = [
        (Codec::Zstd.id(), bomb),
        (Codec::Gzip.id(), records(&["a"])),
        (
            Codec::Lz4.id(),
            Codec::Lz4.encode(b"garbage".to_vec()).unwrap(),
        ),
        (7, records(&["a"])),
        (0, misplaced),
    ];
    for (attributes, body) in opaque {
        let log = Log::new();
        log.append(1, body, attributes, (9, 0, 0));
        log.put(&["-a", "b", "b"]);
        log.seal();
        let before = log.first_batch();

        log.compact(10_000);
        log.put(&["c"]);
        log.seal();
        log.compact(20_000);

        assert_eq!(before, log.first_batch(), "attributes {attributes}");
        // Were the tombstone gone, the deleted "a" in the first batch would be there again.
        let behind = log.from(1).into_iter();
        let behind: Vec<_> = behind.map(|(_, key, has_value)| (key, has_value)).collect();
        let expected = [("a", false), ("b", true), ("c", true)];
        assert_eq!(behind, expected.map(|(key, value)| (key.to_owned(), value)));
    }
}

#[test]
fn nothing_is_compacted_from_an_open_transaction_on() {
    let mut log = Log::new();
    log.segment_bytes = 1;
    log.put(&["a", "a"]);
    log.batch(&["a"], TRANSACTIONAL, (9, 0, 0));
    log.put(&["a", "a", "a"]);
    let offsets = |log: &Log| -> Vec<_> { log.from(0).iter().map(|seen| seen.0).collect() };

    assert!(log.compact(0));
    assert_eq!(offsets(&log), [1, 2, 3, 4, 5]);
    log.reopen();
    log.compact(0);
    assert_eq!(offsets(&log), [1, 2, 3, 4, 5], "as before the restart");

    log.end_transaction(9, Outcome::Aborted);
    assert!(log.compact(0));
    assert_eq!(offsets(&log), [5], "what was aborted goes");
}

#[test]
fn a_producer_goes_on_after_a_restart_though_its_last_record_is_gone() {
    let mut log = Log::new();
    log.batch(&["mine"], 0, (7, 0, 0));
    log.batch(&["shared"], 0, (7, 0, 1));
    log.batch(&["shared"], 0, (8, 0, 0));
    log.seal();

    log.compact(0);
    assert_eq!(log.keys(), ["mine", "shared"]);
    log.reopen();

    // Refused as out of order if the broker had forgotten sequence 1.
    log.batch(&["next"], 0, (7, 0, 2));
    assert_eq!(log.keys(), ["mine", "shared", "next"]);
}

#[test]
fn compaction_waits_until_enough_is_dirty() {
    let log = Log::new();
    let half = Compaction {
        min_dirty_ratio: 0.5,
        ..ALWAYS
    };
    log.put(&["a", "b", "c", "d"]);
    log.seal();
    assert!(log.compact_as(&half, 10_000));
    log.put(&["a"]);
    log.seal();

    assert!(!log.compact_as(&half, 10_000), "one of five");
    let hurried = Compaction {
        max_lag_ms: 1,
        ..half
    };
    assert!(log.compact_as(&hurried, 10_000));
    assert_eq!(log.keys(), ["b", "c", "d", "a"]);
}

#[test]
fn records_younger_than_the_lag_stay() {
    let log = Log::new();
    let lag = Compaction {
        min_lag_ms: 1_000,
        ..ALWAYS
    };
    log.put(&["a", "a"]);
    log.seal();

    assert!(!log.compact_as(&lag, 5_999));
    assert!(log.compact_as(&lag, 6_000));
}

#[test]
fn more_keys_than_fit_into_memory_are_compacted_in_several_rounds() {
    let log = Log::new();
    for n in 0..40 {
        log.put(&[&format!("{}", n % 20)]);
    }
    log.seal();
    let spans = |log: &Log| -> Vec<Span> {
        let plan = log.partition.log().plan_compaction(&ALWAYS, 0).unwrap();
        plan.sealed.into_iter().map(|sealed| sealed.span).collect()
    };

    let go_on = AtomicBool::new(false);
    let none = AbortedBatches::default();
    let few = LatestOffsets::of(spans(&log).iter(), &none, 0, 300, &go_on).unwrap();
    let rest = LatestOffsets::of(spans(&log).iter(), &none, few.end(), usize::MAX, &go_on).unwrap();

    assert_eq!((few.end(), rest.end()), (5, 40));
    assert!(!few.has_later(b"0", 0) && rest.has_later(b"0", 0));
}

#[test]
fn a_crash_at_any_step_of_the_exchange_loses_no_key_and_brings_none_back() {
    // Each step as the files it leaves: the cleaned segment beside the log, in the place of the
    // first, and with each of the others removed one after the other.
    let finished = |log: &Log| {
        log.put(&["a", "b", "c", "-d", "a", "b", "e", "-c", "f"]);
        log.seal();
        log.put(&["g"]);
    };
    let read = |path: &Path| -> HashMap<PathBuf, Vec<u8>> {
        let files = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        files
            .map(|path| (path.clone(), fs::read(&path).unwrap()))
            .collect()
    };
    let mut log = Log::new();
    log.segment_bytes = 200;
    finished(&log);
    let before = read(&log.path());
    log.compact(10_000);
    let expected = log.from(0);
    let after = read(&log.path());
    let mut merged: Vec<_> = before
        .keys()
        .filter(|path| !after.contains_key(*path))
        .collect();
    merged.sort();
    assert!(merged.len() > 2, "several segments became one");

    for step in 0..=merged.len() {
        for (path, bytes) in before
            .iter()
            .filter(|(path, _)| merged[step..].contains(path))
        {
            fs::write(path, bytes).unwrap();
        }
        fs::write(
            log.path().join("00000000000000000000.cleaned"),
            b"half of a seg",
        )
        .unwrap();

        log.reopen();

        assert_eq!(log.from(0), expected, "{step} removed");
        assert_eq!(read(&log.path()), after, "{step} removed");
    }
}

#[test]
fn a_compaction_that_is_told_to_stop_leaves_the_log_as_it_is() {
    let log = Log::new();
    log.put(&["a", "a", "b", "a"]);
    log.seal();
    let before = log.from(0);

    let stop = AtomicBool::new(true);
    assert!(!log.partition.compact(&ALWAYS, 0, &stop).unwrap());

    assert_eq!(log.from(0), before);
    let files = fs::read_dir(log.path()).unwrap();
    assert_eq!(files.count(), log.bases().len(), "nothing unfinished");
    assert!(log.compact(0), "it is still to be done");
    assert_eq!(log.keys(), ["b", "a"]);
}
