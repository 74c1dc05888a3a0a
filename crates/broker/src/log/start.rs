//! The log start offset on disk: nothing below it can be read, though a segment may still hold it.
//!
//! Written only when records are deleted by offset; otherwise the first segment's name says it.

use std::io;
use std::path::Path;

use crate::durable;

const FILE: &str = "log-start-offset";

/// The start offset kept in `directory`; zero when none is.
///
/// # Errors
///
/// The file cannot be read, or is not what was written.
pub(super) fn read(directory: &Path) -> io::Result<i64> {
    Ok(durable::read_json(&directory.join(FILE))?.unwrap_or(0))
}

/// Keeps `start` in `directory`, and returns when it is on disk.
///
/// # Errors
///
/// The former start offset is still there.
pub(super) fn write(directory: &Path, start: i64) -> io::Result<()> {
    durable::replace_json(&directory.join(FILE), &start)
}
