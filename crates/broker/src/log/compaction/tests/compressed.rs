//! Compressed batches are compacted like any others, and stay compressed.

use super::super::super::codec::tests::{COMPRESSED, xerial};
use super::*;

const NO_PRODUCER: (i64, i16, i32) = (-1, -1, -1);

impl Log {
    fn compressed(&self, codec: Codec, keys: &[&str], producer: (i64, i16, i32)) {
        let body = codec.encode(records(keys)).unwrap();
        self.append(keys.len(), body, codec.id(), producer);
    }
}

fn seen(expected: &[(i64, &str, bool)]) -> Vec<Seen> {
    let expected = expected.iter();
    expected
        .map(|(offset, key, has_value)| (*offset, (*key).to_owned(), *has_value))
        .collect()
}

#[test]
fn the_last_record_of_each_key_stays_at_its_offset_in_the_codec_it_came_in() {
    for codec in COMPRESSED {
        let mut log = Log::new();
        log.compressed(codec, &["a", "b", "c", "a", "d", "a"], NO_PRODUCER);
        log.put(&["b"]);
        log.compressed(codec, &["b", "e", "b"], NO_PRODUCER);
        log.seal();

        assert!(log.compact(0));

        let expected = seen(&[
            (2, "c", true),
            (4, "d", true),
            (5, "a", true),
            (8, "e", true),
            (9, "b", true),
        ]);
        assert_eq!(log.from(0), expected, "{codec:?}");
        let header = BatchHeader::parse(&log.first_batch()).unwrap();
        assert_eq!((header.codec(), header.record_count), (Some(codec), 3));
        for offset in 0..10 {
            let behind = expected.iter().filter(|(at, ..)| *at >= offset);
            assert_eq!(log.from(offset), behind.cloned().collect::<Vec<_>>());
        }
        log.reopen();
        assert_eq!(log.from(0), expected, "{codec:?}, after a restart");
    }
}

#[test]
fn the_framing_of_the_java_client_is_understood() {
    let log = Log::new();
    let body = xerial(&records(&["a", "b", "a"]));
    log.append(3, body, Codec::Snappy.id(), NO_PRODUCER);
    log.seal();

    log.compact(0);

    assert_eq!(log.from(0), seen(&[(1, "b", true), (2, "a", true)]));
}

#[test]
fn a_batch_that_loses_nothing_stays_byte_for_byte() {
    for codec in COMPRESSED {
        let log = Log::new();
        log.compressed(codec, &["a", "b"], NO_PRODUCER);
        log.put(&["c", "c"]);
        log.seal();
        let before = log.first_batch();

        log.compact(0);

        assert_eq!(log.first_batch(), before, "{codec:?}");
        assert_eq!(log.keys(), ["a", "b", "c"]);
    }
}

#[test]
fn tombstones_in_compressed_batches_go_after_their_retention() {
    for codec in COMPRESSED {
        let mut log = Log::new();
        log.compressed(codec, &["a", "b", "-a"], NO_PRODUCER);
        log.seal();

        assert!(log.compact(10_000));
        let both = seen(&[(1, "b", true), (2, "a", false)]);
        assert_eq!(log.from(0), both, "{codec:?}");
        log.reopen();
        log.compact(10_999);
        assert_eq!(log.from(0), both, "{codec:?}: its time is kept");

        assert!(log.compact(11_000));
        assert_eq!(log.from(0), seen(&[(1, "b", true)]), "{codec:?}");
    }
}

#[test]
fn the_last_batch_of_a_producer_is_emptied_and_says_that_it_is_not_compressed() {
    for codec in COMPRESSED {
        let mut log = Log::new();
        log.compressed(codec, &["a", "a"], (7, 0, 0));
        log.compressed(codec, &["a"], (8, 0, 0));
        log.seal();

        log.compact(0);
        log.reopen();

        let header = BatchHeader::parse(&log.first_batch()).unwrap();
        assert_eq!(
            (header.codec(), header.size),
            (Some(Codec::None), HEADER_BYTES)
        );
        // Refused as out of order if the broker had forgotten sequence 1.
        log.compressed(codec, &["b"], (7, 0, 2));
        assert_eq!(
            log.from(0),
            seen(&[(2, "a", true), (3, "b", true)]),
            "{codec:?}"
        );
    }
}

#[test]
fn a_topic_of_compressed_batches_does_not_grow() {
    for codec in COMPRESSED {
        let log = Log::new();
        let keys: Vec<String> = (0..100).map(|n| format!("key {n}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let size = || -> u64 {
            let log = log.partition.log();
            log.segments.iter().map(|segment| segment.size).sum()
        };
        let mut most = 0;
        for round in 0..20 {
            log.compressed(codec, &keys, NO_PRODUCER);
            log.seal();
            log.compact(round);
            most = most.max(size());
        }

        assert_eq!(log.from(0).len(), 100, "{codec:?}");
        let one = HEADER_BYTES + codec.encode(records(&keys)).unwrap().len();
        assert_eq!(most, one as u64, "{codec:?}");
    }
}

#[test]
fn absurd_timestamps_do_not_end_the_compaction() {
    let log = Log::new();
    for timestamp in [i64::MIN, i64::MAX] {
        let body = [
            record((timestamp, 0), Some("a"), Some("gone")),
            record((timestamp, 1), Some("a"), None),
        ];
        log.append(2, body.concat(), 0, NO_PRODUCER);
    }
    log.seal();

    assert!(log.compact(i64::MAX));

    let header = BatchHeader::parse(&log.first_batch()).unwrap();
    assert_eq!((header.base_offset, header.record_count), (2, 1));
}
