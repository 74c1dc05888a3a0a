//! PostgreSQL to test on: an existing server, or a private cluster that can be stopped, killed and started.

mod cluster;

use std::env;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use cluster::Cluster;

const SERVER: &str = "LONGSHORE_TEST_POSTGRES";
const REQUIRED: &str = "LONGSHORE_REQUIRE_POSTGRES";

/// Where Debian and its kin put each version's programs.
const INSTALLED: &str = "/usr/lib/postgresql";

/// A PostgreSQL server. A private one ends with it.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    programs: PathBuf,
}

#[derive(Debug)]
enum Server {
    /// The URL of its maintenance database.
    External(String),
    Private(Cluster),
}

impl Postgres {
    /// The server that `LONGSHORE_TEST_POSTGRES` names, or a private one. `None`, and a line that says so, if the
    /// machine has no PostgreSQL.
    ///
    /// # Panics
    /// If PostgreSQL is there but does not start, or if it is missing and `LONGSHORE_REQUIRE_POSTGRES` is `1`.
    pub async fn start() -> Option<Self> {
        let Ok(url) = env::var(SERVER) else {
            return Self::private().await;
        };
        let programs = programs_or_line()?;
        let server = Server::External(url);
        Some(Self { server, programs })
    }

    /// A private server, whatever the environment names; otherwise as [`Postgres::start`].
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub async fn private() -> Option<Self> {
        let programs = programs_or_line()?;
        match Cluster::run(&programs, Ipv4Addr::LOCALHOST).await {
            Ok(cluster) => Some(Self {
                server: Server::Private(cluster),
                programs,
            }),
            Err(error) => panic!("PostgreSQL does not start: {error:?}"),
        }
    }

    /// A hot standby of a private server: it follows, and can only be read.
    ///
    /// # Errors
    /// When the server is external, or the standby does not start.
    pub async fn standby(&self) -> anyhow::Result<Self> {
        match &self.server {
            Server::External(_) => bail!("a test makes no standby of an external PostgreSQL"),
            Server::Private(cluster) => Ok(Self {
                server: Server::Private(cluster.standby().await?),
                programs: self.programs.clone(),
            }),
        }
    }

    /// A private server that listens at `address`, which the machine must have, and trusts whoever reaches it there.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start.
    pub async fn listening(address: Ipv4Addr) -> anyhow::Result<Self> {
        let programs = programs().with_context(|| {
            format!("PostgreSQL was not found on the PATH or under {INSTALLED}")
        })?;
        let server = Server::Private(Cluster::run(&programs, address).await?);
        Ok(Self { server, programs })
    }

    /// Creates an empty database and returns its URL.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn create_database(&self, name: &str) -> String {
        let statement = format!("create database \"{name}\"");
        match self.run(&self.url(None), &statement) {
            Ok(_) => self.database(name),
            Err(error) => panic!("database {name} was not created: {error:?}"),
        }
    }

    /// The URL of a database.
    pub fn database(&self, name: &str) -> String {
        self.url(Some(name))
    }

    /// Runs a statement in a database, and returns its rows as `psql` prints them: unaligned, columns separated by `|`.
    ///
    /// # Errors
    /// When the server is away or refuses, with what it says.
    pub fn run(&self, url: &str, statement: &str) -> anyhow::Result<String> {
        let output = Command::new(self.programs.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--command", statement, url])
            .stdin(Stdio::null())
            .output()
            .context("psql does not start")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{statement} at {url}: {said}");
        }
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }

    /// Stops a private server: open transactions are rolled back, connections cut.
    ///
    /// # Errors
    /// When it is external, or does not stop.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        match &mut self.server {
            Server::External(_) => bail!("an external PostgreSQL cannot be stopped by a test"),
            Server::Private(cluster) => cluster.stop().await,
        }
    }

    /// Ends a private server without a word to anybody, as a crash does: it recovers from its log at the next start.
    ///
    /// # Errors
    /// When it is external, or does not end.
    pub async fn crash(&mut self) -> anyhow::Result<()> {
        match &mut self.server {
            Server::External(_) => bail!("an external PostgreSQL cannot be crashed by a test"),
            Server::Private(cluster) => cluster.crash().await,
        }
    }

    /// Starts a stopped private server again, at the same port.
    ///
    /// # Errors
    /// When it is external, or does not answer in time.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        match &mut self.server {
            Server::External(_) => bail!("an external PostgreSQL cannot be started by a test"),
            Server::Private(cluster) => cluster.start().await,
        }
    }

    fn url(&self, database: Option<&str>) -> String {
        match &self.server {
            Server::Private(cluster) => cluster.url(database.unwrap_or("postgres")),
            Server::External(url) => match database {
                None => url.clone(),
                Some(name) => with_database(url, name),
            },
        }
    }
}

/// The same server's URL for another database: the path is replaced, a query stays.
fn with_database(url: &str, name: &str) -> String {
    let (address, query) = match url.split_once('?') {
        Some((address, query)) => (address, format!("?{query}")),
        None => (url, String::new()),
    };
    let scheme = address.find("://").map_or(0, |at| at + 3);
    let end = address[scheme..]
        .find('/')
        .map_or(address.len(), |at| scheme + at);
    format!("{}/{name}{query}", &address[..end])
}

fn required() -> bool {
    env::var(REQUIRED).is_ok_and(|value| value == "1")
}

/// The programs; `None`, and a line that says so, if there are none.
fn programs_or_line() -> Option<PathBuf> {
    let programs = programs();
    if programs.is_none() {
        let missing = format!("postgres: not found on the PATH or under {INSTALLED}");
        assert!(!required(), "{missing}, and {REQUIRED} is 1");
        let line = format!("{missing}; a test that needs it did NOT run\n");
        if std::io::stderr().write_all(line.as_bytes()).is_err() {
            // Nobody listens.
        }
    }
    programs
}

/// The directory of the newest installed version's programs.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir(INSTALLED).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|version| {
            let number = version.file_name().to_str()?.parse().ok()?;
            Some((number, version.path().join("bin")))
        })
        .collect();
    versions.sort();
    let on_path = env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect::<Vec<_>>())
        .unwrap_or_default();
    let newest_first = versions.into_iter().rev().map(|(_, bin)| bin);
    newest_first.chain(on_path).find(|bin| all_there(bin))
}

fn all_there(bin: &Path) -> bool {
    ["initdb", "postgres", "pg_isready", "psql"]
        .iter()
        .all(|program| bin.join(program).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_of_a_server_keeps_the_rest_of_the_url() {
        for (url, expected) in [
            ("postgres://u:p@h:1/old", "postgres://u:p@h:1/new"),
            ("postgres://h", "postgres://h/new"),
            (
                "postgres://h/old?sslmode=disable",
                "postgres://h/new?sslmode=disable",
            ),
        ] {
            assert_eq!(with_database(url, "new"), expected);
        }
    }

    #[tokio::test]
    async fn what_was_committed_is_there_after_a_stop_and_a_start() {
        let Some(mut postgres) = Postgres::start().await else {
            return;
        };
        let name = format!("longshore_{}", uuid::Uuid::new_v4().simple());
        let url = postgres.create_database(&name);
        let run = |postgres: &Postgres, statement| postgres.run(&url, statement);
        run(&postgres, "create table t(n int); insert into t values (7)").expect("created");
        if matches!(postgres.server, Server::External(_)) {
            assert!(postgres.stop().await.is_err());
            return;
        }

        postgres.stop().await.expect("stops");
        assert!(run(&postgres, "select 1").is_err());
        postgres.restart().await.expect("starts");

        assert_eq!(run(&postgres, "select n from t").expect("answers"), "7");
    }
}
