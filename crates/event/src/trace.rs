//! W3C Trace Context: the `traceparent` header, read from a cause and continued in what it causes.

use std::fmt;

/// A valid `traceparent` of version 00 (W3C Trace Context, section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    flags: u8,
}

impl TraceParent {
    /// Reads the header; `None` if it is malformed, in which case the standard asks to start a new trace.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // A later version may have more fields; version 00 may not, and ff is forbidden.
        let known = version == "00" && parts.next().is_none();
        let later = lower_hex(version, 2) && version != "00" && version != "ff";
        let shaped = lower_hex(trace, 32) && lower_hex(span, 16) && lower_hex(flags, 2);
        if !(known || later) || !shaped {
            return None;
        }
        let parsed = Self {
            trace: u128::from_str_radix(trace, 16).ok()?,
            span: u64::from_str_radix(span, 16).ok()?,
            flags: u8::from_str_radix(flags, 16).ok()?,
        };
        (parsed.trace != 0 && parsed.span != 0).then_some(parsed)
    }

    /// The same trace, one step on. `span` is derived from the id of the event that carries it, so that publishing
    /// again publishes the same bytes.
    pub fn child(self, span: u64) -> Self {
        Self {
            span: span.max(1),
            ..self
        }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace, self.span, self.flags
        )
    }
}

fn lower_hex(text: &str, length: usize) -> bool {
    text.len() == length
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_valid_header_reads_and_writes_back() {
        let parent = TraceParent::parse(VALID).expect("valid");
        assert_eq!(parent.to_string(), VALID);
        assert_eq!(
            parent.child(0xff).to_string(),
            "00-0af7651916cd43dd8448eb211c80319c-00000000000000ff-01"
        );
    }

    #[test]
    fn malformed_headers_are_no_parent() {
        for text in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceParent::parse(text), None, "{text}");
        }
    }
}
