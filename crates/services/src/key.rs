//! `Idempotency-Key` on the wire: any string, as characters that a header can hold.
//!
//! Keys are made of ids from outside, which may be any text. What a header cannot hold is percent-encoded, and the
//! percent sign with it, so that different keys stay different.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// The name of the header (IETF draft-ietf-httpapi-idempotency-key-header).
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Visible ASCII stays as it is.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

/// The key as a header's value.
pub(crate) fn write_key(key: &str) -> Cow<'_, str> {
    utf8_percent_encode(key, ESCAPED).into()
}

/// The key of a header's value; `None` if it is empty or no UTF-8.
pub fn read_key(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let key = percent_decode_str(text).decode_utf8().ok()?;
    (!key.is_empty()).then(|| key.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_comes_back_and_plain_ones_are_left_alone() {
        assert_eq!(write_key("charge:o-1"), "charge:o-1");
        for key in [
            "charge:ö 1",
            "a%20b",
            "a b",
            "line\r\nbreak",
            "\u{7f}",
            "日本",
        ] {
            let written = write_key(key);
            assert!(
                written.bytes().all(|byte| byte.is_ascii_graphic()),
                "{written}"
            );
            assert_eq!(read_key(written.as_bytes()).as_deref(), Some(key));
        }
        assert_eq!(read_key(b""), None);
        assert_eq!(read_key(b"%ff"), None);
    }
}
