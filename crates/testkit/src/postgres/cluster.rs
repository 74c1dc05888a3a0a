//! A private PostgreSQL cluster in a temporary directory, on a free loopback port.

use std::fs::File;
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::process::{Leash, Process};
use crate::wait::{free_port, poll};

/// A server has this long to answer, or to end.
const WITHIN: Duration = Duration::from_secs(30);

/// The account that runs the server when the test is run by root, which `initdb` and `postgres` refuse.
const ACCOUNT: &str = "postgres";

#[derive(Debug)]
pub(super) struct Cluster {
    address: Ipv4Addr,
    port: u16,
    account: Option<Account>,
    server: Option<Process>,
    programs: PathBuf,
    directory: TempDir,
    _leash: Leash,
}

#[derive(Clone, Copy, Debug)]
struct Account {
    user: u32,
    group: u32,
}

impl Cluster {
    pub(super) async fn run(programs: &Path, address: Ipv4Addr) -> anyhow::Result<Self> {
        let mut cluster = Self::prepare(programs, address)?;
        cluster.initialise()?;
        cluster.start().await?;
        Ok(cluster)
    }

    /// A hot standby of this one: it follows, and can be read meanwhile.
    pub(super) async fn standby(&self) -> anyhow::Result<Self> {
        let mut standby = Self::prepare(&self.programs, self.address)?;
        standby.copy(&self.url(ACCOUNT))?;
        standby.start().await?;
        Ok(standby)
    }

    fn prepare(programs: &Path, address: Ipv4Addr) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("longshore-").tempdir()?;
        let leash = Leash::new(&format!("sleep 1; rm -rf '{}'", directory.path().display()))?;
        let account = account()?;
        if let Some(account) = account {
            std::os::unix::fs::chown(directory.path(), Some(account.user), Some(account.group))?;
        }
        Ok(Self {
            address,
            port: free_port()?,
            account,
            server: None,
            programs: programs.to_owned(),
            directory,
            _leash: leash,
        })
    }

    pub(super) fn url(&self, database: &str) -> String {
        format!(
            "postgres://{ACCOUNT}@{}:{}/{database}",
            self.address, self.port
        )
    }

    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(mut server) = self.server.take() {
            server.signal("INT")?;
            server.wait(WITHIN).await?;
        }
        Ok(())
    }

    /// By PostgreSQL's immediate shutdown: unlike -9 to one process, it takes the others and their shared memory along.
    pub(super) async fn crash(&mut self) -> anyhow::Result<()> {
        if let Some(mut server) = self.server.take() {
            server.signal("QUIT")?;
            server.wait(WITHIN).await?;
        }
        Ok(())
    }

    pub(super) async fn start(&mut self) -> anyhow::Result<()> {
        if self.server.is_some() {
            bail!("the server runs already");
        }
        let output = File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join("postgres.log"))?;
        let (address, port) = (self.address.to_string(), self.port.to_string());
        let mut command = self.command("postgres");
        command
            .args(["-h", &address, "-p", &port, "-c", "max_connections=200"])
            // The machine does not crash in these tests, only processes do.
            .args(["-c", "fsync=off", "-c", "unix_socket_directories="])
            .arg("-D")
            .arg(self.data())
            .stdout(output.try_clone()?)
            .stderr(output);
        self.server = Some(Process::spawn(&mut command).context("postgres does not start")?);
        self.answers().await
    }

    async fn answers(&self) -> anyhow::Result<()> {
        let url = self.url(ACCOUNT);
        poll(WITHIN, || {
            let asked = self.command("pg_isready").args(["-q", "-d", &url]).status();
            let answers = asked.is_ok_and(|status| status.success());
            std::future::ready(if answers { Ok(()) } else { Err(()) })
        })
        .await
        .map_err(|()| {
            let log = std::fs::read_to_string(self.directory.path().join("postgres.log"));
            anyhow::anyhow!(
                "no answer in {WITHIN:?}; its log: {}",
                log.unwrap_or_default()
            )
        })
    }

    fn initialise(&self) -> anyhow::Result<()> {
        let made = self
            .command("initdb")
            .args([
                "--auth=trust",
                "--no-sync",
                "--encoding=UTF8",
                "--no-locale",
            ])
            .args(["--username", ACCOUNT, "--pgdata"])
            .arg(self.data())
            .stdin(Stdio::null())
            .output()
            .context("initdb does not start")?;
        if !made.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        }
        if !self.address.is_loopback() {
            let mut rules = File::options()
                .append(true)
                .open(self.data().join("pg_hba.conf"))?;
            writeln!(rules, "host all all samenet trust")?;
        }
        Ok(())
    }

    /// Takes a running server's data over, and notes to follow it.
    fn copy(&self, primary: &str) -> anyhow::Result<()> {
        let copied = self
            .command("pg_basebackup")
            .args(["--dbname", primary, "--write-recovery-conf", "--no-sync"])
            .args(["--checkpoint=fast", "--pgdata"])
            .arg(self.data())
            .stdin(Stdio::null())
            .output()
            .context("pg_basebackup does not start")?;
        if !copied.status.success() {
            let said = String::from_utf8_lossy(&copied.stderr);
            bail!("pg_basebackup failed: {said}");
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.directory.path());
        if let Some(account) = self.account {
            command.uid(account.user).gid(account.group);
        }
        command
    }
}

/// The account to change to; `None` unless the test is run by root.
fn account() -> anyhow::Result<Option<Account>> {
    if id(&["-u"])? != 0 {
        return Ok(None);
    }
    Ok(Some(Account {
        user: id(&["-u", ACCOUNT])?,
        group: id(&["-g", ACCOUNT])?,
    }))
}

fn id(arguments: &[&str]) -> anyhow::Result<u32> {
    let output = Command::new("id").args(arguments).output()?;
    let text = String::from_utf8(output.stdout)?;
    text.trim()
        .parse()
        .with_context(|| format!("`id {}` says {text:?}", arguments.join(" ")))
}
