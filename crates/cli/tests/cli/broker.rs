//! The embedded broker as a process.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{longshore, run};

const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_broker_serves_until_it_is_told_to_stop() {
    let data = tempfile::tempdir().expect("a directory");
    let data = data.path().to_str().expect("text");
    let mut child = longshore(&["broker", "--listen", "127.0.0.1:0", "--data", data])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let line = tokio::time::timeout(DEADLINE, lines.next_line())
        .await
        .expect("in time");
    let line = line.expect("readable").expect("a line");
    let brokers = line
        .strip_prefix("listening on ")
        .expect("an address")
        .to_owned();

    run(longshore(&["topics", "list", "--brokers", &brokers]), b"")
        .await
        .done();

    let id = child.id().expect("running").to_string();
    let killed = tokio::process::Command::new("kill")
        .args(["-TERM", &id])
        .status()
        .await;
    assert!(killed.expect("kill").success());
    let status = tokio::time::timeout(DEADLINE, child.wait())
        .await
        .expect("it leaves in time");
    assert_eq!(status.expect("a status").code(), Some(0));
}

#[tokio::test]
async fn an_address_that_others_can_reach_needs_the_flag_for_it() {
    let data = tempfile::tempdir().expect("a directory");
    let data = data.path().to_str().expect("text");
    let error = run(
        longshore(&["broker", "--listen", "0.0.0.0:0", "--data", data]),
        b"",
    )
    .await
    .failed();
    assert!(error.contains("no authentication"), "{error}");
}
