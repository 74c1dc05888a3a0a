//! A broker, a directory of topic files, and runs of the binary with what they printed.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use longshore_broker::faults::Faults;
use longshore_broker::{Broker, BrokerConfig};
use longshore_event::{
    DeadLetter, ErrorKind, Headers, Offset, OutgoingRecord, Record, TopicPartition,
};
use longshore_kafka::{Connection, KafkaPublisher};
use longshore_worker::Publisher;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// No run of the binary takes longer; one that does has hung.
const DEADLINE: Duration = Duration::from_secs(180);

/// The topic file that most tests use.
const ORDERS: &str = r#"
name = "order.created"
partitions = 3
replication = 1
retention = "7d"
schema = "schemas/order.created.json"
key = "orderId"
"#;

const SCHEMA: &str = r#"{
  "type": "object",
  "required": ["orderId", "total"],
  "properties": {"orderId": {"type": "string", "minLength": 1}, "total": {"type": "integer"}}
}"#;

pub(crate) struct Shop {
    broker: Broker,
    directory: TempDir,
}

/// A dead letter of order.created, as a worker writes it.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) key: &'static str,
    pub(crate) group: &'static str,
    pub(crate) message: String,
    pub(crate) offset: i64,
    pub(crate) failed_at: &'static str,
    pub(crate) redrive_count: u32,
    pub(crate) value: Bytes,
}

impl Default for Letter {
    fn default() -> Self {
        Self {
            key: "o-1",
            group: "shop",
            message: "payment 17 refused".into(),
            offset: 41,
            failed_at: "2026-11-23T08:00:00Z",
            redrive_count: 0,
            value: Bytes::from_static(br#"{"orderId":"o-1","total":1}"#),
        }
    }
}

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Shop {
    /// A broker without topics, and a file for order.created.
    pub(crate) async fn open() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let config = BrokerConfig::new(directory.path().join("broker"));
        let broker = Broker::start(config).await.expect("a broker");
        let shop = Self { broker, directory };
        shop.write("topics/order.created.toml", ORDERS);
        shop.write("topics/schemas/order.created.json", SCHEMA);
        shop
    }

    /// The same, with the topics applied.
    pub(crate) async fn with_topics() -> Self {
        let shop = Self::open().await;
        shop.run(&["topics", "apply"]).await.done();
        shop
    }

    /// The same, where the group `shop` may get its dead letters back.
    pub(crate) async fn with_redrives() -> Self {
        let shop = Self::open().await;
        let file = format!("{ORDERS}\n[redrive]\ngroups = [\"shop\"]\n");
        shop.write("topics/order.created.toml", file);
        shop.run(&["topics", "apply"]).await.done();
        shop
    }

    /// Publishes dead letters of order.created.
    pub(crate) async fn fail(&self, letters: &[Letter]) {
        let records = letters.iter().map(|letter| {
            let failed_at = letter.failed_at.parse().expect("a time");
            let dead = DeadLetter {
                topic: "order.created".into(),
                partition: 1,
                offset: letter.offset,
                group: letter.group.into(),
                delivery_count: 4,
                message: letter.message.clone(),
                kind: ErrorKind::Transient,
                error_type: "Refused".into(),
                handler: "order-created".into(),
                first_failed_at: failed_at,
                last_failed_at: failed_at,
                redrive_count: letter.redrive_count,
            };
            let mut headers = Headers::new();
            headers.push_str("ce_id", &format!("e-{}", letter.offset));
            headers.push("raw", Some(&[0xff, 0x1b]));
            dead.record(&Record {
                partition: TopicPartition::new("order.created", 1),
                offset: Offset(letter.offset),
                timestamp: None,
                key: Some(letter.key.into()),
                value: Some(letter.value.clone()),
                headers,
            })
        });
        self.publish(&records.collect::<Vec<_>>()).await;
    }

    pub(crate) async fn publish(&self, records: &[OutgoingRecord]) {
        let publisher = KafkaPublisher::connect(&Connection::new(self.brokers()));
        let results = publisher.expect("a publisher").publish(records).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }

    /// Everything in a topic, as `longshore tail --json` tells it.
    pub(crate) async fn records(&self, topic: &str) -> Vec<Value> {
        let tail = ["tail", topic, "--from", "beginning", "--exit", "--json"];
        self.run(&tail).await.json()
    }

    pub(crate) fn brokers(&self) -> String {
        self.broker.bootstrap()
    }

    /// What makes the broker misbehave.
    pub(crate) fn faults(&self) -> Faults {
        self.broker.faults()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("in a directory")).expect("a directory");
        fs::write(&path, text).expect("written");
        path.to_str().expect("text").to_owned()
    }

    /// Runs the binary in the shop's directory, with nothing on standard input.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, b"").await
    }

    pub(crate) async fn run_with(&self, arguments: &[&str], stdin: &[u8]) -> Run {
        run(self.command(arguments), stdin).await
    }

    /// The binary in the shop's directory, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = longshore(arguments);
        command
            .env("KAFKA_BROKERS", self.brokers())
            .current_dir(self.directory.path());
        command
    }
}

/// The binary, untouched by the environment of whoever runs the tests.
pub(crate) fn longshore(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longshore"));
    for (name, _) in std::env::vars() {
        if name.starts_with("LONGSHORE_") || name == "KAFKA_BROKERS" {
            command.env_remove(name);
        }
    }
    command.args(arguments).kill_on_drop(true);
    command
}

pub(crate) async fn run(mut command: Command, stdin: &[u8]) -> Run {
    let piped = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().expect("the binary starts");
    let mut pipe = child.stdin.take().expect("piped");
    let feed = async move {
        // A process that does not read its input closes the pipe early, and that is its right.
        drop(pipe.write_all(stdin).await);
        drop(pipe);
    };
    let both = async { tokio::join!(feed, child.wait_with_output()).1 };
    let output = tokio::time::timeout(DEADLINE, both)
        .await
        .expect("the binary hangs")
        .expect("output");
    Run {
        code: output.status.code().expect("an exit code"),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

impl Run {
    /// Standard output of a run that went well.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.stdout
    }

    /// Standard error of a run that failed.
    #[track_caller]
    pub(crate) fn failed(self) -> String {
        assert_eq!(self.code, 1, "{self:#?}");
        self.stderr
    }

    /// Every line of standard output as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> Vec<Value> {
        let lines = self.done();
        lines
            .lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect()
    }
}

/// The value of a header in a record of `longshore tail --json`.
pub(crate) fn header<'a>(record: &'a Value, name: &str) -> Option<&'a str> {
    let headers = record["headers"].as_array().expect("headers");
    let found = headers.iter().rev().find(|header| header["name"] == name)?;
    found["value"].as_str()
}
