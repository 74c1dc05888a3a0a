//! The header of a record batch (magic 2): what the broker reads of it, and the few fields it patches.
//!
//! Layout: <https://kafka.apache.org/documentation/#recordbatch>. The checksum covers everything
//! after itself, so base offset and leader epoch can be written without touching it.

use std::borrow::Cow;

use bytes::Bytes;

use super::codec::Codec;
use super::records::Records;

/// Bytes before the first record.
pub(crate) const HEADER_BYTES: usize = 61;

const LENGTH_AT: usize = 8;
/// `batchLength` counts from after itself.
const LENGTH_COUNTS_FROM: usize = 12;
const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
const RECORD_COUNT_AT: usize = 57;

const COMPRESSION_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
/// The base timestamp is not one, but when tombstones may go.
const DELETE_HORIZON: i16 = 0x40;

/// The epoch of the only leader there ever is.
pub(crate) const LEADER_EPOCH: i32 = 0;

/// What a batch header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) base_offset: i64,
    /// Bytes of the whole batch, header included.
    pub(crate) size: usize,
    pub(crate) crc: u32,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: i32,
    /// Milliseconds since 1970.
    pub(crate) base_timestamp: i64,
    /// Milliseconds since 1970.
    pub(crate) max_timestamp: i64,
    /// -1 when the producer is not idempotent.
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) record_count: i32,
}

/// Why bytes are not an acceptable batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BatchError {
    #[error("{0} bytes are too few for a record batch")]
    Short(usize),
    #[error("message format {0} is not supported, only 2 is")]
    Magic(i8),
    #[error("batch length {0} is out of range")]
    Length(i32),
    #[error("{size} bytes hold a batch of {declared}; one batch a partition is expected")]
    NotOneBatch { declared: usize, size: usize },
    #[error("checksum is {actual:#010x}, header says {declared:#010x}")]
    Checksum { declared: u32, actual: u32 },
    #[error("{count} records with a last offset delta of {last_offset_delta}")]
    Count { count: i32, last_offset_delta: i32 },
    #[error("control batches are written by the broker only")]
    Control,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`, which may end before the batch does.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(BatchError::Short(bytes.len()));
        };
        let magic = i8::from_be_bytes(field(header, MAGIC_AT));
        if magic != 2 {
            return Err(BatchError::Magic(magic));
        }
        let length = i32::from_be_bytes(field(header, LENGTH_AT));
        let size = usize::try_from(length)
            .ok()
            .map(|length| length + LENGTH_COUNTS_FROM)
            .filter(|size| *size >= HEADER_BYTES)
            .ok_or(BatchError::Length(length))?;
        let parsed = Self {
            base_offset: i64::from_be_bytes(field(header, 0)),
            size,
            crc: u32::from_be_bytes(field(header, CRC_AT)),
            attributes: i16::from_be_bytes(field(header, ATTRIBUTES_AT)),
            last_offset_delta: i32::from_be_bytes(field(header, LAST_OFFSET_DELTA_AT)),
            base_timestamp: i64::from_be_bytes(field(header, BASE_TIMESTAMP_AT)),
            max_timestamp: i64::from_be_bytes(field(header, MAX_TIMESTAMP_AT)),
            producer_id: i64::from_be_bytes(field(header, PRODUCER_ID_AT)),
            producer_epoch: i16::from_be_bytes(field(header, PRODUCER_EPOCH_AT)),
            base_sequence: i32::from_be_bytes(field(header, BASE_SEQUENCE_AT)),
            record_count: i32::from_be_bytes(field(header, RECORD_COUNT_AT)),
        };
        parsed.check_count()?;
        Ok(parsed)
    }

    /// Checks that `batch`, which starts with this header, has the checksum the header declares.
    pub(crate) fn check_crc(&self, batch: &[u8]) -> Result<(), BatchError> {
        let covered = batch
            .get(ATTRIBUTES_AT..self.size)
            .ok_or(BatchError::Short(batch.len()))?;
        let actual = crc32c::crc32c(covered);
        if actual == self.crc {
            Ok(())
        } else {
            Err(BatchError::Checksum {
                declared: self.crc,
                actual,
            })
        }
    }

    /// The offset after the last record.
    pub(crate) fn next_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta) + 1
    }

    /// How the records are compressed; `None` when it is not known.
    pub(super) fn codec(&self) -> Option<Codec> {
        Codec::of_id(self.attributes & COMPRESSION_MASK)
    }

    /// The records in `body`, which is what follows this header, decoded; `None` unless they can be and are
    /// what the header says.
    pub(super) fn decode<'b>(&self, body: &'b [u8]) -> Option<Cow<'b, [u8]>> {
        let decoded = self.codec()?.decode(body).ok()?;
        let offsets = 0..=i64::from(self.last_offset_delta);
        let is_sound = Records::all(&decoded, self.record_count)?
            .all(|record| offsets.contains(&record.offset_delta));
        is_sound.then_some(decoded)
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub(crate) fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    pub(crate) fn has_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        let length = (self.size - LENGTH_COUNTS_FROM) as i32;
        put(&mut header, 0, self.base_offset.to_be_bytes());
        put(&mut header, LENGTH_AT, length.to_be_bytes());
        put(&mut header, LEADER_EPOCH_AT, LEADER_EPOCH.to_be_bytes());
        put(&mut header, MAGIC_AT, 2_i8.to_be_bytes());
        put(&mut header, CRC_AT, self.crc.to_be_bytes());
        put(&mut header, ATTRIBUTES_AT, self.attributes.to_be_bytes());
        put(
            &mut header,
            LAST_OFFSET_DELTA_AT,
            self.last_offset_delta.to_be_bytes(),
        );
        put(
            &mut header,
            BASE_TIMESTAMP_AT,
            self.base_timestamp.to_be_bytes(),
        );
        put(
            &mut header,
            MAX_TIMESTAMP_AT,
            self.max_timestamp.to_be_bytes(),
        );
        put(&mut header, PRODUCER_ID_AT, self.producer_id.to_be_bytes());
        put(
            &mut header,
            PRODUCER_EPOCH_AT,
            self.producer_epoch.to_be_bytes(),
        );
        put(
            &mut header,
            BASE_SEQUENCE_AT,
            self.base_sequence.to_be_bytes(),
        );
        put(
            &mut header,
            RECORD_COUNT_AT,
            self.record_count.to_be_bytes(),
        );
        header
    }

    /// When tombstones in this batch may go, in milliseconds since 1970 (KIP-534); `None` before its
    /// first compaction.
    pub(crate) fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    /// A compacted batch has fewer records than offsets, down to none.
    fn check_count(&self) -> Result<(), BatchError> {
        let offsets = i64::from(self.last_offset_delta) + 1;
        if self.last_offset_delta >= 0 && (0..=offsets).contains(&i64::from(self.record_count)) {
            Ok(())
        } else {
            Err(self.wrong_count())
        }
    }

    /// No producer leaves offsets out.
    fn check_whole(&self) -> Result<(), BatchError> {
        if i64::from(self.record_count) == i64::from(self.last_offset_delta) + 1 {
            Ok(())
        } else {
            Err(self.wrong_count())
        }
    }

    fn wrong_count(&self) -> BatchError {
        BatchError::Count {
            count: self.record_count,
            last_offset_delta: self.last_offset_delta,
        }
    }
}

/// A batch from a producer whose header and checksum were checked, ready to be appended.
#[derive(Debug, Clone)]
pub(crate) struct IncomingBatch {
    pub(crate) header: BatchHeader,
    bytes: Bytes,
}

impl IncomingBatch {
    /// Checks what a producer sent for one partition: exactly one sound data batch.
    pub(crate) fn check(bytes: Bytes) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(&bytes)?;
        if header.size != bytes.len() {
            return Err(BatchError::NotOneBatch {
                declared: header.size,
                size: bytes.len(),
            });
        }
        header.check_crc(&bytes)?;
        header.check_whole()?;
        if header.is_control() {
            return Err(BatchError::Control);
        }
        Ok(Self { header, bytes })
    }

    /// A control batch of one record, which only the broker writes. `timestamp`: milliseconds since 1970.
    pub(super) fn control(
        producer_id: i64,
        producer_epoch: i16,
        timestamp: i64,
        record: &[u8],
    ) -> Self {
        let parsed = BatchHeader {
            base_offset: 0,
            size: HEADER_BYTES + record.len(),
            crc: 0,
            attributes: TRANSACTIONAL | CONTROL,
            last_offset_delta: 0,
            base_timestamp: timestamp,
            max_timestamp: timestamp,
            producer_id,
            producer_epoch,
            base_sequence: -1,
            record_count: 1,
        };
        let mut header = parsed.encode();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header[ATTRIBUTES_AT..]), record);
        put(&mut header, CRC_AT, crc.to_be_bytes());
        Self {
            header: BatchHeader { crc, ..parsed },
            bytes: [&header[..], record].concat().into(),
        }
    }

    /// The header as it goes into the log at `base_offset`; `append_time` (milliseconds since 1970)
    /// replaces the producer's timestamps, which changes the checksum.
    pub(crate) fn stamped(&self, base_offset: i64, append_time: Option<i64>) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&self.bytes[..HEADER_BYTES]);
        put(&mut header, 0, base_offset.to_be_bytes());
        put(&mut header, LEADER_EPOCH_AT, LEADER_EPOCH.to_be_bytes());
        if let Some(now) = append_time {
            let attributes = self.header.attributes | LOG_APPEND_TIME;
            put(&mut header, ATTRIBUTES_AT, attributes.to_be_bytes());
            put(&mut header, MAX_TIMESTAMP_AT, now.to_be_bytes());
            let crc = crc32c::crc32c(&header[ATTRIBUTES_AT..]);
            let crc = crc32c::crc32c_append(crc, self.records());
            put(&mut header, CRC_AT, crc.to_be_bytes());
        }
        header
    }

    /// Whether there is a record without a key. Decodes a batch that is compressed; not seen when that fails.
    pub(crate) fn has_keyless_record(&self) -> bool {
        let codec = self.header.codec();
        let decoded = codec.and_then(|codec| codec.decode(self.records()).ok());
        decoded.is_some_and(|records| Records::of(&records).any(|record| record.key.is_none()))
    }

    /// The bytes after the header.
    pub(crate) fn records(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..]
    }
}

/// What compaction makes of a batch.
#[derive(Debug)]
pub(crate) struct Compacted {
    /// The records that are left, as `codec` encodes them; may be empty.
    pub(crate) records: Vec<u8>,
    pub(super) codec: Codec,
    pub(crate) record_count: i32,
    pub(crate) max_timestamp: i64,
    /// When its tombstones may go, in milliseconds since 1970; the timestamps of `records` count from it.
    pub(crate) delete_horizon: Option<i64>,
}

impl Compacted {
    /// The batch that takes the place of `former`. Offsets, sequence numbers and producer stay.
    pub(crate) fn in_place_of(&self, former: &[u8; HEADER_BYTES]) -> Vec<u8> {
        let mut header = *former;
        let length = (HEADER_BYTES + self.records.len() - LENGTH_COUNTS_FROM) as i32;
        put(&mut header, LENGTH_AT, length.to_be_bytes());
        put(
            &mut header,
            RECORD_COUNT_AT,
            self.record_count.to_be_bytes(),
        );
        put(
            &mut header,
            MAX_TIMESTAMP_AT,
            self.max_timestamp.to_be_bytes(),
        );
        let attributes = i16::from_be_bytes(field(former, ATTRIBUTES_AT));
        let mut attributes = attributes & !COMPRESSION_MASK | self.codec.id();
        if let Some(horizon) = self.delete_horizon {
            attributes |= DELETE_HORIZON;
            put(&mut header, BASE_TIMESTAMP_AT, horizon.to_be_bytes());
        }
        put(&mut header, ATTRIBUTES_AT, attributes.to_be_bytes());
        let crc = crc32c::crc32c(&header[ATTRIBUTES_AT..]);
        let crc = crc32c::crc32c_append(crc, &self.records);
        put(&mut header, CRC_AT, crc.to_be_bytes());
        [&header[..], &self.records].concat()
    }
}

fn field<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&header[at..at + N]);
    field
}

fn put<const N: usize>(header: &mut [u8; HEADER_BYTES], at: usize, value: [u8; N]) {
    header[at..at + N].copy_from_slice(&value);
}

#[cfg(test)]
pub(crate) mod tests;
