//! The lines to send, readable twice: a file as it is, everything else through a temporary file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use anyhow::{Context, anyhow};

/// Bytes of one line. No broker takes a record of this size; a longer line is no JSON lines.
const MAX_LINE_BYTES: usize = 64 * 1024 * 1024;

/// An open file, and how many of its lines count.
#[derive(Debug)]
pub(super) struct Input {
    file: File,
    name: String,
    limit: u64,
}

/// One line that is not blank.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// From 1, blank ones counted.
    pub(super) number: u64,
    /// Without the line feed and blanks around it.
    pub(super) bytes: &'a [u8],
}

impl Input {
    /// Opens `path`, of which the first `limit` lines that are not blank count.
    pub(super) fn open(path: &Path, limit: u64) -> anyhow::Result<Self> {
        let name = match path.to_str() {
            Some("-") => "standard input".to_owned(),
            _ => path.display().to_string(),
        };
        let file = if path.as_os_str() == "-" {
            spooled(&mut io::stdin().lock())
        } else {
            File::open(path).and_then(|mut file| {
                if file.metadata()?.is_file() {
                    Ok(file)
                } else {
                    spooled(&mut file)
                }
            })
        };
        let file =
            file.with_context(|| format!("cannot read {name}; --file names a file of JSON lines"))?;
        Ok(Self { file, name, limit })
    }

    /// What is read, for messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Calls `each` for every line that counts, from the first.
    pub(super) fn for_each(
        &self,
        mut each: impl FnMut(Line<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let context = || format!("cannot read {}", self.name);
        (&self.file).rewind().with_context(context)?;
        let mut reader = BufReader::with_capacity(256 * 1024, &self.file);
        let mut buffer = Vec::new();
        let (mut number, mut counted) = (0, 0);
        while counted < self.limit {
            buffer.clear();
            let mut line = (&mut reader).take(MAX_LINE_BYTES as u64);
            if line.read_until(b'\n', &mut buffer).with_context(context)? == 0 {
                return Ok(());
            }
            number += 1;
            if buffer.len() == MAX_LINE_BYTES {
                return Err(anyhow!(
                    "{}:{number}: a line of more than {MAX_LINE_BYTES} bytes; one JSON value a line is expected",
                    self.name
                ));
            }
            let bytes = buffer.trim_ascii();
            if !bytes.is_empty() {
                counted += 1;
                each(Line { number, bytes })?;
            }
        }
        Ok(())
    }
}

fn spooled(from: &mut impl Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(from, &mut file)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines(text: &str, limit: u64) -> Vec<(u64, String)> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        let input = Input::open(file.path(), limit).expect("open");
        let read = || {
            let mut lines = Vec::new();
            let each = |line: Line<'_>| {
                lines.push((
                    line.number,
                    String::from_utf8_lossy(line.bytes).into_owned(),
                ));
                Ok(())
            };
            input.for_each(each).expect("read");
            lines
        };
        assert_eq!(read(), read(), "the second time as the first");
        read()
    }

    #[test]
    fn lines_keep_their_numbers_and_blank_ones_are_skipped() {
        let expected = [
            (1, "a".to_owned()),
            (3, "b".to_owned()),
            (4, "c".to_owned()),
        ];
        assert_eq!(lines("a\r\n  \n b \nc", u64::MAX), expected);
        assert_eq!(lines("a\r\n  \n b \nc", 2), expected[..2]);
        assert_eq!(lines("", u64::MAX), []);
    }
}
