//! PostgreSQL for tests: `LONGSHORE_TEST_POSTGRES`, or a private cluster of the server that is installed here.

use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::OnceCell;

const URL: &str = "LONGSHORE_TEST_POSTGRES";
const REQUIRED: &str = "LONGSHORE_REQUIRE_POSTGRES";
const START_LIMIT: Duration = Duration::from_secs(60);

/// Runs the server until stdin is closed, which the system does however this process ends; then removes the
/// directory in `$0`, if there is one. Shutdown is `fast`: it does not wait for clients.
const GUARD: &str = r#""$@" & server=$!; cat >/dev/null; kill -INT $server; wait $server; [ -z "$0" ] || rm -rf "$0""#;

/// The PostgreSQL that all tests of this run share, each in its own schema.
pub(crate) async fn shared_url() -> Option<&'static str> {
    static SHARED: OnceCell<Option<(String, Option<Cluster>)>> = OnceCell::const_new();
    let shared = SHARED.get_or_init(find).await;
    shared.as_ref().map(|(url, _)| url.as_str())
}

/// Whether the tests can start a cluster of their own; says so if not.
pub(crate) fn can_start() -> bool {
    let found = programs().is_some();
    if !found {
        not_run("no initdb in /usr/lib/postgresql/*/bin to start a server with");
    }
    found
}

async fn find() -> Option<(String, Option<Cluster>)> {
    if let Ok(url) = std::env::var(URL) {
        say(&format!("PostgreSQL: the tests run on the server in {URL}"));
        return Some((url, None));
    }
    if !can_start() {
        return None;
    }
    let cluster = Cluster::create(Lifetime::Process).await;
    say(&format!(
        "PostgreSQL: the tests run on {}",
        cluster.programs.display()
    ));
    Some((cluster.url(), Some(cluster)))
}

fn not_run(why: &str) {
    assert!(
        std::env::var(REQUIRED).as_deref() != Ok("1"),
        "{REQUIRED}=1, but not all of PostgreSQL can be tested: {why}"
    );
    say(&format!(
        "PostgreSQL: NOT TESTED, {why}; install PostgreSQL, or set {URL}=postgres://... for most of it"
    ));
}

/// Past the test harness, which would swallow it.
fn say(text: &str) {
    writeln!(io::stderr(), "{text}").expect("stderr");
}

/// Who removes the directory of a cluster.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// The guard, when this process ends: statics are never dropped.
    Process,
    /// `Drop`.
    Value,
}

/// A server of our own on a free loopback port.
pub(crate) struct Cluster {
    programs: PathBuf,
    directory: TempDir,
    port: u16,
    lifetime: Lifetime,
    guard: Option<Child>,
}

impl Cluster {
    /// Makes a cluster and starts its server.
    pub(crate) async fn create(lifetime: Lifetime) -> Self {
        let programs = programs().expect("PostgreSQL is installed");
        let directory = tempfile::tempdir().expect("a temporary directory");
        if is_root() {
            // initdb and postgres refuse to run as root.
            let owner = |flag| number_of("id", &[flag, "postgres"]);
            chown(directory.path(), Some(owner("-u")), Some(owner("-g"))).expect("chown");
        }
        let mut cluster = Self {
            port: free_port(),
            programs,
            directory,
            lifetime,
            guard: None,
        };
        cluster.initialise();
        cluster.start().await;
        cluster
    }

    pub(crate) fn url(&self) -> String {
        format!(
            "postgres://longshore:longshore@127.0.0.1:{}/postgres",
            self.port
        )
    }

    /// Starts the server and waits until it answers.
    pub(crate) async fn start(&mut self) {
        let remove = match self.lifetime {
            Lifetime::Process => self.directory.path(),
            Lifetime::Value => Path::new(""),
        };
        let log = fs::File::create(self.directory.path().join("log")).expect("a log");
        let mut command = as_server_user(Path::new("sh"));
        command.args(["-c", GUARD]).arg(remove);
        command.arg(self.programs.join("postgres"));
        command.arg("-D").arg(self.data());
        command.args(["-p", &self.port.to_string()]);
        command.args([
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
        ]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log);
        self.guard = Some(command.spawn().expect("the server starts"));
        let deadline = Instant::now() + START_LIMIT;
        while !self.answers() {
            assert!(
                Instant::now() < deadline,
                "PostgreSQL does not start: {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops the server and waits until it is gone.
    pub(crate) fn stop(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            guard.wait().expect("the server ends");
        }
    }

    fn initialise(&self) {
        let password = self.directory.path().join("password");
        fs::write(&password, "longshore\n").expect("written");
        let output = as_server_user(&self.programs.join("initdb"))
            .arg("-D")
            .arg(self.data())
            .args([
                "-U",
                "longshore",
                "-A",
                "scram-sha-256",
                "-E",
                "UTF8",
                "--locale=C",
            ])
            .arg("--pwfile")
            .arg(&password)
            .output()
            .expect("initdb runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn answers(&self) -> bool {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
            && Command::new(self.programs.join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
                .status()
                .is_ok_and(|status| status.success())
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The newest installed server's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|programs| programs.join("initdb").exists())
        .max()
}

fn as_server_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    // The directory we are in may be closed to that user.
    command.current_dir("/");
    command
}

fn is_root() -> bool {
    number_of("id", &["-u"]) == 0
}

fn number_of(program: &str, arguments: &[&str]) -> u32 {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim()
        .parse()
        .expect("a number; is there a user `postgres`?")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("bound").port()
}
