//! One file of a partition's log: batches back to back, named by the offset of the first.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::batch::{BatchHeader, HEADER_BYTES, IncomingBatch};
use super::index::SparseIndex;

/// The extension of a segment file.
pub(crate) const EXTENSION: &str = "log";

/// An open segment. Only the last segment of a log is written.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base_offset: i64,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<File>,
    /// Bytes of whole batches; what a failed write left behind is not counted.
    pub(crate) size: u64,
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
        Ok(Self::of(base_offset, path, file))
    }

    /// Opens the existing segment at `path`; its size and index are for recovery to find.
    pub(crate) fn open(path: PathBuf, base_offset: i64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        Ok(Self::of(base_offset, path, file))
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
    }

    fn of(base_offset: i64, path: PathBuf, file: File) -> Self {
        Self {
            base_offset,
            path,
            file: Arc::new(file),
            size: 0,
            index: SparseIndex::new(),
        }
    }
}

/// The segments in `directory` by base offset, oldest first.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<(i64, PathBuf)>> {
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
            .is_some_and(|extension| extension == EXTENSION)
            && let Some(base_offset) = base_offset_of(&path)
        {
            segments.push((base_offset, path));
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

fn path_of(directory: &Path, base_offset: i64) -> PathBuf {
    directory.join(format!("{base_offset:020}.{EXTENSION}"))
}

fn base_offset_of(path: &Path) -> Option<i64> {
    path.file_stem()?.to_str()?.parse().ok()
}
