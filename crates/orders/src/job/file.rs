//! Files that a job leaves: their name is the job's, so that a second run writes the same file again.

use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// Bytes of a job's id in a file's name.
const MAX_NAME_BYTES: usize = 100;

/// The file of a job in `directory`. Ids of any kind can be in a name; where letters had to be replaced, a hash tells
/// two of them apart.
pub(super) fn file_of(directory: &Path, job_id: &str, extension: &str) -> PathBuf {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_@".contains(c);
    let kept: String = job_id
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .take(MAX_NAME_BYTES)
        .collect();
    let name = match kept == job_id {
        true => kept,
        false => {
            let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, job_id.as_bytes());
            format!("{kept}-{:016x}", hash.as_u64_pair().0)
        }
    };
    directory.join(format!("{name}.{extension}"))
}

/// Writes a file, whole or not at all.
///
/// # Errors
/// As those of the file system.
pub(super) async fn write_whole(file: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        tokio::fs::create_dir_all(directory).await?;
    }
    let mut unfinished = file.as_os_str().to_owned();
    unfinished.push(".part");
    tokio::fs::write(&unfinished, content).await?;
    tokio::fs::rename(&unfinished, file).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_has_a_file_of_its_own_in_the_directory() {
        let file = |id| file_of(Path::new("mails"), id, "eml");
        assert_eq!(file("j-1"), Path::new("mails/j-1.eml"));
        let odd = ["../../etc/passwd", "a/b", "a:b", "a b"].map(file);
        for (index, one) in odd.iter().enumerate() {
            assert_eq!(one.parent(), Some(Path::new("mails")), "{}", one.display());
            assert!(!odd[index + 1..].contains(one));
        }
    }
}
