//! The embedded broker, in this process, with its data in a temporary directory.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use longshore_broker::faults::Faults;
use longshore_broker::{Broker, BrokerConfig};
use tempfile::TempDir;

use crate::process::Leash;
use crate::wait::free_port;

/// An embedded broker that can be stopped and started at one address.
#[derive(Debug)]
pub(super) struct Embedded {
    bootstrap: String,
    config: BrokerConfig,
    broker: Option<Broker>,
    _data: TempDir,
    _leash: Leash,
}

impl Embedded {
    pub(super) async fn run(address: Ipv4Addr) -> anyhow::Result<Self> {
        let data = tempfile::Builder::new().prefix("longshore-").tempdir()?;
        let leash = Leash::new(&format!("rm -rf '{}'", data.path().display()))?;
        let mut config = BrokerConfig::new(data.path());
        config.listen = SocketAddr::from((address, free_port()?));
        config.allow_remote = !address.is_loopback();
        // Tests wait for retention and compaction.
        config.upkeep_interval = Duration::from_millis(500);
        let broker = Broker::start(config.clone()).await?;
        let bootstrap = broker.bootstrap();
        Ok(Self {
            bootstrap,
            config,
            broker: Some(broker),
            _data: data,
            _leash: leash,
        })
    }

    pub(super) fn bootstrap(&self) -> String {
        self.bootstrap.clone()
    }

    /// # Errors
    /// When the broker is stopped.
    pub(super) fn faults(&self) -> anyhow::Result<Faults> {
        let running = self.broker.as_ref();
        running.map(Broker::faults).context("the broker is stopped")
    }

    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(broker) = self.broker.take() {
            broker.shutdown().await;
        }
        Ok(())
    }

    pub(super) async fn start(&mut self) -> anyhow::Result<()> {
        if self.broker.is_some() {
            bail!("the broker runs already");
        }
        self.broker = Some(Broker::start(self.config.clone()).await?);
        Ok(())
    }
}
