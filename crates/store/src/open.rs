//! Opening a store: connect, then bring the tables up to date. Errors say whether trying again can help.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::migration::{Migration, migrate};
use crate::store::Inner;
use crate::url::Place;
use crate::{SqlStore, StoreUrl, postgres, sqlite};

impl SqlStore {
    /// Opens the store of the consumer group `group`, and creates or upgrades its tables.
    ///
    /// A SQLite file belongs to one group and one process. On PostgreSQL the tables are in a schema named after the
    /// group, and any number of instances may open it, also at the same time. `migrations` are the application's
    /// own, in the order in which they are to run; those that ran before are passed over.
    ///
    /// # Errors
    /// [`OpenError::Unavailable`] if trying again later can help; no other error is cured by waiting.
    pub async fn open(
        url: &StoreUrl,
        group: &str,
        migrations: &[Migration],
    ) -> Result<Self, OpenError> {
        let (inner, schema) = connect(url, group).await?;
        migrate(&inner, schema.as_deref(), migrations).await?;
        Ok(Self::over(inner))
    }

    /// Opens the store of the consumer group `group` to look into it, whether its worker runs or not: nothing is created,
    /// upgraded or locked, and no statement can write.
    ///
    /// # Errors
    /// [`OpenError::File`] if there is no such SQLite file, [`OpenError::Unavailable`] if the server does not answer,
    /// [`OpenError::Refused`].
    pub async fn inspect(url: &StoreUrl, group: &str) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let inner = match &url.0 {
            Place::Sqlite(path) => sqlite::inspect(path).await?,
            Place::Postgres(options) => {
                postgres::inspect(options, &postgres::schema_name(group)).await?
            }
        };
        Ok(Self::over(inner))
    }

    /// Opens the store of `group` to read what others have made and write: its tables are taken as they are, so that it may
    /// be a replica, on which nothing can be created.
    ///
    /// # Errors
    /// As [`SqlStore::open`].
    pub async fn open_replica(url: &StoreUrl, group: &str) -> Result<Self, OpenError> {
        let (inner, _) = connect(url, group).await?;
        Ok(Self::over(inner))
    }

    fn over(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
            gate: None,
        }
    }
}

/// The connections, and the schema if there are such.
async fn connect(url: &StoreUrl, group: &str) -> Result<(Inner, Option<String>), OpenError> {
    sqlx::any::install_default_drivers();
    Ok(match &url.0 {
        Place::Sqlite(path) => (sqlite::connect(path).await?, None),
        Place::Postgres(options) => {
            let schema = postgres::schema_name(group);
            (postgres::connect(options, &schema).await?, Some(schema))
        }
    })
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It does not answer, or not yet. Try again.
    #[error("the store is not available")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Another process has the SQLite file open.
    #[error(
        "{} is in use by another process; a SQLite store serves one instance, several need a PostgreSQL store \
         (--store postgres://user:password@host/database)",
        path.display()
    )]
    InUse {
        /// The SQLite file.
        path: PathBuf,
    },
    /// The SQLite file or its directory cannot be created or opened.
    #[error("cannot open {} for reading and writing; check the path and its permissions", path.display())]
    File {
        /// The SQLite file, its directory or its lock file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The database answers, and does not let us in.
    #[error(
        "the database refused the connection; check user, password, database and TLS in the store's URL"
    )]
    Refused(#[source] sqlx::Error),
    /// The tables were made by a later version of this program.
    #[error(
        "the store's tables of `{module}` are of version {found}, this program knows versions up to {known}; \
         run the later version of the program"
    )]
    Newer {
        /// Whose tables.
        module: String,
        /// The version in the store.
        found: i64,
        /// The latest version this program has a migration to.
        known: i64,
    },
    /// A migration does not run.
    #[error("migration {version} of `{module}` ({name}) failed; the store is as it was before")]
    Migration {
        /// Whose tables.
        module: &'static str,
        /// Which migration.
        version: i64,
        /// Its name.
        name: &'static str,
        /// What the database says.
        source: sqlx::Error,
    },
}
