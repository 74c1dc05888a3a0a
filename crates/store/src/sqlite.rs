//! Connections to a SQLite file: one that writes, a few that read, and a lock that keeps other processes out.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io, path};

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, ConnectOptions, Connection};
use tokio::sync::watch;

use crate::OpenError;
use crate::classify::Database;
use crate::store::Inner;

/// Connections for reads. In WAL mode they neither wait for the writer nor hold it up.
const READERS: u32 = 4;

/// Time to wait for a connection: with 64 handlers and one writer, far more than a queue of their statements takes.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(10);

/// - One connection writes, so that our own transactions queue in the pool, in order, and never meet `SQLITE_BUSY`;
///   `busy_timeout` is for others, such as an operator's shell.
/// - `synchronous = full` syncs the log at each commit. WAL's usual `normal` may lose the last transactions when the
///   power fails; by then the offsets of their messages are committed to Kafka, and the messages would be lost.
/// - A checkpoint comes every 16 MiB, four times SQLite's own distance: it syncs the file itself, and most of the pages it
///   copies change again soon.
const WRITER: &str = "pragma busy_timeout = 5000; pragma journal_mode = wal; pragma synchronous = full; \
     pragma foreign_keys = on; pragma wal_autocheckpoint = 4000";

const READER: &str = "pragma busy_timeout = 5000; pragma query_only = on";

pub(crate) async fn connect(path: &Path) -> Result<Inner, OpenError> {
    let path = path::absolute(path).map_err(|source| file_error(path, source))?;
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(|source| file_error(directory, source))?;
    }
    let lock = lock(&path)?;
    let options = format!("{}?mode=rwc", url(&path));
    let options: AnyConnectOptions = options.parse().map_err(OpenError::Refused)?;
    check(&options)
        .await
        .map_err(|error| file_error(&path, io::Error::other(error)))?;
    let writer = pool(&options, 1, WRITER);
    let reader = pool(&options, READERS, READER);
    Ok(Inner {
        database: Database::Sqlite,
        writer,
        reader,
        commits: watch::Sender::new(()),
        _lock: Some(lock),
    })
}

/// Readers alone, and no lock: in WAL mode they disturb nobody, least of all the worker that has the file open.
pub(crate) async fn inspect(path: &Path) -> Result<Inner, OpenError> {
    let path = path::absolute(path).map_err(|source| file_error(path, source))?;
    fs::metadata(&path).map_err(|source| file_error(&path, source))?;
    let options = format!("{}?mode=ro", url(&path));
    let options: AnyConnectOptions = options.parse().map_err(OpenError::Refused)?;
    let readers = pool(&options, READERS, READER);
    Ok(Inner {
        database: Database::Sqlite,
        writer: readers.clone(),
        reader: readers,
        commits: watch::Sender::new(()),
        _lock: None,
    })
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|source| file_error(&name, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(file_error(&name, source)),
    }
}

/// Connects once outside of the pool, which tries again by itself and then only tells that time ran out. It creates
/// the file and switches it to WAL before the first reader opens it.
async fn check(options: &AnyConnectOptions) -> sqlx::Result<()> {
    let mut connection: AnyConnection = options.connect().await?;
    sqlx::raw_sql(WRITER).execute(&mut connection).await?;
    connection.close().await
}

fn pool(options: &AnyConnectOptions, connections: u32, setup: &'static str) -> AnyPool {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_LIMIT)
        .idle_timeout(None)
        .max_lifetime(None)
        // A file does not hang up.
        .test_before_acquire(false)
        // SQLite ends a transaction by itself when the disk is full or fails, and sqlx, whose `rollback` then finds none,
        // counts it as open for ever: this connection could never begin another.
        .before_acquire(|connection, _| {
            let usable = !connection.is_in_transaction();
            Box::pin(async move { Ok(usable) })
        })
        .after_connect(move |connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(setup).execute(connection).await?;
                Ok(())
            })
        })
        .connect_lazy_with(options.clone())
}

/// `sqlite://PATH` with every byte escaped that has a meaning in a URL.
fn url(path: &Path) -> String {
    let mut url = String::from("sqlite://");
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            url.push(byte.into());
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

fn file_error(path: &Path, source: io::Error) -> OpenError {
    OpenError::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Row as _;

    #[tokio::test]
    async fn the_writer_syncs_every_commit_and_checks_foreign_keys() {
        sqlx::any::install_default_drivers();
        let directory = tempfile::tempdir().expect("a directory");
        let store = connect(&directory.path().join("store.db"))
            .await
            .expect("opens");
        for (pragma, expected) in [
            ("synchronous", 2),
            ("foreign_keys", 1),
            ("busy_timeout", 5000),
            ("wal_autocheckpoint", 4000),
        ] {
            let text = sqlx::AssertSqlSafe(format!("pragma {pragma}"));
            let row = sqlx::query(text)
                .fetch_one(&store.writer)
                .await
                .expect("answers");
            assert_eq!(row.get::<i64, _>(0), expected, "{pragma}");
        }
        let mode = sqlx::query("pragma journal_mode")
            .fetch_one(&store.reader)
            .await;
        assert_eq!(mode.expect("answers").get::<String, _>(0), "wal");
    }
}
