//! Everything that is disturbed, in one place: Kafka, the database, the workers, and the network between them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Context;
use longshore_event::{Event, dead_letter_topic};
use longshore_kafka::{Admin, Connection, NewTopic};
use longshore_testkit::broker::TestBroker;
use longshore_testkit::postgres::Postgres;
use tokio::sync::Mutex;

use crate::arguments::{Arguments, Strategy};
use crate::fleet::{Fleet, Launcher};
use crate::message::{Done, GROUP, Work};
use crate::network::{Network, Side};

/// What runs. A server's lock is held for as long as it is disturbed.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) connection: Connection,
    pub(crate) admin: Admin,
    pub(crate) kafka: Mutex<TestBroker>,
    /// Where the workers keep their state; `None` if their strategy has none.
    pub(crate) database: Option<Database>,
    pub(crate) network: Option<Network>,
    pub(crate) fleet: Fleet,
}

#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) server: Mutex<Postgres>,
    pub(crate) url: String,
}

impl Site {
    pub(crate) async fn build(arguments: &Arguments, scratch: &Path) -> anyhow::Result<Self> {
        let network = arguments.inside.as_deref().map(Network::inside);
        let address = |side: Side| match &network {
            Some(_) => side.address(),
            None => Ipv4Addr::LOCALHOST,
        };
        let kind = arguments.broker.kind();
        let kafka = TestBroker::listening(kind, address(Side::Kafka))
            .await
            .with_context(|| format!("{kind} does not start"))?;
        let connection = kafka.connection();
        let admin = Admin::connect(&connection)?;
        admin.create_topics(&new_topics(arguments)).await?;
        let database = match arguments.strategy {
            Strategy::Store => Some(Database::start(address(Side::Database)).await?),
            Strategy::Transaction => None,
        };
        let launcher = Launcher {
            strategy: arguments.strategy,
            protocol: arguments.protocol,
            brokers: connection.brokers.clone(),
            store: database.as_ref().map(|database| database.url.clone()),
            network: network.clone(),
            scratch: scratch.to_owned(),
        };
        Ok(Self {
            fleet: Fleet::start(launcher, usize::from(arguments.workers))?,
            connection,
            admin,
            kafka: Mutex::new(kafka),
            database,
            network,
        })
    }
}

impl Database {
    async fn start(address: Ipv4Addr) -> anyhow::Result<Self> {
        let server = Postgres::listening(address).await?;
        let url = server.create_database(GROUP);
        Ok(Self {
            server: Mutex::new(server),
            url,
        })
    }

    /// The rows of a query, as columns of text. No column may hold a `|`.
    pub(crate) async fn rows(&self, query: &str) -> anyhow::Result<Vec<Vec<String>>> {
        let text = self.server.lock().await.run(&self.url, query)?;
        let rows = text.lines().map(|line| line.split('|').map(str::to_owned));
        Ok(rows.map(Iterator::collect).collect())
    }
}

/// What the workers read, and what they publish to.
pub(crate) fn topics() -> [String; 3] {
    let dead = dead_letter_topic(Work::TOPIC).to_string();
    [Work::TOPIC.into(), Done::TOPIC.into(), dead]
}

fn new_topics(arguments: &Arguments) -> Vec<NewTopic> {
    let topic = |name: String| NewTopic {
        name,
        partitions: arguments.partitions.into(),
        replication: 1,
        configs: BTreeMap::new(),
    };
    topics().map(topic).into()
}
