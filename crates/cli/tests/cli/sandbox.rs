//! The sandbox services as a process.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{longshore, run};

const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_sandbox_serves_until_it_is_told_to_stop() {
    let data = tempfile::tempdir().expect("a directory");
    let data = data.path().to_str().expect("text");
    let mut child = longshore(&[
        "sandbox",
        "--listen",
        "127.0.0.1:0",
        "--data",
        data,
        "--json",
        "--outage",
        "payment",
        "--errors",
        "carrier=5%",
        "--latency",
        "product=1ms",
    ])
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("the binary starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let line = tokio::time::timeout(DEADLINE, lines.next_line())
        .await
        .expect("in time");
    let line = line.expect("readable").expect("a line");
    let urls: Value = serde_json::from_str(&line).expect("JSON");
    let payment = urls["PAYMENT_SERVICE_URL"].as_str().expect("a URL");
    let http = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client");

    let health = http
        .get(format!("{payment}/healthz"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(health.status(), 503);
    let knobs = format!(
        "{}/knobs",
        payment.strip_suffix("/payment").expect("a path")
    );
    let knobs = http.get(knobs).send().await.expect("an answer");
    let knobs: Value = serde_json::from_str(&knobs.text().await.expect("text")).expect("JSON");
    let expected = json!({"outage": false, "errors": 0.05, "lostAnswers": 0.0, "latencyMs": 0});
    assert_eq!(knobs["carrier"], expected);
    assert_eq!(knobs["product"]["latencyMs"], 1);

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
    let arguments = ["sandbox", "--listen", "0.0.0.0:0", "--data", data];
    let error = run(longshore(&arguments), b"").await.failed();
    assert!(error.contains("--allow-remote"), "{error}");
}
