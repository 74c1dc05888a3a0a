//! Decoding an untrusted body once without consequences, before it is decoded for good.
//!
//! The decoders of `kafka-protocol` reserve room for as many elements as an array announces, before
//! they look for them: four bytes can ask for gigabytes, and a refused allocation aborts the process.
//! Here they read through a buffer in which no length exceeds what is left of the request, so that a
//! lying array ends in an ordinary error. Numbers that are no lengths may come out wrong, which is why
//! the result is thrown away. A dry run copies no records and costs about a microsecond.

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::ByteBuf;

use super::Cause;

/// A variable-length integer of 32 bits has at most this many bytes.
const MAX_VARINT_BYTES: u32 = 5;

/// Checks that `body` can be decoded as `R` without reserving more than it is long.
///
/// # Errors
///
/// It cannot.
pub(super) fn check<R: Decodable>(body: &Bytes, version: i16) -> Result<(), Cause> {
    let mut guarded = Guarded {
        bytes: body.clone(),
        varint: 0,
        varint_bytes: 0,
    };
    R::decode(&mut guarded, version)?;
    Ok(())
}

struct Guarded {
    bytes: Bytes,
    /// The variable-length integer that the last bytes may be part of.
    varint: u64,
    varint_bytes: u32,
}

impl Guarded {
    fn lie(&self, announced: u64) -> TryGetError {
        TryGetError {
            requested: usize::try_from(announced).unwrap_or(usize::MAX),
            available: self.bytes.len(),
        }
    }
}

impl Buf for Guarded {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    /// Lengths of the flexible versions (KIP-482) are read byte by byte; so are booleans, which are
    /// too small to matter. One more than what is left is legal, as null is counted as zero.
    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let byte = self.bytes.try_get_u8()?;
        self.varint |= u64::from(byte & 0x7f) << (7 * self.varint_bytes);
        self.varint_bytes += 1;
        let ends = byte & 0x80 == 0;
        if self.varint > self.bytes.len() as u64 + 1 && self.varint > SMALL_NUMBER
            || !ends && self.varint_bytes >= MAX_VARINT_BYTES
        {
            return Err(self.lie(self.varint));
        }
        if ends {
            (self.varint, self.varint_bytes) = (0, 0);
        }
        Ok(byte)
    }

    /// An array that announces more elements than there are bytes runs out of bytes all the same when
    /// it announces just one too many.
    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        let number = self.bytes.try_get_i32()?;
        let one_too_many = i32::try_from(self.bytes.len() + 1).unwrap_or(i32::MAX);
        Ok(number.min(one_too_many))
    }
}

/// Numbers of tagged fields may exceed what is left of a request, and room for so few elements is no harm.
const SMALL_NUMBER: u64 = 1_000;

impl ByteBuf for Guarded {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.bytes.peek_bytes(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.bytes.get_bytes(size)
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{
        CreateTopicsRequest, FetchRequest, JoinGroupRequest, MetadataRequest,
    };
    use kafka_protocol::protocol::Encodable;

    use super::*;

    #[test]
    fn an_array_that_announces_more_than_there_is_is_an_error() {
        let in_32_bits = Bytes::from_static(b"\x7f\xff\xff\xff");
        let in_a_varint = Bytes::from_static(b"\xff\xff\xff\xff\x0f\0\0\0");

        assert!(check::<MetadataRequest>(&in_32_bits, 1).is_err());
        assert!(check::<MetadataRequest>(&in_a_varint, 12).is_err());
    }

    #[test]
    fn numbers_that_are_no_lengths_may_be_as_large_as_they_like() {
        let request = FetchRequest::default()
            .with_max_wait_ms(i32::MAX)
            .with_max_bytes(i32::MAX);

        for version in 4..=17 {
            let mut body = bytes::BytesMut::new();
            request.encode(&mut body, version).unwrap();
            check::<FetchRequest>(&body.freeze(), version).unwrap();
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_reserve_without_bound() {
        // A small generator of nonsense, the same at each run; every second byte is a high one.
        let mut state = 1_u64;
        let mut byte = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as u8 | if state >> 63 == 0 { 0xf0 } else { 0 }
        };
        for length in 0..3_000 {
            let body: Bytes = (0..length % 60).map(|_| byte()).collect();
            for version in [0, 1, 5, 9, 12] {
                drop(check::<MetadataRequest>(&body, version));
                drop(check::<JoinGroupRequest>(&body, version));
                drop(check::<CreateTopicsRequest>(&body, version));
                drop(check::<FetchRequest>(&body, version));
            }
        }
    }
}
