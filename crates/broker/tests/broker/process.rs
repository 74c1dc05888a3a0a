//! A broker in a process of its own, which can be killed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use longshore_broker::{Broker, BrokerConfig};
use tempfile::TempDir;

const DATA: &str = "LONGSHORE_TEST_BROKER_DATA";
const LISTEN: &str = "LONGSHORE_TEST_BROKER_LISTEN";
const LISTENING: &str = "listening on ";

/// A running broker process and its data directory. It ends with its owner.
pub(crate) struct BrokerProcess {
    child: Child,
    pub(crate) address: SocketAddr,
    data: TempDir,
}

impl BrokerProcess {
    pub(crate) fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let (child, address) = spawn(&data, SocketAddr::from(([127, 0, 0, 1], 0)));
        Self {
            child,
            address,
            data,
        }
    }

    /// Kills the process with -9, and starts one on the same port and data.
    pub(crate) fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        (self.child, self.address) = spawn(&self.data, self.address);
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs this test binary again, for nothing but the test below.
fn spawn(data: &TempDir, listen: SocketAddr) -> (Child, SocketAddr) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("process::serves_until_it_is_killed")
        .env(DATA, data.path())
        .env(LISTEN, listen.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.find_map(|line| {
        let line = line.unwrap();
        let address = line.split_once(LISTENING)?.1;
        Some(address.parse().unwrap())
    });
    (child, address.expect("the broker starts"))
}

#[tokio::test]
#[ignore = "not a test: other tests run it as a process, to kill it"]
async fn serves_until_it_is_killed() {
    let (Ok(data), Ok(listen)) = (std::env::var(DATA), std::env::var(LISTEN)) else {
        return;
    };
    let mut config = BrokerConfig::new(data);
    config.listen = listen.parse().unwrap();
    let broker = Broker::start(config).await.unwrap();
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{LISTENING}{}", broker.address()).unwrap();
    // Ends when the owner does, however that ends.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
