//! What consumers tell each other through the broker, as far as it needs to know: the topics that one wants, and the
//! partitions that it has to let go of (KIP-429).

use std::collections::HashSet;

/// A partition by topic and number.
type Partition<'a> = (&'a str, i32);

/// The topics that `metadata` subscribes to, if it is a subscription of the consumer protocol:
/// a version (16 bits), then an array (32-bit count) of strings (16-bit length).
pub(crate) fn topics(metadata: &[u8]) -> Option<Vec<&str>> {
    let mut unread = Unread(metadata);
    unread.int16()?;
    unread.topics()
}

/// Whether a member that joined with this subscription owned partitions then that its assignment does not have. It
/// lets them go, and joins again so that they find their next owner.
pub(crate) fn has_to_let_go(metadata: &[u8], assignment: &[u8]) -> bool {
    let assigned: HashSet<_> = assigned(assignment)
        .unwrap_or_default()
        .into_iter()
        .collect();
    let owned = owned(metadata).unwrap_or_default();
    owned.iter().any(|partition| !assigned.contains(partition))
}

/// The partitions that a subscription of version 1 or later names: behind the topics and the user's data (32-bit length).
fn owned(metadata: &[u8]) -> Option<Vec<Partition<'_>>> {
    let mut unread = Unread(metadata);
    if unread.int16()? < 1 {
        return None;
    }
    unread.topics()?;
    unread.skip_bytes()?;
    unread.partitions()
}

/// The partitions of an assignment: a version, then as in a subscription.
fn assigned(assignment: &[u8]) -> Option<Vec<Partition<'_>>> {
    let mut unread = Unread(assignment);
    unread.int16()?;
    unread.partitions()
}

/// What is left to read of bytes that come from a client. Counts are not trusted: memory grows with what is there.
struct Unread<'a>(&'a [u8]);

impl<'a> Unread<'a> {
    fn int16(&mut self) -> Option<i16> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i16::from_be_bytes(*bytes))
    }

    fn int32(&mut self) -> Option<i32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i32::from_be_bytes(*bytes))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.int16()?).ok()?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    /// A negative length stands for none.
    fn skip_bytes(&mut self) -> Option<()> {
        let length = self.int32()?;
        self.take(usize::try_from(length).unwrap_or(0)).map(drop)
    }

    fn topics(&mut self) -> Option<Vec<&'a str>> {
        (0..self.int32()?).map(|_| self.text()).collect()
    }

    fn partitions(&mut self) -> Option<Vec<Partition<'a>>> {
        let mut partitions = Vec::new();
        for _ in 0..self.int32()? {
            let topic = self.text()?;
            for _ in 0..self.int32()? {
                partitions.push((topic, self.int32()?));
            }
        }
        Some(partitions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBSCRIPTION: &[u8] = b"\0\x01\0\0\0\x02\0\x01a\0\x03b.c\0\0\0\x02uu\
        \0\0\0\x01\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x01EXTRA";

    #[test]
    fn topics_are_read_and_nonsense_is_not() {
        let subscription = b"\0\x01\0\0\0\x02\0\x01a\0\x03b.cEXTRA";

        assert_eq!(topics(subscription), Some(vec!["a", "b.c"]));
        for end in 0..14 {
            assert_eq!(topics(&subscription[..end]), None);
        }
        assert_eq!(topics(b"\0\x01\x7f\xff\xff\xff"), None);
    }

    #[test]
    fn owned_partitions_are_read_and_nonsense_is_not() {
        assert_eq!(owned(SUBSCRIPTION), Some(vec![("a", 0), ("a", 1)]));
        for end in 0..SUBSCRIPTION.len() - b"EXTRA".len() {
            assert_eq!(owned(&SUBSCRIPTION[..end]), None, "{end}");
        }
        let first_version = [b"\0\0", &SUBSCRIPTION[2..]].concat();
        assert_eq!(owned(&first_version), None);
        let no_user_data = b"\0\x01\0\0\0\0\xff\xff\xff\xff\0\0\0\0";
        assert_eq!(owned(no_user_data), Some(Vec::new()));
    }

    #[test]
    fn what_is_owned_and_not_assigned_is_to_be_let_go() {
        let one = b"\0\x01\0\0\0\x01\0\x01a\0\0\0\x01\0\0\0\x01";
        let both = b"\0\x01\0\0\0\x01\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x01";

        assert!(has_to_let_go(SUBSCRIPTION, one));
        assert!(has_to_let_go(SUBSCRIPTION, b""));
        assert!(!has_to_let_go(SUBSCRIPTION, both));
        assert!(!has_to_let_go(b"no subscription", one));
    }
}
