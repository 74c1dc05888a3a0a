//! The codecs of batches, for the few times that the broker looks into one. What it decodes comes from
//! outside: it has a bound, and nonsense is an error.
//!
//! Which number means which codec: <https://kafka.apache.org/documentation/#recordbatch>.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

/// Most bytes that the records of a batch are decoded to: sixteen times what a topic takes as a batch unless it
/// is told otherwise, and what clients put into one before they compress it. Far below what recovery takes.
pub(super) const MAX_DECODED_BYTES: usize = 16 * 1024 * 1024;

/// How the records of a batch are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    /// The codec with the number `id` in the attributes of a batch; `None` when there is no such codec.
    pub(super) fn of_id(id: i16) -> Option<Self> {
        match id {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Its number in the attributes of a batch.
    pub(super) fn id(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// Decodes what follows the header of a batch.
    ///
    /// # Errors
    ///
    /// It is not in this codec, or more than [`MAX_DECODED_BYTES`].
    pub(super) fn decode(self, body: &[u8]) -> io::Result<Cow<'_, [u8]>> {
        let decoded = match self {
            Self::None => return Ok(Cow::Borrowed(body)),
            Self::Gzip => read_bounded(MultiGzDecoder::new(body)),
            Self::Snappy => decode_snappy(body),
            Self::Lz4 => read_bounded(FrameDecoder::new(body)),
            // The library takes no window of more than 128 MiB, and touches of it what it decodes.
            Self::Zstd => read_bounded(zstd::stream::read::Decoder::with_buffer(body)?),
        };
        decoded.map(Cow::Owned)
    }

    /// Encodes `records` so that every client of Kafka can read them.
    ///
    /// # Errors
    ///
    /// The library cannot, for want of memory.
    pub(super) fn encode(self, records: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(records),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(&records)?;
                encoder.finish()
            }
            // Without the framing of the Java client, as librdkafka writes it; all clients read both.
            Self::Snappy => Ok(snap::raw::Encoder::new().compress_vec(&records)?),
            Self::Lz4 => {
                // As the Java client writes it, which reads no linked blocks.
                let frame = FrameInfo::new()
                    .block_mode(BlockMode::Independent)
                    .block_size(BlockSize::Max64KB);
                let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
                encoder.write_all(&records)?;
                Ok(encoder.finish()?)
            }
            Self::Zstd => zstd::stream::encode_all(&records[..], zstd::DEFAULT_COMPRESSION_LEVEL),
        }
    }
}

fn read_bounded(decoder: impl Read) -> io::Result<Vec<u8>> {
    let mut decoded = Vec::new();
    let one_too_many = MAX_DECODED_BYTES as u64 + 1;
    decoder.take(one_too_many).read_to_end(&mut decoded)?;
    if decoded.len() > MAX_DECODED_BYTES {
        return Err(too_large());
    }
    Ok(decoded)
}

/// What the Java client puts before its blocks, each of which has its length before it. Other clients write
/// one block and nothing else. See <https://github.com/xerial/snappy-java#compatibility-notes>.
const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\0";

/// Its version and the least version that can read it, 4 bytes each.
const XERIAL_VERSION_BYTES: usize = 8;

fn decode_snappy(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut decoded = Vec::new();
    let Some(framed) = body.strip_prefix(XERIAL_MAGIC) else {
        decode_snappy_block(&mut decoded, body)?;
        return Ok(decoded);
    };
    let mut left = framed.get(XERIAL_VERSION_BYTES..).ok_or_else(cut_off)?;
    while !left.is_empty() {
        let (length, after) = left.split_first_chunk().ok_or_else(cut_off)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (block, after) = after.split_at_checked(length).ok_or_else(cut_off)?;
        decode_snappy_block(&mut decoded, block)?;
        left = after;
    }
    Ok(decoded)
}

fn decode_snappy_block(to: &mut Vec<u8>, block: &[u8]) -> io::Result<()> {
    let begin = to.len();
    let length = snap::raw::decompress_len(block)?;
    if length > MAX_DECODED_BYTES - begin {
        return Err(too_large());
    }
    to.resize(begin + length, 0);
    snap::raw::Decoder::new().decompress(block, &mut to[begin..])?;
    Ok(())
}

fn too_large() -> io::Error {
    let message = format!("a batch holds more than {MAX_DECODED_BYTES} bytes");
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn cut_off() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

#[cfg(test)]
pub(super) mod tests;
