//! A worker from its description to its end, on the embedded broker: what it says of itself, and why it does not start.

use std::net::SocketAddr;
use std::time::Duration;

use longshore::axum::{self, Router};
use longshore::prelude::*;
use longshore::{ConnectedWorker, Published, RunError, WorkerArgs};
use longshore_broker::{Broker, BrokerConfig};
use longshore_event::{Identity, encode_new};
use longshore_kafka::{Admin, Connection, From, KafkaPublisher, NewTopic, Reader, ReaderEvent};
use longshore_store::StoreUrl;
use longshore_worker::{Publisher, SourceError};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

/// Far more than anything here takes; a test that needs it has failed.
const DEADLINE: Duration = Duration::from_secs(30);
/// Between two looks at something that has no event.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

#[derive(Serialize, Deserialize)]
struct Ping {
    name: String,
}

impl Event for Ping {
    const TYPE: &'static str = "ping";

    fn key(&self) -> &str {
        &self.name
    }
}

#[derive(Serialize, Deserialize)]
struct Pong {
    name: String,
}

impl Event for Pong {
    const TYPE: &'static str = "pong";

    fn key(&self) -> &str {
        &self.name
    }
}

struct Answer;

impl Handler for Answer {
    type Payload = Ping;
    const NAME: &'static str = "answer";

    async fn handle(
        &self,
        message: &Envelope<Ping>,
        context: &mut Context<'_, Ping>,
    ) -> Result<(), Failure> {
        let name = message.event().name.clone();
        context.write(sql("insert into answered (name) values ($1)").bind(&name));
        context.publish(&Pong { name })
    }
}

const TABLES: &[Migration] = &[Migration {
    module: "answer",
    version: 1,
    name: "answered",
    sql: "create table answered (name text not null primary key)",
}];

fn worker() -> WorkerBuilder<Answer> {
    WorkerBuilder::new("answer", |_store| Answer)
        .reads(Ping::TOPIC)
        .publishes(Pong::TOPIC)
        .migrations(TABLES)
}

/// A broker and a place for a store.
struct Place {
    dir: tempfile::TempDir,
    broker: Broker,
}

impl Place {
    async fn with_topics(topics: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let config = BrokerConfig::new(dir.path().join("broker"));
        let broker = Broker::start(config).await.expect("broker");
        let place = Self { dir, broker };
        let topics: Vec<NewTopic> = topics.iter().map(|name| new_topic(name)).collect();
        if !topics.is_empty() {
            let admin = Admin::connect(&place.connection()).expect("admin");
            admin.create_topics(&topics).await.expect("topics");
        }
        place
    }

    fn connection(&self) -> Connection {
        Connection::new(self.broker.bootstrap())
    }

    fn args(&self) -> WorkerArgs {
        let mut args = WorkerArgs::new(self.broker.bootstrap());
        args.store = Some(StoreUrl::sqlite(self.dir.path().join("answer.db")));
        args.admin_listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        args
    }
}

fn new_topic(name: &str) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partitions: 2,
        replication: 1,
        configs: Default::default(),
    }
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answer");
    let status = answer.get(9..12).and_then(|code| code.parse().ok());
    let body = answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned());
    (status.expect("status"), body.expect("body"))
}

async fn next(reader: &mut Reader) -> longshore_event::Record {
    let answered = async {
        loop {
            if let ReaderEvent::Record(record) = reader.next().await.expect("read") {
                return record;
            }
        }
    };
    timeout(DEADLINE, answered).await.expect("a record")
}

async fn until(address: SocketAddr, path: &str, holds: impl Fn(u16, &str) -> bool) {
    let looking = async {
        loop {
            let (status, body) = get(address, path).await;
            if holds(status, &body) {
                return;
            }
            sleep(LOOK_AGAIN).await;
        }
    };
    timeout(DEADLINE, looking).await.expect(path);
}

/// Sends a ping and returns its id.
async fn ping(connection: &Connection, name: &str) -> String {
    let event = Ping { name: name.into() };
    let identity = Identity::fresh("test");
    let record = encode_new(&event, &identity, None, Timestamp::now());
    let publisher = KafkaPublisher::connect(connection).expect("publisher");
    let results = publisher.publish(&[record.expect("record")]).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    identity.id.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_becomes_ready_handles_counts_and_stops_cleanly() {
    let place = Place::with_topics(&["ping", "ping.dlq", "pong"]).await;
    let connection = place.connection();
    let mut pongs = Reader::open(&connection, &["pong"], From::Beginning)
        .await
        .expect("reader");
    let connected = worker().connect(&place.args()).await.expect("connected");
    let address = connected.admin_address().expect("address");
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(connected.run(async { stopped.await.expect("stop") }));

    until(address, "/readyz", |status, body| {
        status == 200 && body == "ready\n"
    })
    .await;
    assert_eq!(get(address, "/healthz").await, (200, "alive\n".to_owned()));
    ping(&connection, "ada").await;

    let pong = next(&mut pongs).await;
    assert_eq!(pong.value.as_deref(), Some(&br#"{"name":"ada"}"#[..]));
    let handled = "longshore_handled_messages_total{messaging_system=\"kafka\",messaging_destination_name=\"ping\",messaging_consumer_group_name=\"answer\"} 1";
    until(address, "/metrics", |status, body| {
        status == 200 && body.contains(handled)
    })
    .await;
    stop.send(()).expect("running");
    let result = timeout(DEADLINE, running)
        .await
        .expect("stopped")
        .expect("no panic");
    assert!(result.is_ok(), "{result:?}");
    assert!(
        TcpStream::connect(address).await.is_err(),
        "the endpoint is gone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_not_ready_before_it_runs() {
    let place = Place::with_topics(&["ping"]).await;
    let connected = worker().connect(&place.args()).await.expect("connected");
    let address = connected.admin_address().expect("address");

    let (status, body) = get(address, "/readyz").await;

    assert_eq!((status, body.as_str()), (503, "no partitions assigned\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workers_own_routes_look_into_its_store_beside_those_of_the_runtime() {
    let place = Place::with_topics(&["ping", "pong"]).await;
    let worker = worker().routes(|store| {
        let store = store.clone();
        let count = async move || {
            let rows = store.fetch(&sql("select name from answered")).await;
            format!("{} answered", rows.expect("rows").len())
        };
        Router::new().route("/answered", axum::routing::get(count))
    });
    let connected = worker.connect(&place.args()).await.expect("connected");
    let address = connected.admin_address().expect("address");
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(connected.run(async { stopped.await.expect("stop") }));

    assert_eq!(get(address, "/answered").await, (200, "0 answered".into()));
    ping(&place.connection(), "ada").await;
    until(address, "/answered", |_, body| body == "1 answered").await;

    assert_eq!(get(address, "/healthz").await, (200, "alive\n".to_owned()));
    assert_eq!(get(address, "/elsewhere").await.0, 404);
    stop.send(()).expect("running");
    let result = timeout(DEADLINE, running).await.expect("stopped");
    assert!(result.expect("no panic").is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_group_has_committed_is_told_before_the_worker_has_committed_anything() {
    let place = Place::with_topics(&["ping", "pong"]).await;
    ping(&place.connection(), "ada").await;
    for _ in 0..2 {
        let connected = worker().connect(&place.args()).await.expect("connected");
        let address = connected.admin_address().expect("address");
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(connected.run(async { stopped.await.expect("stop") }));
        until(address, "/status", |_, body| {
            body.contains("\"committed\":1")
        })
        .await;
        stop.send(()).expect("running");
        let result = timeout(DEADLINE, running).await.expect("stopped");
        assert!(result.expect("no panic").is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_is_told_of_an_event_once_the_log_has_it() {
    let place = Place::with_topics(&["ping"]).await;
    let (tell, mut told) = mpsc::channel(8);
    let worker = worker().on_published(move |pong: &Published<'_, Pong>| {
        let line = format!("{} {}", pong.event().name, pong.correlation_id());
        tell.try_send(line).expect("room");
    });
    let connected = worker.connect(&place.args()).await.expect("connected");
    let address = connected.admin_address().expect("address");
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(connected.run(async { stopped.await.expect("stop") }));

    let id = ping(&place.connection(), "ada").await;
    until(address, "/status", |_, body| body.contains("\"outbox\":1")).await;
    assert!(told.try_recv().is_err(), "committed, and not yet published");
    let admin = Admin::connect(&place.connection()).expect("admin");
    admin
        .create_topics(&[new_topic("pong")])
        .await
        .expect("topic");
    let line = timeout(DEADLINE, told.recv()).await.expect("told");

    assert_eq!(line, Some(format!("ada {id}")));
    until(address, "/status", |_, body| body.contains("\"outbox\":0")).await;
    stop.send(()).expect("running");
    let result = timeout(DEADLINE, running).await.expect("stopped");
    assert!(result.expect("no panic").is_ok());
    assert!(told.try_recv().is_err(), "told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_an_error_that_names_the_cure() {
    let place = Place::with_topics(&[]).await;

    let error = refused(worker().connect(&place.args()).await);

    assert!(
        matches!(error, RunError::Source(SourceError::MissingTopic { .. })),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("longshore topics apply"),
        "{error}"
    );
    assert_eq!(error.exit_code(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_no_file_describes_is_wrong_usage() {
    let dir = tempfile::tempdir().expect("directory");
    let other = "name = \"pong\"\npartitions = 1\n";
    std::fs::write(dir.path().join("pong.toml"), other).expect("written");
    let mut args = WorkerArgs::new("127.0.0.1:1");
    args.topics_dir = Some(dir.path().to_owned());

    let error = refused(worker().connect(&args).await);

    assert_eq!(error.exit_code(), 2);
    assert!(
        error
            .to_string()
            .contains("topic ping is described by no file"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn holding_keys_without_a_store_is_wrong_usage() {
    let mut args = WorkerArgs::new("127.0.0.1:1");
    args.strict = true;
    let worker = WorkerBuilder::transactional("pinger", Answer).reads(Ping::TOPIC);

    let error = refused(worker.connect(&args).await);

    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("has no store"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_on_one_sqlite_file_is_told_of_postgres() {
    let place = Place::with_topics(&["ping"]).await;
    let mut args = place.args();
    let _first = worker().connect(&args).await.expect("connected");
    args.admin_listen = None;

    let error = refused(worker().connect(&args).await);

    let cause = std::error::Error::source(&error).map(ToString::to_string);
    assert!(
        cause
            .as_ref()
            .is_some_and(|cause| cause.contains("postgres://")),
        "{cause:?}"
    );
    assert_eq!(error.exit_code(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_stop_before_it_started_leaves_quietly() {
    let args = WorkerArgs::new("127.0.0.1:1");

    let result = worker().run(&args, async {}).await;

    assert!(result.is_ok(), "{result:?}");
}

fn refused(result: Result<ConnectedWorker<Answer>, RunError>) -> RunError {
    result.expect_err("refused")
}

#[tokio::test(flavor = "multi_thread")]
async fn work_beside_the_messages_has_their_store_publishes_and_serves() {
    let place = Place::with_topics(&[Ping::TOPIC, Pong::TOPIC]).await;
    let mut pongs = Reader::open(&place.connection(), &[Pong::TOPIC], From::Beginning)
        .await
        .expect("reader");
    let (told, finished) = oneshot::channel();
    let worker = worker().beside(move |beside| {
        let mut stop = beside.stop.clone();
        let record = encode_new(
            &Pong {
                name: "beside".to_owned(),
            },
            &Identity::fresh("answer"),
            None,
            beside.clock.now(),
        );
        longshore::Companion {
            routes: axum::Router::new().route("/beside", axum::routing::get(async || "here")),
            task: Box::pin(async move {
                let now = beside.clock.now();
                let mut transaction = beside.store.begin().await.expect("begun");
                let record = (uuid::Uuid::from_u128(1), record.expect("encoded"));
                transaction.publish([record], now).await.expect("put in");
                transaction.commit().await.expect("committed");
                beside.bell.ring(now).await;
                stop.wait().await;
                told.send(()).expect("the test waits");
            }),
        }
    });
    let connected = worker.connect(&place.args()).await.expect("connected");
    let address = connected.admin_address().expect("served");
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(connected.run(async move { drop(stopped.await) }));

    let pong = next(&mut pongs).await;
    assert_eq!(pong.value.as_deref(), Some(&br#"{"name":"beside"}"#[..]));
    let (status, body) = get(address, "/beside").await;
    assert_eq!((status, body.as_str()), (200, "here"));
    assert_eq!(get(address, "/nowhere").await.0, 404);
    stop.send(()).expect("running");
    running.await.expect("no panic").expect("stopped");
    finished.await.expect("it was told to stop and waited for");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_ends_by_itself_ends_the_worker() {
    let place = Place::with_topics(&[Ping::TOPIC, Pong::TOPIC]).await;
    let worker = worker().beside(|_| longshore::Companion {
        routes: axum::Router::new(),
        task: Box::pin(async {}),
    });
    let result = timeout(DEADLINE, worker.run(&place.args(), std::future::pending())).await;
    let error = result.expect("it ends").expect_err("a failure");
    assert!(matches!(error, RunError::Beside), "{error}");
}
