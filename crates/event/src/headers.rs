//! Record headers: an ordered multimap of names to optional bytes, kept in two allocations however many there are.

use std::fmt;
use std::ops::Range;

/// The headers of a record, in wire order. Names may repeat; a value may be null.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    buffer: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Eq)]
struct Entry {
    name: Range<usize>,
    value: Option<Range<usize>>,
}

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// No headers yet, with room for `count` of them and `bytes` of names and values together.
    pub fn with_capacity(count: usize, bytes: usize) -> Self {
        Self {
            buffer: Vec::with_capacity(bytes),
            entries: Vec::with_capacity(count),
        }
    }

    /// Appends a header, whatever is already there under that name.
    pub fn push(&mut self, name: &str, value: Option<&[u8]>) {
        let name = self.store(name.as_bytes());
        let value = value.map(|bytes| self.store(bytes));
        self.entries.push(Entry { name, value });
    }

    /// Appends a header whose value is text.
    pub fn push_str(&mut self, name: &str, value: &str) {
        self.push(name, Some(value.as_bytes()));
    }

    /// Puts a header in place of all that bear its name.
    pub fn replace(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.push_str(name, value);
    }

    /// Takes away every header of that name.
    pub fn remove(&mut self, name: &str) {
        let buffer = &self.buffer;
        self.entries
            .retain(|entry| &buffer[entry.name.clone()] != name.as_bytes());
    }

    /// The value of the last header of that name; `None` if there is none or its value is null.
    ///
    /// The last one wins, as in Kafka's own `Headers.lastHeader`.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let entry = self
            .entries
            .iter()
            .rev()
            .find(|entry| &self.buffer[entry.name.clone()] == name.as_bytes())?;
        entry.value.clone().map(|value| &self.buffer[value])
    }

    /// The value of the last header of that name, if it is UTF-8.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// All headers in wire order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, Option<&[u8]>)> {
        self.entries.iter().map(|entry| {
            // Names enter only as `&str`, so the empty name is never reached.
            let name = std::str::from_utf8(&self.buffer[entry.name.clone()]).unwrap_or_default();
            let value = entry.value.clone().map(|value| &self.buffer[value]);
            (name, value)
        })
    }

    /// How many headers there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// One blob that [`Headers::from_bytes`] reads back: for each header its name and value, each preceded by its
    /// length as a big-endian `u32`, where `u32::MAX` stands for a null value.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.buffer.len() + 8 * self.entries.len());
        for (name, value) in self.iter() {
            put(&mut out, name.as_bytes());
            match value {
                Some(value) => put(&mut out, value),
                None => out.extend_from_slice(&NULL.to_be_bytes()),
            }
        }
        out
    }

    /// Reads what [`Headers::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`HeadersError`] if the blob is cut short or a name is not UTF-8.
    pub fn from_bytes(mut blob: &[u8]) -> Result<Self, HeadersError> {
        let mut headers = Self::with_capacity(8, blob.len());
        while !blob.is_empty() {
            let name = take(&mut blob)?.ok_or(HeadersError)?;
            let name = std::str::from_utf8(name).map_err(|_| HeadersError)?;
            let value = take(&mut blob)?;
            headers.push(name, value);
        }
        Ok(headers)
    }

    fn store(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        start..self.buffer.len()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| {
                let value = value.map(|bytes| bytes.escape_ascii().to_string());
                (name, value)
            }))
            .finish()
    }
}

/// A blob that [`Headers::to_bytes`] did not write.
#[derive(Debug, thiserror::Error)]
#[error("stored headers are damaged: the blob is cut short or holds a name that is not UTF-8")]
pub struct HeadersError;

const NULL: u32 = u32::MAX;

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    // A record, and so a header, is far below 4 GiB: Kafka's own sizes are signed 32-bit.
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn take<'a>(blob: &mut &'a [u8]) -> Result<Option<&'a [u8]>, HeadersError> {
    let (length, rest) = blob.split_first_chunk::<4>().ok_or(HeadersError)?;
    *blob = rest;
    let length = u32::from_be_bytes(*length);
    if length == NULL {
        return Ok(None);
    }
    let (bytes, rest) = blob.split_at_checked(length as usize).ok_or(HeadersError)?;
    *blob = rest;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_header_of_a_name_wins_and_null_is_not_empty() {
        let mut headers = Headers::new();
        headers.push_str("a", "1");
        headers.push("b", None);
        headers.push_str("a", "2");
        headers.push("c", Some(b""));

        assert_eq!(headers.get("a"), Some(&b"2"[..]));
        assert_eq!(headers.get("b"), None);
        assert_eq!(headers.get("c"), Some(&b""[..]));
        assert_eq!(headers.len(), 4);
    }

    #[test]
    fn replacing_leaves_one_header_of_the_name() {
        let mut headers = Headers::new();
        headers.push_str("a", "1");
        headers.push_str("b", "x");
        headers.push_str("a", "2");

        headers.replace("a", "3");

        let all: Vec<_> = headers.iter().collect();
        assert_eq!(all, [("b", Some(&b"x"[..])), ("a", Some(&b"3"[..]))]);
    }

    #[test]
    fn a_damaged_blob_is_an_error_and_never_a_panic() {
        let mut headers = Headers::new();
        headers.push_str("name", "value");
        let blob = headers.to_bytes();
        for end in 1..blob.len() {
            if end != 8 {
                assert!(Headers::from_bytes(&blob[..end]).is_err(), "cut at {end}");
            }
        }
        assert!(Headers::from_bytes(&[0, 0, 0, 1, 0xff, 0, 0, 0, 0]).is_err());
    }

    proptest! {
        #[test]
        fn a_blob_reads_back_as_it_was(
            all in prop::collection::vec((".{0,8}", prop::option::of(prop::collection::vec(any::<u8>(), 0..16))), 0..8)
        ) {
            let mut headers = Headers::new();
            for (name, value) in &all {
                headers.push(name, value.as_deref());
            }
            let back = Headers::from_bytes(&headers.to_bytes()).expect("own blob");
            prop_assert_eq!(back, headers);
        }

        #[test]
        fn random_bytes_never_panic(blob in prop::collection::vec(any::<u8>(), 0..64)) {
            drop(Headers::from_bytes(&blob));
        }
    }
}
