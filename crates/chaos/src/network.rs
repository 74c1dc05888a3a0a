//! The network that is cut: Kafka and the database in one namespace, every worker in one of its own, with a link to
//! each of the two that can be taken down.
//!
//! Nothing of it touches the machine's own network: the namespaces are only connected among themselves, so their
//! addresses need not be free anywhere. The program makes them, and then runs itself inside the first.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use longshore::stop_signal;
use longshore_testkit::process::{Leash, Process};
use serde::Serialize;

use crate::arguments::Arguments;

/// The run inside ends by itself; this is only longer than anybody waits.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Time to clean up after a signal.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// What a worker is cut off from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    Kafka,
    Database,
}

impl Side {
    pub(crate) const ALL: [Self; 2] = [Self::Kafka, Self::Database];

    /// The name of its bridge, and of the workers' links to it.
    fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Database => "database",
        }
    }

    /// Where it listens. Each side has a network of its own, so that one can be cut without the other.
    pub(crate) fn address(self) -> Ipv4Addr {
        self.host(1)
    }

    fn host(self, host: u8) -> Ipv4Addr {
        match self {
            Self::Kafka => Ipv4Addr::new(10, 77, 1, host),
            Self::Database => Ipv4Addr::new(10, 77, 2, host),
        }
    }
}

/// The namespaces of one run, as they are seen from inside the first.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    name: String,
}

impl Network {
    pub(crate) fn inside(name: &str) -> Self {
        Self {
            name: name.to_owned(),
        }
    }

    /// A command that runs `program` where the worker lives. It becomes that program, under the same process id.
    pub(crate) fn command(&self, worker: usize, program: &std::path::Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.of_worker(worker)]);
        command.arg(program);
        command
    }

    /// Takes a worker's link down at the far end: what it sends vanishes, and nobody tells it.
    pub(crate) fn cut(&self, worker: usize, side: Side) -> anyhow::Result<()> {
        ip(&["link", "set", &port(worker, side), "down"])
    }

    pub(crate) fn heal(&self, worker: usize, side: Side) -> anyhow::Result<()> {
        ip(&["link", "set", &port(worker, side), "up"])
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    fn of_worker(&self, worker: usize) -> String {
        format!("{}-w{worker}", self.name)
    }

    fn namespaces(&self, workers: usize) -> Vec<String> {
        let of_workers = (0..workers).map(|worker| self.of_worker(worker));
        std::iter::once(self.hub()).chain(of_workers).collect()
    }

    fn build(&self, workers: usize) -> anyhow::Result<()> {
        let hub = &self.hub();
        for namespace in self.namespaces(workers) {
            ip(&["netns", "add", &namespace])?;
            ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
        }
        for side in Side::ALL {
            let bridge = side.name();
            let address = format!("{}/24", side.address());
            ip(&["-n", hub, "link", "add", bridge, "type", "bridge"])?;
            ip(&["-n", hub, "addr", "add", &address, "dev", bridge])?;
            ip(&["-n", hub, "link", "set", bridge, "up"])?;
            for worker in 0..workers {
                self.connect(worker, side)?;
            }
        }
        Ok(())
    }

    fn connect(&self, worker: usize, side: Side) -> anyhow::Result<()> {
        /// The hosts of a side's network: the first is the side itself.
        const FIRST_WORKER: usize = 10;
        let (hub, own) = (&self.hub(), &self.of_worker(worker));
        let (port, link) = (&port(worker, side), side.name());
        let host = u8::try_from(FIRST_WORKER + worker).context("too many workers for a network")?;
        let address = format!("{}/24", side.host(host));
        ip(&[
            "-n", hub, "link", "add", port, "type", "veth", "peer", "name", link, "netns", own,
        ])?;
        ip(&["-n", hub, "link", "set", port, "master", link, "up"])?;
        ip(&["-n", own, "addr", "add", &address, "dev", link])?;
        ip(&["-n", own, "link", "set", link, "up"])
    }
}

/// The hub's end of a worker's link.
fn port(worker: usize, side: Side) -> String {
    format!("w{worker}{}", side.name())
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("`ip` does not start; it comes with iproute2")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("ip {}: {}", arguments.join(" "), said.trim());
    }
    Ok(())
}

/// Makes the namespaces, runs this program inside them with the same arguments, and takes them away again, however it
/// ends. Returns whether it succeeded.
pub(crate) fn enter(arguments: &Arguments) -> anyhow::Result<bool> {
    const WITHOUT: &str =
        "to cut the network needs root and iproute2; --no-network leaves that out";
    // Inside there is no way to a repository.
    if arguments.broker == crate::arguments::Broker::Apache {
        longshore_testkit::broker::fetch_apache()?;
    }
    let workers = usize::from(arguments.workers);
    let network = Network::inside(&format!("chaos{}", std::process::id()));
    let names = network.namespaces(workers);
    let removal: Vec<_> = names
        .iter()
        .map(|name| format!("ip netns del {name}"))
        .collect();
    let mut leash = Leash::new(&format!("sleep 1; {}", removal.join("; ")))?;
    let ended = network
        .build(workers)
        .context(WITHOUT)
        .and_then(|()| run_inside(&network));
    let mut left = Vec::new();
    for name in names {
        if let Err(error) = ip(&["netns", "del", &name]) {
            left.push(error);
        }
    }
    leash.release();
    match (ended, left.pop()) {
        (Ok(_), Some(error)) => Err(error),
        (ended, _) => ended,
    }
}

fn run_inside(network: &Network) -> anyhow::Result<bool> {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", &network.hub()])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .args(["--inside", &network.name]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let stop = stop_signal()?;
        // A process group of its own: a Ctrl-C comes here, and is passed on.
        let mut inside = Process::spawn(&mut command)?;
        let ended = tokio::select! {
            ended = inside.wait(FOREVER) => Some(ended?),
            () = stop => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                inside.signal("TERM")?;
                inside.wait(ENDS_WITHIN).await?
            }
        };
        Ok(ended.success())
    })
}
