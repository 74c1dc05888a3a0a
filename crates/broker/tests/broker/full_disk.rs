//! A full disk: producers are refused, nothing that was acknowledged is lost, and it is over when there is room.
//!
//! The broker runs in a process of its own, which sees a small disk where others see an empty directory: it
//! goes with the process, however that ends.

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::time::timeout;

use crate::support::{DEADLINE, TestBroker, take, text};
use crate::upkeep::clean_all_the_time;

/// Set to `1`, it makes a test fail that cannot have a small disk.
const REQUIRED: &str = "LONGSHORE_REQUIRE_FULL_DISK";

/// Where the small disk is.
const DISK: &str = "LONGSHORE_TEST_DISK";

/// Mounts a small disk on its first argument, and runs the others.
const ON_A_SMALL_DISK: &str = r#"mount -t tmpfs -o size=4m none "$1" && shift && exec "$@""#;

const REFUSED: KafkaError = KafkaError::MessageProduction(RDKafkaErrorCode::KafkaStorageError);

#[test]
fn a_full_disk_refuses_records_and_loses_none() {
    run_on_a_small_disk("full_disk::fills_its_disk");
}

#[test]
fn a_compaction_without_room_loses_nothing_and_goes_on_when_there_is() {
    run_on_a_small_disk("full_disk::compacts_on_a_full_disk");
}

/// Runs `test`, which is ignored otherwise, where the disk is small.
fn run_on_a_small_disk(test: &str) {
    let disk = tempfile::tempdir().unwrap();
    if let Err(why) = on_a_small_disk(disk.path(), &["true"]) {
        let required = env::var(REQUIRED).is_ok_and(|value| value == "1");
        assert!(!required, "{REQUIRED} is 1: {why}");
        // Past the test harness, which would swallow it.
        let say = "full disk: NOT TESTED, to mount a small one takes root or a user namespace";
        writeln!(io::stderr(), "{say}: {why}").expect("stderr");
        return;
    }
    let this = env::current_exe().unwrap();
    let this = this.to_str().unwrap();
    let command = [this, test, "--ignored", "--exact", "--nocapture"];
    let said = on_a_small_disk(disk.path(), &command);
    let said = said.unwrap_or_else(|why| panic!("{why}"));
    assert!(said.contains("1 passed"), "{said}");
}

/// Runs `command` where a disk of 4 MB is mounted on `disk`, for it alone; returns what it said.
fn on_a_small_disk(disk: &Path, command: &[&str]) -> Result<String, String> {
    let mut unshare = Command::new("unshare");
    unshare.arg("--mount");
    if Command::new("id").arg("-u").output().unwrap().stdout != b"0\n" {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["sh", "-c", ON_A_SMALL_DISK, "sh"]);
    unshare.arg(disk).args(command).env(DISK, disk);
    // Where data directories are made.
    unshare.env("TMPDIR", disk);
    let ended = unshare.output();
    let ended = ended.map_err(|error| format!("unshare: {error}"))?;
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    if ended.status.success() {
        return Ok(said);
    }
    let error = String::from_utf8_lossy(&ended.stderr);
    Err(format!("{said}{error}"))
}

/// What was acknowledged, in order: offset and value.
#[derive(Default)]
struct Acknowledged(Vec<(i64, String)>);

impl Acknowledged {
    /// Sends one record of `bytes`, and waits for the answer.
    async fn send(&mut self, producer: &FutureProducer, bytes: usize) -> Result<(), KafkaError> {
        let value = value(bytes);
        let record = FutureRecord::<(), _>::to("t").payload(&value).partition(0);
        let sent = producer.send(record, DEADLINE).await;
        let delivery = sent.map_err(|(error, _)| error)?;
        self.0.push((delivery.offset, value));
        Ok(())
    }

    /// Sends until not even a small record is taken.
    async fn send_until_the_disk_is_full(&mut self, producer: &FutureProducer) {
        for bytes in [20_000, 1_000, 1] {
            let refused = loop {
                if let Err(error) = self.send(producer, bytes).await {
                    break error;
                }
            };
            assert_eq!(refused, REFUSED);
        }
    }

    fn assert_is_what_is_read(&self, test: &TestBroker) {
        self.assert_is(&test.read_from("t", 0));
    }

    fn assert_is(&self, records: &[OwnedMessage]) {
        let read = records
            .iter()
            .map(|record| (record.offset(), text(record).to_owned()));
        let read: Vec<_> = read.collect();
        assert!(read == self.0, "each once and in order");
    }
}

#[tokio::test]
#[ignore = "not a test: another test runs it where there is a small disk"]
async fn fills_its_disk() {
    let Ok(disk) = env::var(DISK) else {
        return;
    };
    let ballast = [1, 2].map(|n| ballast(Path::new(&disk), n));
    let mut test = TestBroker::start().await;
    let topic = NewTopic::new("t", 1, TopicReplication::Fixed(1)).set("segment.bytes", "300000");
    test.create_topic(&topic).await;
    // One that is told of every refusal, and one that tries again until it is not refused any more.
    let impatient: FutureProducer = test.client().set("retries", "0").create().unwrap();
    let patient = test.producer();
    let mut acknowledged = Acknowledged::default();
    acknowledged.send(&patient, 1).await.unwrap();

    for ballast in &ballast {
        acknowledged.send_until_the_disk_is_full(&impatient).await;
        acknowledged.assert_is_what_is_read(&test);
        let name = ballast.file_name().unwrap().to_str().unwrap();
        let other = NewTopic::new(name, 1, TopicReplication::Fixed(1));
        let created = test.admin().create_topics([&other], &AdminOptions::new());
        let created = created.await.unwrap().remove(0);
        assert_eq!(created.unwrap_err().1, RDKafkaErrorCode::KafkaStorageError);

        test = test.restart().await;
        acknowledged.assert_is_what_is_read(&test);
        let member = test.consumer("g", &["t"]);
        let value = value(20_000);
        let record = FutureRecord::<(), _>::to("t").payload(&value).partition(0);
        let mut waiting = patient.send_result(record).unwrap();
        // Time enough for the patient one to be refused as well.
        for _ in 0..20 {
            let refused = acknowledged.send(&impatient, 20_000).await;
            assert_eq!(refused, Err(REFUSED));
        }
        let answer = timeout(Duration::ZERO, &mut waiting).await;
        assert!(answer.is_err(), "it tries again: {answer:?}");

        fs::remove_file(ballast).unwrap();
        let delivery = waiting.await.unwrap().unwrap();
        acknowledged.0.push((delivery.offset, value));
        acknowledged.send(&impatient, 20_000).await.unwrap();
        test.create_topic(&other).await;
        acknowledged.assert_is_what_is_read(&test);
        acknowledged.assert_is(&take(&member, acknowledged.0.len()));
    }
    let test = test.restart().await;
    acknowledged.assert_is_what_is_read(&test);
}

#[tokio::test]
#[ignore = "not a test: another test runs it where there is a small disk"]
async fn compacts_on_a_full_disk() {
    let Ok(disk) = env::var(DISK) else {
        return;
    };
    let ballast = ballast(Path::new(&disk), 1);
    let mut test = TestBroker::start_with(clean_all_the_time).await;
    let topic = NewTopic::new("t", 1, TopicReplication::Fixed(1))
        .set("cleanup.policy", "compact")
        .set("segment.bytes", "300000")
        .set("min.cleanable.dirty.ratio", "0.01");
    test.create_topic(&topic).await;
    let producer: FutureProducer = test.client().set("retries", "0").create().unwrap();
    let mut log = KeyedLog::default();

    // What is left of these keys is about as much as there is room for.
    let deadline = Instant::now() + DEADLINE;
    let (mut refused, mut keys) = (0, (0..150).cycle());
    while refused < 50 {
        assert!(Instant::now() < deadline, "{refused} of 50 refused");
        if let Err(error) = log.send(&producer, keys.next().unwrap()).await {
            assert_eq!(error, REFUSED);
            refused += 1;
        }
    }
    log.assert_is_in(&test);
    fs::remove_file(ballast).unwrap();
    // As much as the whole disk, for which others have to go.
    let deadline = Instant::now() + DEADLINE;
    for n in (0..20).cycle().take(200) {
        while log.send(&producer, n).await == Err(REFUSED) {
            assert!(Instant::now() < deadline, "there is no room for {n}");
        }
    }

    log.assert_is_in(&test);
    test = test.restart().await;
    log.assert_is_in(&test);
}

/// Everything that was acknowledged, by offset: key and value.
#[derive(Default)]
struct KeyedLog(BTreeMap<i64, (String, String)>);

impl KeyedLog {
    async fn send(&mut self, producer: &FutureProducer, key: usize) -> Result<(), KafkaError> {
        let (key, value) = (key.to_string(), value(20_000));
        let record = FutureRecord::to("t").key(&key).payload(&value).partition(0);
        let sent = producer.send(record, DEADLINE).await;
        let delivery = sent.map_err(|(error, _)| error)?;
        self.0.insert(delivery.offset, (key, value));
        Ok(())
    }

    /// Asserts that the last record of each key is there, and nothing that was not acknowledged.
    fn assert_is_in(&self, test: &TestBroker) {
        let mut left = self.0.clone();
        for record in test.read_from("t", 0) {
            let (key, value) = left.remove(&record.offset()).unwrap();
            assert_eq!(record.key().unwrap(), key.as_bytes());
            assert!(text(&record) == value, "offset {}", record.offset());
        }
        let newest: HashMap<_, _> = self.0.iter().map(|(at, (key, _))| (key, at)).collect();
        for (offset, (key, _)) in &left {
            assert_ne!(newest[key], offset, "the last record of {key} is gone");
        }
    }
}

/// A value of `bytes` that no other record has.
fn value(bytes: usize) -> String {
    static SENT: AtomicUsize = AtomicUsize::new(0);
    let number = SENT.fetch_add(1, Ordering::Relaxed);
    format!("{number} {}", "x".repeat(bytes))
}

/// Something else on the disk, of 1 MB, that can be removed.
fn ballast(disk: &Path, n: usize) -> PathBuf {
    let path = disk.join(format!("ballast-{n}"));
    fs::write(&path, vec![0; 1_000_000]).unwrap();
    path
}
