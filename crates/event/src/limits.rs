//! Bounds on what arrives from outside. A record over one of them is undecodable; it is never cut to fit.

use crate::Record;

/// What a record may measure at most before its value is even looked at.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Headers per record.
    pub headers: usize,
    /// Bytes of one header's name and value together.
    pub header_bytes: usize,
    /// Bytes of all headers together.
    pub all_headers_bytes: usize,
    /// Bytes of the value.
    pub value_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            headers: 64,
            header_bytes: 16 * 1024,
            all_headers_bytes: 32 * 1024,
            value_bytes: 512 * 1024,
        }
    }
}

impl Limits {
    /// Accepts the record or names the first bound it breaks.
    ///
    /// # Errors
    /// [`LimitError`] with what was measured and what is allowed.
    pub fn check(&self, record: &Record) -> Result<(), LimitError> {
        within(record.headers.len(), self.headers).map_err(LimitError::Headers)?;
        let mut all = 0;
        for (name, value) in record.headers.iter() {
            let bytes = name.len() + value.map_or(0, <[u8]>::len);
            within(bytes, self.header_bytes).map_err(LimitError::HeaderBytes)?;
            all += bytes;
        }
        within(all, self.all_headers_bytes).map_err(LimitError::AllHeadersBytes)?;
        let value = record.value.as_ref().map_or(0, |value| value.len());
        within(value, self.value_bytes).map_err(LimitError::ValueBytes)
    }
}

/// A bound that a record breaks.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// Too many headers.
    #[error("{} headers, {} are allowed", .0.found, .0.allowed)]
    Headers(Excess),
    /// One header is too large.
    #[error("a header of {} bytes, {} are allowed", .0.found, .0.allowed)]
    HeaderBytes(Excess),
    /// The headers together are too large.
    #[error("headers of {} bytes together, {} are allowed", .0.found, .0.allowed)]
    AllHeadersBytes(Excess),
    /// The value is too large.
    #[error("a value of {} bytes, {} are allowed", .0.found, .0.allowed)]
    ValueBytes(Excess),
}

/// What was measured against what is allowed.
#[derive(Clone, Copy, Debug)]
pub struct Excess {
    /// As measured.
    pub found: usize,
    /// The bound.
    pub allowed: usize,
}

fn within(found: usize, allowed: usize) -> Result<(), Excess> {
    if found > allowed {
        return Err(Excess { found, allowed });
    }
    Ok(())
}
