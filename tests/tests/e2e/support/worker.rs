//! The worker binaries as child processes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::Duration;

use longshore_testkit::process::Process;
use longshore_testkit::wait::{eventually, free_port};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A worker has this long to be ready, or to stop.
const WITHIN: Duration = Duration::from_secs(40);

/// Bytes of a worker's output that a failed test shows.
const SHOWN: usize = 4000;

/// Which worker. Its group has the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Created,
    Paid,
    Shipped,
    Expiry,
    Analytics,
    Notifications,
    Jobs,
}

/// The workers that take orders to their end.
pub(crate) const KINDS: [Kind; 3] = [Kind::Created, Kind::Paid, Kind::Shipped];

/// All that are built.
const BUILT: [Kind; 7] = [
    Kind::Created,
    Kind::Paid,
    Kind::Shipped,
    Kind::Expiry,
    Kind::Analytics,
    Kind::Notifications,
    Kind::Jobs,
];

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Created => "order-created",
            Self::Paid => "order-paid",
            Self::Shipped => "order-shipped",
            Self::Expiry => "order-expiry",
            Self::Analytics => "analytics",
            Self::Notifications => "notifications",
            Self::Jobs => "jobs",
        }
    }
}

/// How to start a worker, as often as needed.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) kind: Kind,
    pub(crate) brokers: String,
    pub(crate) store: String,
    /// The `group.instance.id`, if it has one: a worker that was killed then has its partitions back as soon as it is
    /// started again, and a test need not wait for its session to time out.
    pub(crate) instance: Option<String>,
    /// More flags.
    pub(crate) flags: Vec<&'static str>,
    /// Environment variables.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// Where its output goes.
    pub(crate) output: PathBuf,
}

/// A running worker. Dropping it kills it.
pub(crate) struct Worker {
    pub(crate) kind: Kind,
    pub(crate) launch: Launch,
    process: Process,
    admin: String,
}

impl Launch {
    /// The same, as one of several instances: a static member of its group with output of its own.
    pub(crate) fn instance(mut self, number: usize) -> Self {
        self.instance = Some(format!("{}-{number}", self.kind.name()));
        self.output.set_extension(format!("{number}.log"));
        self
    }

    /// The same, with these flags as well.
    pub(crate) fn flags(mut self, flags: &[&'static str]) -> Self {
        self.flags.extend(flags);
        self
    }

    /// Where it writes what is no state: mails and reports.
    pub(crate) fn files(&self) -> PathBuf {
        self.output.with_extension("files")
    }

    /// Starts it; it may not be ready yet.
    pub(crate) fn start(&self) -> Worker {
        let admin = format!("127.0.0.1:{}", free_port().expect("a free port"));
        let output = File::options().create(true).append(true).open(&self.output);
        let output = output.expect("an output file");
        let mut command = Command::new(binaries().join(self.kind.name()));
        for (name, _) in std::env::vars_os() {
            // The flags below are the whole truth: what the tests are run with is not for the workers.
            if let Some(name) = name.to_str()
                && (name.starts_with("LONGSHORE_")
                    || name.ends_with("_SERVICE_URL")
                    || name == "KAFKA_BROKERS")
            {
                command.env_remove(name);
            }
        }
        command
            .args(["--brokers", &self.brokers, "--group", self.kind.name()])
            .args(["--store", &self.store, "--admin-listen", &admin])
            .args(["--kafka", "session.timeout.ms=6000"])
            .args(&self.flags)
            .envs(self.variables.iter().cloned())
            .env("MAIL_DIR", self.files().join("mails"))
            .env("REPORT_DIR", self.files().join("reports"))
            .env_remove("SMTP_URL")
            .stdout(output.try_clone().expect("an output file"))
            .stderr(output);
        if let Some(instance) = &self.instance {
            command.args(["--kafka", &format!("group.instance.id={instance}")]);
        }
        Worker {
            kind: self.kind,
            launch: self.clone(),
            process: Process::spawn(&mut command).expect("the worker starts"),
            admin,
        }
    }
}

impl Worker {
    /// Waits until it says that it is ready.
    pub(crate) async fn ready(&self) {
        let what = format!("{} ready", self.kind.name());
        eventually(&what, WITHIN, async || match self.get("/readyz").await {
            Ok((200, _)) => Ok(()),
            other => Err(other),
        })
        .await;
    }

    /// Asks its admin endpoint: status and body.
    pub(crate) async fn get(&self, path: &str) -> std::io::Result<(u16, String)> {
        self.ask("GET", path).await
    }

    /// The same with another method, without a body.
    pub(crate) async fn ask(&self, method: &str, path: &str) -> std::io::Result<(u16, String)> {
        let mut stream = TcpStream::connect(&self.admin).await?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: worker\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other(format!("no HTTP: {head}")))?;
        Ok((status, body.to_owned()))
    }

    /// Kills it with -9; [`Worker::launch`] starts it again.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("killed");
    }

    /// Puts it to sleep in the middle of whatever it does, sessions and all, until [`Worker::wake`].
    pub(crate) fn freeze(&self) {
        self.process.signal("STOP").expect("signalled");
    }

    pub(crate) fn wake(&self) {
        self.process.signal("CONT").expect("signalled");
    }

    /// What it says of itself, or what it answers instead.
    pub(crate) async fn status(&self) -> Result<serde_json::Value, String> {
        let answer = self.get("/status").await;
        let (status, body) = answer.map_err(|error| error.to_string())?;
        serde_json::from_str(&body).map_err(|_| format!("{status}: {body}"))
    }

    /// How many partitions it says are its own.
    pub(crate) async fn partitions(&self) -> usize {
        let page = eventually("a status", WITHIN, async || self.status().await).await;
        page["partitions"].as_array().map_or(0, Vec::len)
    }

    /// Waits until all these partitions are its own.
    pub(crate) async fn owns(&self, partitions: usize) {
        let what = format!("{} owns {partitions} partitions", self.kind.name());
        eventually(&what, WITHIN, async || match self.partitions().await {
            found if found == partitions => Ok(()),
            other => Err(other),
        })
        .await;
    }

    /// Asks it to stop, and waits until it has: how it ended.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        self.process.signal("TERM").expect("signalled");
        self.process.wait(WITHIN).await.expect("it ends in time")
    }

    /// Waits until it ends by itself: how, and what it said.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let status = self.process.wait(WITHIN).await.expect("it ends in time");
        let said = std::fs::read_to_string(&self.launch.output).expect("its output");
        (status, said)
    }
}

impl Drop for Worker {
    #[expect(
        clippy::print_stderr,
        reason = "captured, and shown with the failed test"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = std::fs::read(&self.launch.output).unwrap_or_default();
            let tail = &said[said.len().saturating_sub(SHOWN)..];
            eprintln!(
                "--- {} ({}) said last:\n{}",
                self.kind.name(),
                self.launch.output.display(),
                String::from_utf8_lossy(tail)
            );
        }
    }
}

/// The directory of the binaries, which are brought up to date first: they are other packages' targets, so that
/// building the tests does not build them.
fn binaries() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let test = std::env::current_exe().expect("the test's own path");
        let directory = test.ancestors().nth(2).expect("PROFILE/deps/TEST");
        let target = directory.parent().expect("TARGET/PROFILE");
        let profile = match directory.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(profile) => profile,
        };
        let mut cargo = Command::new(env!("CARGO"));
        for (name, _) in std::env::vars_os() {
            // What Cargo tells a test of its package is news to the build script of `ring`: it and all that depend on
            // it would be built again, here and by the next build outside.
            let of_package = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_PRIMARY_PACKAGE"];
            if let Some(name) = name.to_str()
                && of_package.iter().any(|prefix| name.starts_with(prefix))
            {
                cargo.env_remove(name);
            }
        }
        let built = cargo
            .args(["build", "--quiet", "--profile", profile])
            // With a test among the targets, as it was when this one was built: features, and so what others are made of,
            // are the same. Half of the dependencies would be built again otherwise, while tests are waiting for it.
            .args(["--workspace", "--test", "e2e"])
            .args(BUILT.iter().flat_map(|kind| ["--bin", kind.name()]))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("CARGO_TARGET_DIR", target)
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "the workers do not build"
        );
        directory.to_owned()
    })
}
