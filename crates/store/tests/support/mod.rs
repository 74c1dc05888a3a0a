//! Where a test finds a database: a SQLite file of its own, or a schema of its own on PostgreSQL.

use longshore_store::{Migration, SqlStore, StoreUrl};
use longshore_worker::sql;
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) mod postgres;

/// A place for one test's store.
pub(crate) struct Place {
    pub(crate) url: StoreUrl,
    pub(crate) group: String,
    directory: Option<TempDir>,
}

/// The application's tables of the tests.
pub(crate) const TABLES: &[Migration] = &[Migration {
    module: "test",
    version: 1,
    name: "one table of each kind",
    sql: "
        create table counter (name text not null primary key, count bigint not null);
        create table typed (id bigint not null primary key, number bigint, ratio double precision, words text, raw bytea);
        create table parent (id bigint not null primary key);
        create table child (
            id bigint not null primary key,
            parent bigint references parent (id) deferrable initially deferred
        );
    ",
}];

impl Place {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // The parent does not exist yet, and the name has what would confuse a URL.
        let path = directory.path().join("new/a store?#%.db");
        Self {
            url: StoreUrl::sqlite(path),
            group: "test".to_owned(),
            directory: Some(directory),
        }
    }

    /// `None` if there is no PostgreSQL here, which is said on stderr.
    pub(crate) async fn postgres() -> Option<Self> {
        let url = postgres::shared_url().await?;
        Some(Self::on(url))
    }

    /// A schema of its own on the PostgreSQL at `url`.
    pub(crate) fn on(url: &str) -> Self {
        Self {
            url: url.parse().expect("a valid URL"),
            group: format!("test-{}", Uuid::now_v7()),
            directory: None,
        }
    }

    pub(crate) async fn open(&self) -> SqlStore {
        SqlStore::open(&self.url, &self.group, TABLES)
            .await
            .expect("the store opens")
    }

    /// Removes what the test left behind.
    pub(crate) async fn clear(self) {
        if self.directory.is_none() {
            let store = SqlStore::open(&self.url, &self.group, &[])
                .await
                .expect("opens");
            let drop_schema = format!("drop schema \"{}\" cascade", self.group);
            store.execute(&sql(drop_schema)).await.expect("dropped");
        }
    }
}
