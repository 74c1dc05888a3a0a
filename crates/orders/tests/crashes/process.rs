//! The worker as a process of its own: this test program again, told by its environment to be the worker.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use longshore::{KafkaProperty, WorkerArgs, WorkerBuilder};
use longshore_event::Event;
use longshore_orders::{
    MIGRATIONS, OrderCancellationRequested, OrderCancelled, OrderCreated, OrderPaid,
};
use longshore_store::StoreUrl;
use longshore_testkit::broker::TestBroker;
use longshore_testkit::process::Process;
use tempfile::TempDir;

use crate::mortal::{Mortal, MortalHandler};

pub(crate) const TOPICS: [&str; 4] = [
    OrderCreated::TOPIC,
    OrderCancellationRequested::TOPIC,
    OrderPaid::TOPIC,
    OrderCancelled::TOPIC,
];

/// Set for a process that is to be the worker: brokers, and the directory of its store and its graves.
const BROKERS: &str = "MORTAL_WORKER_BROKERS";
const DIRECTORY: &str = "MORTAL_WORKER_DIRECTORY";

/// How to start the worker.
pub(crate) struct Launch {
    directory: TempDir,
    brokers: String,
}

/// The worker, killed when it is dropped.
pub(crate) struct Worker<'a> {
    launch: &'a Launch,
    process: Process,
}

impl Launch {
    pub(crate) fn new(broker: &TestBroker) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("graves")).expect("a directory");
        Self {
            directory,
            brokers: broker.bootstrap().to_owned(),
        }
    }

    pub(crate) fn start(&self) -> Worker<'_> {
        Worker {
            launch: self,
            process: self.spawn(),
        }
    }

    fn spawn(&self) -> Process {
        let path = self.directory.path().join("output.log");
        let output = File::options().create(true).append(true).open(path);
        let output = output.expect("an output file");
        let mut command = Command::new(env::current_exe().expect("this program"));
        command
            .args(["--ignored", "--exact", "worker", "--nocapture"])
            .env(BROKERS, &self.brokers)
            .env(DIRECTORY, self.directory.path())
            .stdout(output.try_clone().expect("an output file"))
            .stderr(output);
        Process::spawn(&mut command).expect("it starts")
    }

    /// The store of the worker.
    pub(crate) fn store(&self) -> StoreUrl {
        store(self.directory.path().into())
    }

    /// Orders of which a worker has died.
    pub(crate) fn deaths(&self) -> BTreeSet<String> {
        let graves = fs::read_dir(self.directory.path().join("graves"));
        let names = graves.expect("a directory").map(|grave| {
            let name = grave.expect("read").file_name();
            name.into_string().expect("an order")
        });
        names.collect()
    }

    /// What the worker said last.
    pub(crate) fn output(&self) -> String {
        let said = fs::read(self.directory.path().join("output.log")).unwrap_or_default();
        let tail = &said[said.len().saturating_sub(4000)..];
        String::from_utf8_lossy(tail).into_owned()
    }
}

impl Worker<'_> {
    /// Starts it again if it was killed. It must not end in any other way.
    pub(crate) fn keep_running(&mut self) {
        if let Some(status) = self.process.ended().expect("its status") {
            let said = self.launch.output();
            assert_eq!(status.signal(), Some(9), "{status}, and it said:\n{said}");
            self.process = self.launch.spawn();
        }
    }
}

fn store(directory: PathBuf) -> StoreUrl {
    StoreUrl::sqlite(directory.join("order-created.db"))
}

/// Is the worker, until it is killed; nothing happens if this process was not launched to be it.
pub(crate) fn run_if_launched() {
    let (Ok(brokers), Some(directory)) = (env::var(BROKERS), env::var_os(DIRECTORY)) else {
        return;
    };
    let directory = PathBuf::from(directory);
    let mut args = WorkerArgs::new(brokers);
    args.store = Some(store(directory.clone()));
    args.attempts = 1;
    args.park_first = Duration::from_millis(200);
    args.park_longest = Duration::from_millis(400);
    args.park_attempts = 1000;
    args.brake = 1.0;
    // A static member: it has its partitions back as soon as it is started again.
    for (name, value) in [
        ("group.instance.id", "mortal"),
        ("session.timeout.ms", "6000"),
    ] {
        let property = Some((name.to_owned(), value.to_owned()));
        args.kafka.push(KafkaProperty(property));
    }
    let graves = directory.join("graves");
    let make = move |store: &longshore_store::SqlStore| {
        MortalHandler::new(Mortal::new(store, graves), store)
    };
    let builder = WorkerBuilder::new("order-created", make)
        .reads(OrderCreated::TOPIC)
        .reads(OrderCancellationRequested::TOPIC)
        .reads(OrderPaid::TOPIC)
        .publishes(OrderPaid::TOPIC)
        .publishes(OrderCancelled::TOPIC)
        .migrations(MIGRATIONS);
    longshore::init_telemetry(args.log_format);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let ended = runtime.block_on(builder.run(&args, std::future::pending()));
    panic!("it ended by itself: {ended:?}");
}
