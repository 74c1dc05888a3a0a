//! What every codec gives back, and what bombs and garbage do to it.

use super::*;

pub(crate) const COMPRESSED: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// `bytes` as the Java client writes them, in blocks of 32 KiB.
pub(crate) fn xerial(bytes: &[u8]) -> Vec<u8> {
    let mut framed = [XERIAL_MAGIC, &[0, 0, 0, 1, 0, 0, 0, 1]].concat();
    for block in bytes.chunks(32 * 1024) {
        let block = snap::raw::Encoder::new().compress_vec(block).unwrap();
        framed.extend_from_slice(&(block.len() as u32).to_be_bytes());
        framed.extend_from_slice(&block);
    }
    framed
}

/// Bytes that compress, but not to nothing.
fn text(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    let words = std::iter::repeat_with(|| random.choice([&b"key"[..], b"value", b"4711"]));
    words.flatten().flatten().copied().take(length).collect()
}

#[test]
fn what_was_encoded_is_decoded() {
    for codec in COMPRESSED {
        for length in [0, 1, 100, 300_000] {
            let bytes = text(length);
            let encoded = codec.encode(bytes.clone()).unwrap();

            assert!(length < 1_000 || encoded.len() < length / 2, "{codec:?}");
            assert!(*codec.decode(&encoded).unwrap() == bytes, "{codec:?}");
        }
    }
    let bytes = text(100_000);
    assert_eq!(*Codec::Snappy.decode(&xerial(&bytes)).unwrap(), bytes);
}

#[test]
fn numbers_of_codecs_are_those_of_kafka() {
    let ids = [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ]
    .map(Codec::id);

    assert_eq!(ids, [0, 1, 2, 3, 4]);
    for id in 0..8 {
        assert_eq!(Codec::of_id(id).map(Codec::id), (id < 5).then_some(id));
    }
}

#[test]
fn a_bomb_is_an_error() {
    for codec in COMPRESSED {
        let bomb = codec.encode(vec![0; MAX_DECODED_BYTES + 1]).unwrap();

        assert!(bomb.len() < MAX_DECODED_BYTES / 10, "{codec:?}");
        assert!(codec.decode(&bomb).is_err(), "{codec:?}");
        let all_it_may_be = codec.encode(vec![0; MAX_DECODED_BYTES]).unwrap();
        let decoded = codec.decode(&all_it_may_be).unwrap();
        assert_eq!(decoded.len(), MAX_DECODED_BYTES, "{codec:?}");
    }
    let bomb = xerial(&vec![0; MAX_DECODED_BYTES + 1]);
    assert!(Codec::Snappy.decode(&bomb).is_err(), "in blocks");
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    assert!(Codec::Snappy.decode(&claim).is_err(), "4 GiB in six bytes");
}

#[test]
fn no_garbage_panics() {
    let mut random = fastrand::Rng::with_seed(11);
    let whole = text(5_000);
    let linked = {
        let frame = FrameInfo::new().block_mode(BlockMode::Linked);
        let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
        encoder.write_all(&text(200_000)).unwrap();
        encoder.finish().unwrap()
    };
    let mut samples: Vec<_> = COMPRESSED
        .map(|codec| codec.encode(whole.clone()).unwrap())
        .into();
    // Two frames that ask for buffers of different sizes, one behind the other.
    let two = [&linked[..], &samples[2][..]].concat();
    samples.extend([xerial(&whole), linked, two, vec![]]);
    for sample in &samples {
        for _ in 0..300 {
            let mut garbage = sample[..random.usize(..=sample.len())].to_vec();
            for _ in 0..random.usize(..4).min(garbage.len()) {
                let at = random.usize(..garbage.len());
                garbage[at] = random.u8(..);
            }
            for codec in COMPRESSED {
                drop(codec.decode(&garbage));
            }
        }
    }
}
