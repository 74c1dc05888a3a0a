//! A journal: one line per change, a checksum and JSON, appended; rewritten as the present state when it
//! is opened and when it has grown past its bound.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::marker::PhantomData;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::durable;

/// An open journal of entries `E`.
#[derive(Debug)]
pub(crate) struct Journal<E> {
    path: PathBuf,
    file: File,
    size: u64,
    /// Bytes past which a rewrite is due.
    rewrite_past: u64,
    bound: u64,
    line: Vec<u8>,
    entries: PhantomData<fn(E)>,
}

impl<E: Serialize + DeserializeOwned> Journal<E> {
    /// Opens the journal at `path` and gives each entry to `replay`; a torn end is cut.
    ///
    /// # Errors
    ///
    /// The file cannot be read or cut.
    pub(crate) fn open(path: &Path, bound: u64, mut replay: impl FnMut(E)) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let content = std::fs::read(path)?;
        let mut size = 0;
        while let Some((entry, length)) = next_entry(&content[size..]) {
            replay(entry);
            size += length;
        }
        if size < content.len() {
            tracing::warn!(
                path = %path.display(),
                position = size,
                bytes_cut = content.len() - size,
                "cut the unfinished end of a journal"
            );
            file.set_len(size as u64)?;
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            size: size as u64,
            rewrite_past: bound,
            bound,
            line: Vec::new(),
            entries: PhantomData,
        })
    }

    /// Appends `entry`; it survives the death of the process.
    ///
    /// # Errors
    ///
    /// The entry is not in the journal.
    pub(crate) fn append(&mut self, entry: &E) -> io::Result<()> {
        self.line.clear();
        write_entry(&mut self.line, entry)?;
        if let Err(error) = self.file.write_all_at(&self.line, self.size) {
            // Replay would stop at half an entry, so entries behind it would be lost.
            self.file.set_len(self.size)?;
            return Err(error);
        }
        self.size += self.line.len() as u64;
        Ok(())
    }

    /// Whether the journal has grown so far that it should be rewritten.
    pub(crate) fn is_due_for_rewrite(&self) -> bool {
        self.size > self.rewrite_past
    }

    /// Replaces the journal by `entries`, which must say all there is. If that fails, the journal goes
    /// on as it is, and the next attempt waits until it has doubled.
    pub(crate) fn rewrite(&mut self, entries: impl Iterator<Item = E>) {
        match write_anew(&self.path, entries) {
            Ok((file, size)) => {
                self.file = file;
                self.size = size;
            }
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "cannot rewrite a journal");
            }
        }
        // Twice the live state, so that rewriting costs less than appending on average.
        self.rewrite_past = self.bound.max(2 * self.size);
    }

    /// Brings the journal to the disk.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    #[cfg(test)]
    pub(crate) fn size(&self) -> u64 {
        self.size
    }
}

fn write_anew<E: Serialize>(
    path: &Path,
    entries: impl Iterator<Item = E>,
) -> io::Result<(File, u64)> {
    let next = path.with_extension("next");
    let mut writer = BufWriter::new(File::create(&next)?);
    for entry in entries {
        write_entry(&mut writer, &entry)?;
    }
    let file = writer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    let size = file.metadata()?.len();
    std::fs::rename(&next, path)?;
    durable::sync_parent(path)?;
    Ok((file, size))
}

/// `checksum json newline`, the checksum (CRC-32C of the JSON) as eight hexadecimal digits.
fn write_entry<E: Serialize>(to: &mut impl Write, entry: &E) -> io::Result<()> {
    let json = serde_json::to_vec(entry)?;
    write!(to, "{:08x} ", crc32c::crc32c(&json))?;
    to.write_all(&json)?;
    to.write_all(b"\n")
}

/// The entry at the start of `content` and its length; `None` at the end and at a torn entry.
fn next_entry<E: DeserializeOwned>(content: &[u8]) -> Option<(E, usize)> {
    let end = content.iter().position(|byte| *byte == b'\n')?;
    let (checksum, json) = content[..end].split_at_checked(9)?;
    let checksum = std::str::from_utf8(&checksum[..8]).ok()?;
    let sound = u32::from_str_radix(checksum, 16).ok()? == crc32c::crc32c(json);
    let entry = sound.then(|| serde_json::from_slice(json).ok())??;
    Some((entry, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(group: &str, offset: i64) -> (String, i64) {
        (group.to_owned(), offset)
    }

    fn replayed(path: &Path) -> Vec<String> {
        let mut entries = Vec::new();
        let replay = |entry: (String, i64)| entries.push(format!("{entry:?}"));
        Journal::open(path, u64::MAX, replay).unwrap();
        entries
    }

    #[test]
    fn entries_are_replayed_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let mut journal = Journal::open(&path, u64::MAX, |_| {}).unwrap();

        for offset in 0..3 {
            journal.append(&commit("g", offset)).unwrap();
        }

        let expected: Vec<_> = (0..3)
            .map(|offset| format!("{:?}", commit("g", offset)))
            .collect();
        assert_eq!(replayed(&path), expected);
    }

    #[test]
    fn a_torn_entry_is_cut_wherever_it_ends_and_the_journal_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let mut journal = Journal::open(&path, u64::MAX, |_| {}).unwrap();
        journal.append(&commit("g", 1)).unwrap();
        let whole = journal.size();
        journal.append(&commit("g", 2)).unwrap();
        let content = std::fs::read(&path).unwrap();

        for end in whole as usize..content.len() {
            std::fs::write(&path, &content[..end]).unwrap();
            let mut journal = Journal::open(&path, u64::MAX, |_| {}).unwrap();
            assert_eq!(journal.size(), whole);
            journal.append(&commit("g", 3)).unwrap();
            assert_eq!(replayed(&path).len(), 2);
        }
    }

    #[test]
    fn a_rewrite_is_due_past_the_bound_and_leaves_only_what_it_was_given() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let mut journal = Journal::open(&path, 1_000, |_| {}).unwrap();
        let mut offset = 0;
        while !journal.is_due_for_rewrite() {
            journal.append(&commit("g", offset)).unwrap();
            offset += 1;
        }

        journal.rewrite(std::iter::once(commit("g", offset)));

        assert!(offset > 5 && !journal.is_due_for_rewrite());
        journal.append(&commit("g", offset + 1)).unwrap();
        assert_eq!(replayed(&path).len(), 2);
    }
}
