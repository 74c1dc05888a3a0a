//! The records of a batch, not or no longer compressed, as far as the broker looks into them.
//!
//! Layout: <https://kafka.apache.org/documentation/#record>.

/// A record in the bytes of its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordView<'a> {
    /// The whole record, with the length before it.
    pub(super) bytes: &'a [u8],
    pub(super) attributes: u8,
    /// Milliseconds after the base timestamp of the batch; may be negative.
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i64,
    pub(super) key: Option<&'a [u8]>,
    /// Whether the value is null: in a compacted topic, its key is deleted.
    pub(super) is_tombstone: bool,
    /// What comes after the timestamp delta.
    pub(super) rest: &'a [u8],
}

/// The records of a batch; ends at its end, and at nonsense.
#[derive(Debug, Clone)]
pub(super) struct Records<'a> {
    left: &'a [u8],
}

impl<'a> Records<'a> {
    /// The records in `body`, which is what follows the header of a batch, decoded.
    pub(super) fn of(body: &'a [u8]) -> Self {
        Self { left: body }
    }

    /// All of them; `None` unless there are exactly `count`, and nothing but them. Not as a list: what is
    /// known of a record takes more memory than a small one itself.
    pub(super) fn all(body: &'a [u8], count: i32) -> Option<Self> {
        let mut records = Self::of(body);
        let found = records.by_ref().count();
        let is_whole = records.left.is_empty() && i32::try_from(found) == Ok(count);
        is_whole.then(|| Self::of(body))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = RecordView<'a>;

    fn next(&mut self) -> Option<RecordView<'a>> {
        let mut after = self.left;
        let record = view(&mut after)?;
        self.left = after;
        Some(record)
    }
}

fn view<'a>(from: &mut &'a [u8]) -> Option<RecordView<'a>> {
    let whole = *from;
    let length = usize::try_from(varint(from)?).ok()?;
    let (record, after) = from.split_at_checked(length)?;
    *from = after;
    let (attributes, mut record) = record.split_first()?;
    let timestamp_delta = varint(&mut record)?;
    let rest = record;
    let offset_delta = varint(&mut record)?;
    let key = nullable(&mut record)?;
    let value = nullable(&mut record)?;
    Some(RecordView {
        bytes: &whole[..whole.len() - after.len()],
        attributes: *attributes,
        timestamp_delta,
        offset_delta,
        key,
        is_tombstone: value.is_none(),
        rest,
    })
}

/// Bytes behind their length; the inner `None` for a length of -1, the outer for nonsense.
fn nullable<'a>(from: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match varint(from)? {
        -1 => Some(None),
        length => {
            let (bytes, after) = from.split_at_checked(usize::try_from(length).ok()?)?;
            *from = after;
            Some(Some(bytes))
        }
    }
}

/// Reads a zigzag variable-length integer, as Protocol Buffers have them.
pub(super) fn varint(bytes: &mut &[u8]) -> Option<i64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

/// Writes what [`varint`] reads.
pub(super) fn put_varint(to: &mut Vec<u8>, value: i64) {
    let mut left = ((value << 1) ^ (value >> 63)) as u64;
    while left >= 0x80 {
        to.push(left as u8 | 0x80);
        left >>= 7;
    }
    to.push(left as u8);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The bytes of a record without headers; a value of `None` makes it a tombstone.
    pub(crate) fn record(
        (timestamp_delta, offset_delta): (i64, i64),
        key: Option<&str>,
        value: Option<&str>,
    ) -> Vec<u8> {
        let mut content = vec![0];
        put_varint(&mut content, timestamp_delta);
        put_varint(&mut content, offset_delta);
        for bytes in [key, value] {
            put_varint(&mut content, bytes.map_or(-1, |bytes| bytes.len() as i64));
            content.extend_from_slice(bytes.unwrap_or_default().as_bytes());
        }
        put_varint(&mut content, 0);
        let mut bytes = Vec::new();
        put_varint(&mut bytes, content.len() as i64);
        bytes.extend_from_slice(&content);
        bytes
    }

    #[test]
    fn varints_of_nonsense_end_instead_of_panicking() {
        assert_eq!(varint(&mut &[0xff; 20][..]), None);
        assert_eq!(varint(&mut &[][..]), None);
        assert_eq!(varint(&mut &[0x01][..]), Some(-1));
        assert_eq!(varint(&mut &[0x80, 0x01][..]), Some(64));
    }

    #[test]
    fn varints_are_read_as_they_were_written() {
        for value in [0, -1, 1, 63, 64, -64, -65, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(varint(&mut &bytes[..]), Some(value));
        }
    }

    #[test]
    fn keys_and_tombstones_are_seen() {
        let body = [
            record((0, 0), Some("k"), Some("v")),
            record((-7, 1), Some("k"), None),
            record((9, 2), None, Some("")),
        ]
        .concat();

        let records = Records::all(&body, 3).unwrap();

        let seen: Vec<_> = records
            .map(|r| (r.timestamp_delta, r.offset_delta, r.key, r.is_tombstone))
            .collect();
        let k = Some(&b"k"[..]);
        assert_eq!(
            seen,
            [(0, 0, k, false), (-7, 1, k, true), (9, 2, None, false)]
        );
    }

    #[test]
    fn a_body_cut_anywhere_is_not_whole() {
        let body = [
            record((0, 0), Some("key"), Some("value")),
            record((0, 1), Some("key"), Some("value")),
        ]
        .concat();

        for end in 0..body.len() {
            assert!(Records::all(&body[..end], 2).is_none(), "{end} bytes");
        }
        assert!(Records::all(&body, 3).is_none());
    }
}
