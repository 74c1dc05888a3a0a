//! One file of a partition's log: batches back to back, named by the offset of the first.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::batch::{BatchHeader, HEADER_BYTES, IncomingBatch};
use super::index::SparseIndex;
use crate::node::now_ms;

/// The extension of a segment file.
pub(crate) const EXTENSION: &str = "log";

/// The extension of a segment that a compaction is writing.
const UNFINISHED: &str = "cleaned";

/// An open segment. Only the last segment of a log is written.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base_offset: i64,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<File>,
    /// Bytes of whole batches; what a failed write left behind is not counted.
    pub(crate) size: u64,
    /// The offset after the last batch. Behind compacted batches this is less than where the next segment begins.
    pub(crate) next_offset: i64,
    /// When it was created, in milliseconds since 1970; after a restart, when it was last written.
    pub(crate) begun_ms: i64,
    pub(crate) index: SparseIndex,
}

impl Segment {
    /// Creates the empty segment of `directory` that starts at `base_offset`.
    pub(crate) fn create(directory: &Path, base_offset: i64) -> io::Result<Self> {
        let path = path_of(directory, base_offset);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        Ok(Self::of(base_offset, path, file, now_ms()))
    }

    /// Opens the existing segment at `path`; its size and index are for recovery to find.
    pub(crate) fn open(path: PathBuf, base_offset: i64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let written = file.metadata()?.modified()?;
        let since_1970 = written.duration_since(SystemTime::UNIX_EPOCH);
        let begun_ms = since_1970.unwrap_or_default().as_millis() as i64;
        Ok(Self::of(base_offset, path, file, begun_ms))
    }

    /// Creates the empty file that takes the place of the segment at `path` when it is renamed to that.
    pub(crate) fn create_unfinished(path: &Path, base_offset: i64) -> io::Result<Self> {
        let unfinished = path.with_extension(UNFINISHED);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&unfinished)?;
        Ok(Self::of(base_offset, unfinished, file, now_ms()))
    }

    /// Writes `batch`, with `header` as its header, behind the last whole batch.
    ///
    /// # Errors
    ///
    /// The segment is as before; what was written in part is cut or will be overwritten.
    pub(crate) fn append(
        &mut self,
        header: &[u8; HEADER_BYTES],
        batch: &IncomingBatch,
    ) -> io::Result<()> {
        let written = self.file.write_all_at(header, self.size).and_then(|()| {
            self.file
                .write_all_at(batch.records(), self.size + HEADER_BYTES as u64)
        });
        if let Err(error) = written {
            // Recovery would cut these bytes too; cutting them now gives the disk its space back.
            if let Err(error) = self.file.set_len(self.size) {
                tracing::warn!(path = %self.path.display(), %error, "cannot cut a batch written in part");
            }
            return Err(error);
        }
        Ok(())
    }

    /// Counts the batch with `header`, which is in the file behind the last one.
    pub(crate) fn admit(&mut self, header: &BatchHeader) {
        self.index.note(header, self.size);
        self.size += header.size as u64;
        self.next_offset = header.next_offset();
    }

    fn of(base_offset: i64, path: PathBuf, file: File, begun_ms: i64) -> Self {
        Self {
            base_offset,
            path,
            file: Arc::new(file),
            size: 0,
            next_offset: base_offset,
            begun_ms,
            index: SparseIndex::new(),
        }
    }
}

/// The segments in `directory` by base offset, oldest first.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<(i64, PathBuf)>> {
    list_by_extension(directory, EXTENSION)
}

fn list_by_extension(directory: &Path, wanted: &str) -> io::Result<Vec<(i64, PathBuf)>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut segments = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == wanted)
            && let Some(base_offset) = base_offset_of(&path)
        {
            segments.push((base_offset, path));
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

/// Removes what a compaction left that did not come to its end.
pub(crate) fn remove_unfinished(directory: &Path) -> io::Result<()> {
    for (_, path) in list_by_extension(directory, UNFINISHED)? {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

fn path_of(directory: &Path, base_offset: i64) -> PathBuf {
    directory.join(format!("{base_offset:020}.{EXTENSION}"))
}

fn base_offset_of(path: &Path) -> Option<i64> {
    path.file_stem()?.to_str()?.parse().ok()
}
