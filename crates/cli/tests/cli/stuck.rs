//! What workers wait for, as they tell it over their admin port.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Run, longshore};

/// A worker that answers everything with this.
async fn answering(page: &Value) -> String {
    answering_with("200 OK", page).await
}

async fn answering_with(status: &'static str, page: &Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let body = page.to_string();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let read = connection.read(&mut request).await.expect("a request");
            assert_ne!(read, 0, "a request");
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            connection.write_all(answer.as_bytes()).await.expect("sent");
        }
    });
    address
}

async fn stuck(arguments: &[&str]) -> Run {
    let mut command = longshore(&["stuck"]);
    command.args(arguments);
    crate::support::run(command, b"").await
}

fn page() -> Value {
    json!({
        "group": "shop",
        "at": "2026-11-26T12:00:00Z",
        "ready": true,
        "stopping": false,
        "brokerUnavailable": null,
        "commitsUnavailable": null,
        "paused": "the brake is on: most of the recent messages failed",
        "brake": {"state": "open", "failed": 9, "of": 10, "nextProbe": "2026-11-26T12:00:05Z"},
        "partitions": [
            {"topic": "order.created", "partition": 0, "committed": 40, "watermark": 41, "end": 50, "inFlight": 3, "oldest": {
                "offset": 41, "key": "o-1", "state": "handling", "since": "2026-11-26T11:59:00Z",
                "attempts": 2, "lastError": "payment timed out", "nextTry": "2026-11-26T12:00:01Z"
            }},
            {"topic": "order.created", "partition": 1, "committed": 7, "watermark": 7, "end": 9, "inFlight": 0, "oldest": null},
            {"topic": "order.created", "partition": 2, "committed": 5, "watermark": 5, "end": 5, "inFlight": 0, "oldest": null}
        ],
        "parkedKeys": 2,
        "parked": [
            {"key": "o-2", "topic": "order.created", "partition": 2, "offset": 3, "held": false, "messages": 4, "attempts": 5,
             "firstFailedAt": "2026-11-26T11:50:00Z", "lastFailedAt": "2026-11-26T11:59:30Z",
             "lastError": "carrier is down", "nextTry": "2026-11-26T12:01:00Z"},
            {"key": "o-3", "topic": "order.created", "partition": 2, "offset": 4, "held": true, "messages": 1, "attempts": 1,
             "firstFailedAt": null, "lastFailedAt": null, "lastError": "no such product", "nextTry": null}
        ],
        "inFlight": 3,
        "unwritten": [
            {"topic": "order.paid", "since": "2026-11-26T11:58:00Z", "lastError": "the topic does not exist"}
        ],
        "store": {"inbox": 10, "outbox": 2, "timers": 1, "parked": 5}
    })
}

#[tokio::test]
async fn what_is_stuck_is_told_with_its_key_its_age_its_error_and_its_next_try() {
    let worker = answering(&page()).await;
    let told = stuck(&["--worker", &worker]).await;
    assert_eq!(told.code, 0, "{told:?}");
    let lines: Vec<&str> = told.stdout.lines().map(str::trim).collect();
    let line = |beginning: &str| {
        let found = lines.iter().find(|line| line.starts_with(beginning));
        let found = found.unwrap_or_else(|| panic!("no {beginning} in {}", told.stdout));
        found.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        line("shop"),
        "shop: 3 partitions, 3 in flight, 2 keys parked, ready"
    );
    assert_eq!(
        line("paused"),
        "paused: the brake is on: most of the recent messages failed"
    );
    assert_eq!(line("brake"), "brake: 9 of 10 failed; next probe in 5s");
    assert_eq!(
        line("topic"),
        "topic order.paid refuses what is published, first 2m ago: the topic does not exist"
    );
    assert_eq!(
        line("order.created/0"),
        "order.created/0 40 41 50 3 41 o-1 handling 1m ago 2 in 1s payment timed out"
    );
    assert_eq!(
        line("order.created/1"),
        "order.created/1 7 7 9 0 - - - - - - -"
    );
    assert!(
        !told.stdout.contains("order.created/2 5"),
        "it waits for nothing"
    );
    assert_eq!(
        line("o-2"),
        "o-2 order.created/2 3 4 5 10m ago in 1m carrier is down"
    );
    assert_eq!(
        line("o-3"),
        "o-3 order.created/2 4 1 1 - when redriven no such product"
    );
}

#[tokio::test]
async fn a_worker_without_partitions_says_what_it_waits_for() {
    let mut page = page();
    page["ready"] = false.into();
    page["partitions"] = json!([]);
    let worker = answering(&page).await;

    let told = stuck(&["--worker", &worker]).await;

    assert_eq!(told.code, 0, "{told:?}");
    let first =
        "shop: 0 partitions, 3 in flight, 2 keys parked, not ready\n  no partitions: the group";
    assert!(told.stdout.starts_with(first), "{}", told.stdout);
}

#[tokio::test]
async fn machines_are_told_the_same() {
    let worker = answering(&page()).await;
    let told = stuck(&["--json", "--worker", &worker]).await;
    assert_eq!(told.code, 0, "{told:?}");
    let pages: Value = serde_json::from_str(&told.stdout).expect("JSON");
    assert_eq!(pages[0]["partitions"], page()["partitions"]);
    assert_eq!(pages[0]["parked"], page()["parked"]);
}

#[tokio::test]
async fn a_worker_that_does_not_answer_is_named_and_the_others_are_told() {
    let worker = answering(&page()).await;
    // Nothing listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = gone.local_addr().expect("bound").to_string();
    drop(gone);
    let told = stuck(&["--worker", &worker, "--worker", &silent]).await;
    assert_eq!(told.code, 1, "{told:?}");
    assert!(told.stdout.contains("shop: 3 partitions"), "{told:?}");
    assert!(
        told.stderr.contains(&silent) && told.stderr.contains("--admin-listen"),
        "{told:?}"
    );
}

#[tokio::test]
async fn whoever_knows_no_such_page_is_told_as_no_worker() {
    let other = answering_with("404 Not Found", &json!({})).await;
    let told = stuck(&["--worker", &other]).await;
    assert_eq!(told.code, 1, "{told:?}");
    let expected = format!("{other} is no Longshore worker: /status is 404 Not Found");
    assert!(told.stderr.contains(&expected), "{told:?}");
    assert!(!told.stderr.contains("did not answer"), "{told:?}");

    let other = answering(&json!({"hello": "there"})).await;
    let told = stuck(&["--worker", &other]).await;
    assert!(told.stderr.contains("is no Longshore worker"), "{told:?}");
}
