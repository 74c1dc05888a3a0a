//! What is accepted from a producer, what is changed in it, and batches for other tests.

use super::super::codec::tests::COMPRESSED;
use super::super::records::tests::record;
use super::*;

/// A batch of `count` records of `bytes_each` opaque bytes, as a producer would send it.
pub(crate) struct BatchOf {
    pub(crate) count: i32,
    pub(crate) timestamp: i64,
    pub(crate) producer: (i64, i16, i32),
    pub(crate) transactional: bool,
    pub(crate) body: Vec<u8>,
}

impl Default for BatchOf {
    fn default() -> Self {
        Self {
            count: 1,
            timestamp: 1_000,
            producer: (-1, -1, -1),
            transactional: false,
            body: vec![7; 40],
        }
    }
}

impl BatchOf {
    pub(crate) fn bytes(&self) -> Bytes {
        let mut header = [0; HEADER_BYTES];
        let length = (HEADER_BYTES + self.body.len() - LENGTH_COUNTS_FROM) as i32;
        put(&mut header, LENGTH_AT, length.to_be_bytes());
        put(&mut header, MAGIC_AT, 2_i8.to_be_bytes());
        if self.transactional {
            put(&mut header, ATTRIBUTES_AT, TRANSACTIONAL.to_be_bytes());
        }
        put(
            &mut header,
            LAST_OFFSET_DELTA_AT,
            (self.count - 1).to_be_bytes(),
        );
        put(&mut header, BASE_TIMESTAMP_AT, self.timestamp.to_be_bytes());
        put(&mut header, MAX_TIMESTAMP_AT, self.timestamp.to_be_bytes());
        put(&mut header, PRODUCER_ID_AT, self.producer.0.to_be_bytes());
        put(
            &mut header,
            PRODUCER_EPOCH_AT,
            self.producer.1.to_be_bytes(),
        );
        put(&mut header, BASE_SEQUENCE_AT, self.producer.2.to_be_bytes());
        put(&mut header, RECORD_COUNT_AT, self.count.to_be_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header[ATTRIBUTES_AT..]), &self.body);
        put(&mut header, CRC_AT, crc.to_be_bytes());
        [&header[..], &self.body[..]].concat().into()
    }

    pub(crate) fn checked(&self) -> IncomingBatch {
        IncomingBatch::check(self.bytes()).unwrap()
    }

    pub(crate) fn with_attributes(&self, attributes: i16) -> IncomingBatch {
        let mut bytes = self.bytes().to_vec();
        bytes[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[ATTRIBUTES_AT..]);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
        IncomingBatch::check(bytes.into()).unwrap()
    }
}

#[test]
fn a_flipped_bit_is_a_checksum_error() {
    let mut bytes = BatchOf::default().bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;

    let refused = IncomingBatch::check(bytes.into()).unwrap_err();

    assert!(matches!(refused, BatchError::Checksum { .. }), "{refused}");
}

#[test]
fn base_offset_and_leader_epoch_are_outside_the_checksum() {
    let batch = BatchOf::default().checked();

    let stored = [&batch.stamped(41, None)[..], batch.records()].concat();

    let header = BatchHeader::parse(&stored).unwrap();
    assert_eq!(header.base_offset, 41);
    header.check_crc(&stored).unwrap();
}

#[test]
fn log_append_time_replaces_the_timestamp_and_keeps_the_checksum_right() {
    let batch = BatchOf::default().checked();

    let stored = [&batch.stamped(0, Some(5_000))[..], batch.records()].concat();

    let header = BatchHeader::parse(&stored).unwrap();
    assert_eq!(header.max_timestamp, 5_000);
    assert!(header.has_log_append_time());
    header.check_crc(&stored).unwrap();
}

#[test]
fn no_truncation_and_no_claimed_length_panics() {
    let bytes = BatchOf::default().bytes();

    for end in 0..bytes.len() {
        assert!(IncomingBatch::check(bytes.slice(..end)).is_err());
    }
    for length in [i32::MIN, -1, 0, 48, i32::MAX] {
        let mut bytes = bytes.to_vec();
        bytes[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_be_bytes());
        assert!(IncomingBatch::check(bytes.into()).is_err());
    }
}

#[test]
fn two_batches_in_one_request_are_refused() {
    let one = BatchOf::default().bytes();

    let refused = IncomingBatch::check([&one[..], &one[..]].concat().into()).unwrap_err();

    assert!(
        matches!(refused, BatchError::NotOneBatch { .. }),
        "{refused}"
    );
}

#[test]
fn a_record_without_key_is_seen_in_every_codec() {
    for codec in COMPRESSED {
        for (key, expected) in [(Some("k"), false), (None, true)] {
            let records = [
                record((0, 0), Some("k"), Some("v")),
                record((0, 1), key, Some("v")),
            ];
            let batch = BatchOf {
                count: 2,
                body: codec.encode(records.concat()).unwrap(),
                ..BatchOf::default()
            };
            let batch = batch.with_attributes(codec.id());

            assert_eq!(batch.has_keyless_record(), expected, "{codec:?}");
        }
    }
}
