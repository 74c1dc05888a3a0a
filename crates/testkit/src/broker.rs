//! A broker to test on: an existing one, Docker, Apache Kafka on the machine's Java, or the embedded one.
//!
//! The choice is the environment's: `KAFKA_BROKERS` names brokers that are there already; otherwise
//! `LONGSHORE_TEST_BROKER` is `docker`, `apache` or `embedded`, which is the default. The choice is printed once.

mod apache;
mod docker;
mod embedded;
mod kind;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Once, OnceLock};
use std::time::Duration;

use anyhow::{Context, bail};
use longshore_kafka::{Admin, Connection, NewTopic};
use tokio::sync::{Mutex, MutexGuard};

use crate::wait::poll;
use apache::Apache;
use docker::Docker;
use embedded::Embedded;
pub use kind::BrokerKind;
pub use longshore_broker::faults;
use longshore_broker::faults::Faults;

/// A broker has this long to answer after it was started.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// A running broker. One that was started for it ends with it.
#[derive(Debug)]
pub struct TestBroker {
    kind: BrokerKind,
    bootstrap: String,
    running: Mutex<Running>,
    /// An external broker cannot be had twice, so its owner keeps everybody else out.
    _alone: Option<MutexGuard<'static, ()>>,
}

#[derive(Debug)]
enum Running {
    External,
    Docker(Box<Docker>),
    Apache(Apache),
    Embedded(Box<Embedded>),
}

/// Held by the one test that may use an external broker as its own.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Has Apache Kafka on the machine from now on: it is fetched by Maven, which needs a network that a later start may
/// not have.
///
/// # Errors
/// When Maven does not fetch it.
pub fn fetch_apache() -> anyhow::Result<()> {
    apache::jars().map(|_| ())
}

impl TestBroker {
    /// The broker that all tests of this process share. Keep apart by [`TestBroker::prefix`].
    ///
    /// # Panics
    /// If it does not start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<TestBroker> = OnceLock::new();
        SHARED.get_or_init(|| {
            // A runtime cannot wait inside a runtime, and the first caller may be in one.
            let starting = std::thread::spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                runtime.block_on(Self::start(BrokerKind::chosen()?))
            });
            match starting.join() {
                Ok(Ok(broker)) => broker,
                Ok(Err(error)) => panic!("no broker to test on: {error:?}"),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// A broker of the chosen kind for one test alone, without topics, which may be stopped and started.
    ///
    /// An external broker is emptied of `topics` instead, and can do neither.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn own(topics: &[&str]) -> Self {
        let started = async {
            let kind = BrokerKind::chosen()?;
            if kind != BrokerKind::External {
                return Self::start(kind).await;
            }
            let alone = ALONE.lock().await;
            let mut broker = Self::start(kind).await?;
            broker._alone = Some(alone);
            broker.delete_topics(topics).await?;
            anyhow::Ok(broker)
        };
        match started.await {
            Ok(broker) => broker,
            Err(error) => panic!("no broker to test on: {error:?}"),
        }
    }

    /// A broker of this kind that listens at `address`, which the machine must have, whatever the environment says.
    ///
    /// # Errors
    /// When it does not start there. An external broker and one in a container have their addresses already.
    pub async fn listening(kind: BrokerKind, address: Ipv4Addr) -> anyhow::Result<Self> {
        let (bootstrap, running) = match kind {
            BrokerKind::External | BrokerKind::Docker => {
                bail!("{kind}: its address is not ours to choose")
            }
            BrokerKind::Apache => {
                let apache = Apache::run(address).await?;
                (apache.bootstrap(), Running::Apache(apache))
            }
            BrokerKind::Embedded => {
                let embedded = Embedded::run(address).await?;
                (embedded.bootstrap(), Running::Embedded(Box::new(embedded)))
            }
        };
        Self::answering(kind, bootstrap, running).await
    }

    /// What it is.
    pub fn kind(&self) -> BrokerKind {
        self.kind
    }

    /// `host:port` to connect to.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// A connection without properties.
    pub fn connection(&self) -> Connection {
        Connection::new(&self.bootstrap)
    }

    /// The administrator's view of it.
    ///
    /// # Panics
    /// If the client cannot be made.
    pub fn admin(&self) -> Admin {
        match Admin::connect(&self.connection()) {
            Ok(admin) => admin,
            Err(error) => panic!("no admin client for {}: {error}", self.bootstrap),
        }
    }

    /// A name that no other test has, in this run or another: for topics and groups on a shared broker.
    pub fn prefix(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let run = uuid::Uuid::new_v4().simple().to_string();
        format!("t{}-{}", NEXT.fetch_add(1, Ordering::Relaxed), &run[..8])
    }

    /// Creates topics of one replica, by name and number of partitions.
    ///
    /// # Panics
    /// If one cannot be created.
    pub async fn create_topics(&self, topics: &[(&str, i32)]) {
        let topics: Vec<_> = topics
            .iter()
            .map(|(name, partitions)| NewTopic {
                name: (*name).to_owned(),
                partitions: *partitions,
                replication: 1,
                configs: BTreeMap::new(),
            })
            .collect();
        if let Err(error) = self.admin().create_topics(&topics).await {
            panic!("topics were not created on {}: {error:?}", self.bootstrap);
        }
    }

    /// Stops it in good order; its data stays.
    ///
    /// # Errors
    /// When it is external: others may use it.
    pub async fn stop(&self) -> anyhow::Result<()> {
        match &mut *self.running.lock().await {
            Running::External => bail!("an external broker cannot be stopped by a test"),
            Running::Docker(broker) => broker.stop().await,
            Running::Apache(broker) => broker.stop().await,
            Running::Embedded(broker) => broker.stop().await,
        }
    }

    /// Kills it with -9, so that it recovers from its log at the next start. The embedded one, which lives in this
    /// process, is stopped in good order.
    ///
    /// # Errors
    /// When it is external or in a container.
    pub async fn crash(&self) -> anyhow::Result<()> {
        match &mut *self.running.lock().await {
            Running::External | Running::Docker(_) => {
                bail!("{}: cannot be killed by a test", self.kind)
            }
            Running::Apache(broker) => broker.crash(),
            Running::Embedded(broker) => broker.stop().await,
        }
    }

    /// Starts it again at the same address, and returns when it answers.
    ///
    /// # Errors
    /// When it does not answer within a minute.
    pub async fn restart(&self) -> anyhow::Result<()> {
        match &mut *self.running.lock().await {
            Running::External => bail!("an external broker cannot be started by a test"),
            Running::Docker(broker) => broker.start().await?,
            Running::Apache(broker) => broker.start().await?,
            Running::Embedded(broker) => broker.start().await?,
        }
        self.answers().await
    }

    /// Makes an embedded broker misbehave. They are gone when it is stopped.
    ///
    /// # Errors
    /// When it is of another kind, or stopped.
    pub async fn faults(&self) -> anyhow::Result<Faults> {
        match &*self.running.lock().await {
            Running::Embedded(broker) => broker.faults(),
            _ => bail!(
                "{} has no faults to offer, only an embedded broker has",
                self.kind
            ),
        }
    }

    async fn start(kind: BrokerKind) -> anyhow::Result<Self> {
        let (bootstrap, running) = match kind {
            BrokerKind::External => (kind::external()?, Running::External),
            BrokerKind::Docker => {
                let docker = Docker::run().await?;
                (docker.bootstrap(), Running::Docker(Box::new(docker)))
            }
            BrokerKind::Apache | BrokerKind::Embedded => {
                return Self::listening(kind, Ipv4Addr::LOCALHOST).await;
            }
        };
        Self::answering(kind, bootstrap, running).await
    }

    async fn answering(
        kind: BrokerKind,
        bootstrap: String,
        running: Running,
    ) -> anyhow::Result<Self> {
        let broker = Self {
            kind,
            bootstrap,
            running: Mutex::new(running),
            _alone: None,
        };
        broker.answers().await?;
        broker.announce();
        Ok(broker)
    }

    async fn answers(&self) -> anyhow::Result<()> {
        let admin = Admin::connect(&self.connection())?;
        poll(STARTS_WITHIN, || admin.topics())
            .await
            .with_context(|| format!("{} at {} does not answer", self.kind, self.bootstrap))?;
        Ok(())
    }

    async fn delete_topics(&self, topics: &[&str]) -> anyhow::Result<()> {
        let admin = self.admin();
        let there = admin.topics().await?;
        let names: Vec<&str> = there
            .iter()
            .map(|topic| topic.name.as_str())
            .filter(|name| topics.contains(name))
            .collect();
        if !names.is_empty() {
            admin.delete_topics(&names).await?;
        }
        Ok(())
    }

    /// Tells once which broker the tests run on, past the capture of passing tests' output.
    fn announce(&self) {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let line = format!("broker: {} at {}\n", self.kind, self.bootstrap);
            if std::io::stderr().write_all(line.as_bytes()).is_err() {
                // Nobody listens.
            }
        });
    }
}
