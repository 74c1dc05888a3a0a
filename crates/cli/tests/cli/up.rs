//! The whole order system in one process.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use longshore_broker::{Broker, BrokerConfig};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::support::{Run, longshore, run};

const DEADLINE: Duration = Duration::from_secs(120);

fn up(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = longshore(&[&["up"], arguments].concat());
    command.current_dir(directory);
    command
}

/// Runs until a hundred orders have ended, and checks how they did.
async fn a_hundred_orders(directory: &Path, arguments: &[&str]) {
    let fixed = ["--orders", "100", "--rate", "400", "--once", "--json"];
    let printed = run(up(directory, &[&fixed, arguments].concat()), b"")
        .await
        .done();
    let summary: Value = serde_json::from_str(&printed).expect("a summary");
    let expected = [
        ("created", 100),
        ("paid", 91),
        ("shipped", 91),
        ("delivered", 91),
        ("cancelled", 8),
        ("dead-lettered", 1),
        ("repeated", 0),
    ];
    for (name, count) in expected {
        assert_eq!(summary[name], count, "{name} in {summary}");
    }
    assert!(
        summary["p50_ms"].as_i64() <= summary["p99_ms"].as_i64(),
        "{summary}"
    );
}

#[tokio::test]
async fn every_order_reaches_its_end_run_after_run() {
    let directory = tempfile::tempdir().expect("a directory");

    a_hundred_orders(directory.path(), &[]).await;
    a_hundred_orders(directory.path(), &[]).await;
}

/// What `longshore saga` prints of the run in this directory.
async fn saga(directory: &Path, arguments: &[&str]) -> Run {
    let mut command = longshore(&[&["saga"], arguments].concat());
    command.current_dir(directory);
    run(command, b"").await
}

#[tokio::test]
async fn the_sagas_of_a_run_can_be_looked_at() {
    let directory = tempfile::tempdir().expect("a directory");
    let error = saga(directory.path(), &["list"]).await.failed();
    assert!(error.contains("no `longshore up` has used"), "{error}");
    a_hundred_orders(directory.path(), &[]).await;

    let list = ["list", "--limit", "1000", "--json"];
    let states = ["running", "completed", "compensated", "stuck"];
    let states: Vec<_> = states
        .iter()
        .flat_map(|state| ["--state", *state])
        .collect();
    let listed = saga(
        directory.path(),
        &[list.as_slice(), states.as_slice()].concat(),
    )
    .await;
    let listed: Vec<Value> = serde_json::from_str(&listed.done()).expect("sagas");
    let of = |wanted: &[&str]| {
        let has = |saga: &&Value| wanted.iter().any(|state| saga["state"] == *state);
        listed.iter().filter(has).cloned().collect::<Vec<_>>()
    };
    // The last customers may not have been told when the run was over.
    assert_eq!(of(&["completed", "running"]).len(), 91);
    assert_eq!(of(&["compensated"]).len(), 8);
    let stuck = of(&["stuck"]);
    assert_eq!(stuck.len(), 1, "the poisonous order");

    let poisonous = stuck[0]["id"].as_str().expect("an id");
    let drawn = saga(directory.path(), &["show", poisonous]).await.done();
    assert!(drawn.contains(": stuck, began"), "{drawn}");
    assert!(drawn.contains("TEST-POISON is in no catalogue"), "{drawn}");
    let mut declined = of(&["compensated"]);
    declined.retain(|saga| saga["turned"]["refusal"] == "payment_declined");
    let declined = declined.first().expect("a declined order");
    let id = declined["id"].as_str().expect("an id");
    let drawn = saga(directory.path(), &["show", id]).await.done();
    let steps: Vec<&str> = drawn.lines().skip(2).map(|line| line.trim()).collect();
    assert!(drawn.contains("refused: \"payment_declined\""), "{drawn}");
    for (line, expected) in steps.iter().zip([
        "STEP",
        "reserve",
        "└ release",
        "charge",
        "confirm",
        "notify",
    ]) {
        assert!(line.starts_with(expected), "{drawn}");
    }
    let error = saga(directory.path(), &["show", "nobody's"]).await.failed();
    assert!(error.contains("has no saga"), "{error}");
}

#[tokio::test]
async fn every_order_reaches_its_end_on_other_brokers() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = BrokerConfig::new(directory.path().join("kafka"));
    let broker = Broker::start(config).await.expect("a broker");

    a_hundred_orders(directory.path(), &["--brokers", &broker.bootstrap()]).await;

    assert!(!directory.path().join(".longshore/broker").exists());
}

#[tokio::test]
async fn after_a_crash_the_next_run_goes_on_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    // Longer than the next run may take.
    let session = ["--kafka", "session.timeout.ms=300000"];
    let endless = ["--orders", "100000", "--rate", "50"];
    let mut crashing = up(directory.path(), &[&endless[..], &session].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(crashing.stdout.take().expect("piped")).lines();
    let poisoned = async {
        loop {
            let line = lines.next_line().await.expect("readable").expect("a line");
            let worker = line.split(" | ").nth(1).expect("the first worker");
            assert!(worker.starts_with("order-created: "), "{line}");
            if worker.contains(" 1 dead letter,") && !worker.contains(" 0 failed runs") {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, poisoned)
        .await
        .expect("in time");
    crashing.kill().await.expect("killed");

    a_hundred_orders(directory.path(), &session).await;
}

#[tokio::test]
async fn analytics_are_told_while_it_runs() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut running = up(directory.path(), &["--orders", "32", "--rate", "1000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts");
    let asked = |what: &'static [&'static str]| {
        let mut command = longshore(&[&["analytics"], what].concat());
        command.current_dir(directory.path());
        run(command, b"")
    };
    let counted = async {
        loop {
            // Until it runs, nobody answers.
            let found = asked(&["funnel", "--json"]).await;
            let funnel: Value = serde_json::from_str(&found.stdout).unwrap_or_default();
            if funnel["created"] == 32 && funnel["delivered"].as_i64() > Some(0) {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, counted)
        .await
        .expect("in time");

    let summary = asked(&["--since", "1h"]).await.done();
    let hours = asked(&["hours"]).await.done();

    let created = summary.lines().nth(1).expect("a line");
    let columns: Vec<_> = created.split_whitespace().collect();
    assert_eq!(columns[..4], ["created", "-", "32", "32"], "{summary}");
    assert!(summary.contains("created to paid"), "{summary}");
    assert!(hours.contains(":00:00Z"), "{hours}");
    running.kill().await.expect("killed");
}

#[tokio::test]
async fn orders_that_do_not_end_in_time_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let arguments = [
        "--orders",
        "32",
        "--rate",
        "1000",
        "--once",
        "--timeout",
        "0",
    ];

    let error = run(up(directory.path(), &arguments), b"").await.failed();

    assert!(error.contains("did not end within 0 s: o-"), "{error}");
}
