//! Connections to a SQLite file: one that writes, a few that read, and a lock that keeps other processes out.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io, path};

use sqlx::AnyPool;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};

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
const WRITER: &str = "pragma busy_timeout = 5000; pragma journal_mode = wal; pragma synchronous = full; \
     pragma foreign_keys = on";

const READER: &str = "pragma busy_timeout = 5000; pragma query_only = on";

pub(crate) async fn connect(path: &Path) -> Result<Inner, OpenError> {
    let path = path::absolute(path).map_err(|source| file_error(path, source))?;
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(|source| file_error(directory, source))?;
    }
    let lock = lock(&path)?;
    let writer = pool(&path, 1, WRITER)?;
    // Connecting here shows what is wrong with the file, and switches it to WAL before the first reader opens it.
    drop(
        writer
            .acquire()
            .await
            .map_err(|error| refused(&path, error))?,
    );
    let reader = pool(&path, READERS, READER)?;
    Ok(Inner {
        database: Database::Sqlite,
        writer,
        reader,
        _lock: Some(lock),
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

fn pool(path: &Path, connections: u32, setup: &'static str) -> Result<AnyPool, OpenError> {
    let options: AnyConnectOptions = url(path).parse().map_err(OpenError::Refused)?;
    Ok(AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_LIMIT)
        .idle_timeout(None)
        .max_lifetime(None)
        // A file does not hang up.
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(setup).execute(connection).await?;
                Ok(())
            })
        })
        .connect_lazy_with(options))
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
    url.push_str("?mode=rwc");
    url
}

fn file_error(path: &Path, source: io::Error) -> OpenError {
    OpenError::File {
        path: path.to_owned(),
        source,
    }
}

fn refused(path: &Path, error: sqlx::Error) -> OpenError {
    match error {
        sqlx::Error::PoolTimedOut => OpenError::Unavailable(error.into()),
        error => file_error(path, io::Error::other(error)),
    }
}
