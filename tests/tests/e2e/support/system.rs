//! An order system for one test: a broker of its own with the repository's topics, a store for each worker.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use futures_util::future::try_join_all;
use longshore_kafka::NewTopic;
use longshore_testkit::broker::TestBroker;
use longshore_testkit::history::Summary;
use longshore_testkit::postgres::Postgres;
use longshore_testkit::wait::eventually;
use longshore_topics::{TopicSpec, desired_topics};
use tempfile::TempDir;

use super::client::{self, Sent};
use super::ledger;
use super::observer::Observer;
use super::order::{CANCELLED, CREATED, CREATED_DLQ, DELIVERED, Order, PAID, SHIPPED, STAGES};
use super::worker::{KINDS, Kind, Launch, Worker};

/// All orders of a test have this long to reach their end.
pub(crate) const FLOW: Duration = Duration::from_secs(90);

/// Everything that an observer of the system watches.
const WATCHED: [&str; 6] = [CREATED, PAID, SHIPPED, DELIVERED, CANCELLED, CREATED_DLQ];

pub(crate) struct System {
    pub(crate) broker: TestBroker,
    directory: TempDir,
}

impl System {
    /// A broker with all topics of `topics/`, and no workers yet.
    pub(crate) async fn start() -> Self {
        Self::without(&[]).await
    }

    /// The same beside a PostgreSQL, with the URL of a database for the workers. `None` if there is no PostgreSQL here, which
    /// is said on stderr.
    pub(crate) async fn beside_postgres() -> Option<(Postgres, Self, String)> {
        let postgres = Postgres::start().await?;
        let system = Self::start().await;
        let database = postgres.create_database(&system.broker.prefix());
        Some((postgres, system, database))
    }

    /// The same, but these topics are not there.
    pub(crate) async fn without(missing: &[&str]) -> Self {
        let topics = declared_topics();
        let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
        let broker = TestBroker::own(&names).await;
        let created: Vec<_> = topics
            .iter()
            .filter(|topic| !missing.contains(&topic.name.as_str()))
            .cloned()
            .collect();
        let admin = broker.admin();
        admin.create_topics(&created).await.expect("created");
        Self {
            broker,
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    /// Creates a topic that [`System::without`] left out.
    pub(crate) async fn create(&self, name: &str) {
        let topics = declared_topics();
        let topic = topics.into_iter().find(|topic| topic.name == name);
        let topic = [topic.expect("declared")];
        let admin = self.broker.admin();
        admin.create_topics(&topic).await.expect("created");
    }

    /// How to start a worker with the SQLite store of its kind.
    pub(crate) fn launch(&self, kind: Kind) -> Launch {
        Launch {
            kind,
            brokers: self.broker.bootstrap().to_owned(),
            store: self.store(kind),
            instance: None,
            flags: Vec::new(),
            variables: Vec::new(),
            output: self.directory.path().join(format!("{}.log", kind.name())),
        }
    }

    /// Starts one worker of each kind.
    pub(crate) fn start_workers(&self) -> Vec<Worker> {
        KINDS
            .iter()
            .map(|kind| self.launch(*kind).start())
            .collect()
    }

    /// The SQLite store of a worker.
    pub(crate) fn store(&self, kind: Kind) -> String {
        let file = self.directory.path().join(format!("{}.db", kind.name()));
        format!("sqlite:{}", file.display())
    }

    /// The SQLite store of the sandbox services, if they are started.
    pub(crate) fn sandbox_store(&self) -> String {
        let file = self.directory.path().join("sandbox.db");
        format!("sqlite:{}", file.display())
    }

    /// An observer of all topics.
    pub(crate) async fn observer(&self) -> Observer {
        Observer::new(&self.broker, &WATCHED).await
    }

    /// Sends records to `order.created` at once, and returns when all are acknowledged.
    pub(crate) async fn send(&self, records: &[Sent]) {
        let producer = client::producer(self.broker.bootstrap(), &[]);
        let sending = records.iter();
        let sending = sending.map(|record| client::send(&producer, CREATED, record));
        try_join_all(sending).await.expect("all sent");
    }

    /// Sends the `order.created` of each order, `per_second` of them each second.
    pub(crate) async fn send_slowly(&self, orders: &[Order], per_second: u32) {
        let properties = [("message.timeout.ms", "120000")];
        let producer = client::producer(self.broker.bootstrap(), &properties);
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
        let sent: Vec<_> = orders.iter().map(Order::created).collect();
        let mut sending = Vec::with_capacity(sent.len());
        for record in &sent {
            ticks.tick().await;
            // Spawned, so that it is on its way while the next one waits for its turn.
            let (producer, record) = (producer.clone(), record.clone());
            sending.push(tokio::spawn(async move {
                client::send(&producer, CREATED, &record).await
            }));
        }
        for sent in sending {
            sent.await.expect("no panic").expect("sent");
        }
    }

    /// Waits until a group has committed all of its topic.
    pub(crate) async fn read_to_the_end(&self, kind: Kind) {
        let admin = self.broker.admin();
        let topic = STAGES.iter().find(|stage| stage.group == kind.name());
        let topic = topic.expect("a stage").reads;
        eventually("a group without lag", FLOW, async || {
            let bounds = admin
                .offsets(topic)
                .await
                .map_err(|error| error.to_string())?;
            let group = admin.describe_group(kind.name()).await;
            let group = group.map_err(|error| error.to_string())?;
            let behind = bounds.iter().find(|bounds| {
                let found = group.partitions.iter();
                let mut found = found.filter(|lag| lag.partition == bounds.partition);
                let committed = found.next().and_then(|lag| lag.committed);
                bounds.end.0 > committed.map_or(0, |committed| committed.0)
            });
            behind.map_or(Ok(()), |behind| Err(format!("{behind:?}")))
        })
        .await;
    }
}

/// Waits until all orders are delivered, then holds the whole history to its promises, and the books of the stores
/// (of `order-created` and `order-paid`) to one charge of the right amount and one booking an order.
pub(crate) async fn all_delivered_once(
    observer: &mut Observer,
    orders: &[Order],
    [charges, bookings]: [&str; 2],
) -> Summary {
    let expected: BTreeSet<_> = orders.iter().map(|order| order.id.clone()).collect();
    observer
        .until("all orders delivered", FLOW, |observer| {
            let delivered = observer.keys(DELIVERED);
            let missing: Vec<_> = expected.difference(&delivered).take(5).collect();
            if missing.is_empty() {
                return Ok(());
            }
            Err(format!(
                "{} of {}, not {missing:?}",
                delivered.len(),
                expected.len()
            ))
        })
        .await;
    observer.catch_up(FLOW).await;
    assert_eq!(observer.keys(DELIVERED), expected);
    let summary = observer.history().check(&STAGES).expect("in order");
    assert_eq!(summary.dead_letters, 0);
    let mut amounts: Vec<_> = orders
        .iter()
        .map(|order| (order.id.clone(), order.cents))
        .collect();
    amounts.sort();
    assert_eq!(
        ledger::once(charges, Kind::Created, "charged").await,
        amounts
    );
    assert_eq!(
        ledger::once(bookings, Kind::Paid, "booked").await.len(),
        orders.len()
    );
    summary
}

/// The topics that `topics/` declares, with one replica.
fn declared_topics() -> Vec<NewTopic> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../topics");
    let specs = TopicSpec::load_dir(directory).expect("valid topics");
    desired_topics(&specs)
        .into_iter()
        .map(|topic| NewTopic {
            name: topic.name,
            partitions: topic.partitions,
            replication: 1,
            configs: topic.configs,
        })
        .collect()
}
