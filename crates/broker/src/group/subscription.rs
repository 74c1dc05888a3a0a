//! The topics in a consumer's subscription, as far as the broker needs to know them.

/// The topics that `metadata` subscribes to, if it is a subscription of the consumer protocol:
/// a version (16 bits), then an array (32-bit count) of strings (16-bit length).
pub(crate) fn topics(metadata: &[u8]) -> Option<Vec<&str>> {
    let (_version, rest) = metadata.split_first_chunk::<2>()?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut topics = Vec::new();
    for _ in 0..u32::from_be_bytes(*count) {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (topic, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        topics.push(std::str::from_utf8(topic).ok()?);
        rest = after;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_and_nonsense_is_not() {
        let subscription = b"\0\x01\0\0\0\x02\0\x01a\0\x03b.cEXTRA";

        assert_eq!(topics(subscription), Some(vec!["a", "b.c"]));
        for end in 0..14 {
            assert_eq!(topics(&subscription[..end]), None);
        }
        assert_eq!(topics(b"\0\x01\xff\xff\xff\xff"), None);
    }
}
