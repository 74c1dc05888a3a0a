//! What a broker is started with.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Settings of a [`Broker`](crate::Broker).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BrokerConfig {
    /// Where clients connect. Port 0 lets the operating system choose.
    pub listen: SocketAddr,
    /// The directory that holds logs, topics and groups; created if missing, used by one broker at a time.
    pub data: PathBuf,
    /// Whether `listen` may be an address that other machines can reach. There is no authentication.
    pub allow_remote: bool,
    /// How long the first rebalance of an empty group waits for more members, so that workers which
    /// start together share one rebalance.
    pub initial_rebalance_delay: Duration,
    /// Size in bytes past which the journal of committed offsets is rewritten while running.
    pub journal_bytes: u64,
    /// How often retention and compaction look for something to do.
    pub upkeep_interval: Duration,
}

impl BrokerConfig {
    /// A broker on a free loopback port that keeps its data in `data`.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            data: data.into(),
            allow_remote: false,
            initial_rebalance_delay: Duration::from_millis(50),
            journal_bytes: 8 * 1024 * 1024,
            upkeep_interval: Duration::from_secs(15),
        }
    }
}
