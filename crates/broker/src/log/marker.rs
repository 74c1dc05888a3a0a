//! The marker that ends a transaction in a partition: a control batch of one record (KIP-98).
//!
//! Layout: <https://kafka.apache.org/documentation/#controlbatch>.

use serde::{Deserialize, Serialize};

use super::batch::{BatchHeader, HEADER_BYTES, IncomingBatch};
use super::records::varint;

/// Version of the record's key and of its value.
const VERSION: i16 = 0;

const ABORT: i16 = 0;
const COMMIT: i16 = 1;

/// The epoch of the only transaction coordinator there ever is.
const COORDINATOR_EPOCH: i32 = 0;

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Committed,
    Aborted,
}

/// The end of one producer's transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marker {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) outcome: Outcome,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
}

impl Marker {
    /// The marker as a batch, ready to be appended.
    pub(super) fn batch(&self) -> IncomingBatch {
        IncomingBatch::control(
            self.producer_id,
            self.producer_epoch,
            self.timestamp,
            &self.record(),
        )
    }

    fn record(&self) -> Vec<u8> {
        let control_type = match self.outcome {
            Outcome::Aborted => ABORT,
            Outcome::Committed => COMMIT,
        };
        let key = [VERSION.to_be_bytes(), control_type.to_be_bytes()].concat();
        let value = [&VERSION.to_be_bytes()[..], &COORDINATOR_EPOCH.to_be_bytes()].concat();
        // Attributes, timestamp delta and offset delta: all zero.
        let mut record = vec![0, 0, 0];
        for field in [&key, &value] {
            record.push(small_varint(field.len()));
            record.extend_from_slice(field);
        }
        // No headers.
        record.push(small_varint(0));
        record.insert(0, small_varint(record.len()));
        record
    }
}

/// How the transaction ended that `batch`, a whole control batch, is the marker of; `None` for control
/// records of other kinds.
pub(super) fn outcome_of(header: &BatchHeader, batch: &[u8]) -> Option<Outcome> {
    if !header.is_control() {
        return None;
    }
    let mut record = batch.get(HEADER_BYTES..)?;
    let _length = varint(&mut record)?;
    let (_attributes, mut record) = record.split_first()?;
    let _timestamp_delta = varint(&mut record)?;
    let _offset_delta = varint(&mut record)?;
    let key_length = usize::try_from(varint(&mut record)?).ok()?;
    let key = record.get(..key_length)?;
    match i16::from_be_bytes([*key.get(2)?, *key.get(3)?]) {
        ABORT => Some(Outcome::Aborted),
        COMMIT => Some(Outcome::Committed),
        _ => None,
    }
}

/// A zigzag variable-length integer below 64 is one byte, twice the number.
fn small_varint(number: usize) -> u8 {
    debug_assert!(number < 64);
    (number as u8) << 1
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kafka_protocol::records::RecordBatchDecoder;

    use super::*;

    #[test]
    fn a_marker_says_how_the_transaction_ended() {
        for outcome in [Outcome::Committed, Outcome::Aborted] {
            let marker = Marker {
                producer_id: 7,
                producer_epoch: 3,
                outcome,
                timestamp: 1_000,
            };

            let batch = marker.batch();
            let bytes = [&batch.stamped(5, None)[..], batch.records()].concat();
            let header = BatchHeader::parse(&bytes).unwrap();

            header.check_crc(&bytes).unwrap();
            assert_eq!(outcome_of(&header, &bytes), Some(outcome));
            let decoded = RecordBatchDecoder::decode(&mut Bytes::from(bytes)).unwrap();
            let record = &decoded.records[0];
            assert!(record.control && record.transactional);
            assert_eq!(
                (record.producer_id, record.producer_epoch, record.offset),
                (7, 3, 5)
            );
            let control_type = if outcome == Outcome::Committed { 1 } else { 0 };
            assert_eq!(record.key.as_deref(), Some(&[0, 0, 0, control_type][..]));
            assert_eq!(record.value.as_deref(), Some(&[0, 0, 0, 0, 0, 0][..]));
        }
    }

    #[test]
    fn no_truncated_control_batch_panics() {
        let marker = Marker {
            producer_id: 7,
            producer_epoch: 3,
            outcome: Outcome::Aborted,
            timestamp: 1_000,
        };
        let batch = marker.batch();
        let header = batch.header;

        for end in 0..batch.records().len() {
            let bytes = [&[0; HEADER_BYTES][..], &batch.records()[..end]].concat();
            assert!(outcome_of(&header, &bytes).is_none() || end >= 9);
        }
    }
}
