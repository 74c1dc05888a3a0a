//! One order, posted to the API of `longshore up`, with everything that the system then has of it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use longshore_testkit::wait::eventually;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr};

use crate::support::{Run, longshore, run};

/// Far more than anything here takes, on a machine that is busy with other tests.
const WITHIN: Duration = Duration::from_secs(60);

/// A running `longshore up` with a directory of its own.
struct System {
    directory: TempDir,
    api: String,
    sandbox: String,
    http: Client,
    _up: Child,
    /// Held open: a process that cannot say something on it fails.
    _notes: Lines<BufReader<ChildStderr>>,
}

impl System {
    /// Waits until everything listens, on whichever ports are free.
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut up = longshore(&["up", "--orders", "1"])
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut notes = BufReader::new(up.stderr.take().expect("piped")).lines();
        let mut address = async |of: &str| {
            while let Some(line) = notes.next_line().await.expect("readable") {
                let found = line
                    .strip_prefix(of)
                    .and_then(|rest| rest.split([',', ' ']).next());
                if let Some(url) = found {
                    return url.trim_end_matches('.').to_owned();
                }
            }
            panic!("it never said {of}");
        };
        let listening = async {
            (
                address("Sandbox services on ").await,
                address("API on ").await,
            )
        };
        let (sandbox, api) = tokio::time::timeout(WITHIN, listening)
            .await
            .expect("in time");
        Self {
            directory,
            api,
            sandbox,
            http: Client::builder().no_proxy().build().expect("a client"),
            _up: up,
            _notes: notes,
        }
    }

    async fn get(&self, url: &str) -> Value {
        let (status, body) = send(self.http.get(url)).await;
        assert_eq!(status, StatusCode::OK, "{url}: {body}");
        body
    }

    async fn order(&self, key: &str) -> String {
        let price = json!({"amount": 1466, "currency": "USD"});
        let item = json!({"sku": "CD-12", "quantity": 2, "unitPrice": price});
        let order = json!({"userId": "ada", "items": [item]});
        let request = self.http.post(format!("{}/orders", self.api));
        let request = request
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(order.to_string());
        let (status, placed) = send(request).await;
        assert_eq!(status, StatusCode::CREATED, "{placed}");
        placed["orderId"].as_str().expect("an id").to_owned()
    }

    /// Runs a command where `up` runs.
    async fn command(&self, arguments: &[&str]) -> Run {
        let mut command = longshore(arguments);
        command.current_dir(self.directory.path());
        run(command, b"").await
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let printed = self
            .command(&[arguments, &["--json"]].concat())
            .await
            .done();
        serde_json::from_str(&printed).expect("JSON")
    }
}

async fn send(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status();
    let body = response.text().await.expect("a body");
    (status, serde_json::from_str(&body).expect(&body))
}

/// The subjects of the mails to somebody that lie in a directory.
fn mails_to(address: &str, directory: &Path) -> Vec<String> {
    let Ok(files) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = files.map(|file| file.expect("readable").path());
    let whole = paths.filter(|path| path.extension().is_some_and(|found| found == "eml"));
    let texts = whole.map(|path| std::fs::read_to_string(path).expect("a mail"));
    let ours = texts.filter(|text| text.contains(&format!("To: {address}\r\n")));
    let subject = |text: String| {
        let mut lines = text.lines();
        let found = lines.find_map(|line| Some(line.strip_prefix("Subject: ")?.to_owned()));
        found.expect("a subject")
    };
    let mut subjects: Vec<_> = ours.map(subject).collect();
    subjects.sort();
    subjects
}

#[tokio::test]
async fn an_order_posted_over_http_is_delivered_and_everything_knows_of_it() {
    let system = System::start().await;

    let id = system.order("first").await;
    assert_eq!(system.order("first").await, id);

    let order = format!("{}/orders/{id}", system.api);
    eventually("the order is delivered", WITHIN, async || {
        let order = system.get(&order).await;
        if order["status"] == "delivered" {
            Ok(())
        } else {
            Err(order)
        }
    })
    .await;
    let timeline = system.get(&format!("{order}/timeline")).await;
    let events = timeline["events"].as_array().expect("a list");
    let names: Vec<_> = events.iter().map(|event| &event["event"]).collect();
    assert_eq!(
        names,
        [
            "order.created",
            "order.paid",
            "order.shipped",
            "order.delivered"
        ]
    );
    let chain = &events[0]["correlationId"];
    assert!(events.iter().all(|event| &event["correlationId"] == chain));

    let directory = system.directory.path().join(".longshore/mails");
    let mails = eventually("four mails", WITHIN, async || {
        let mails = mails_to("ada@example.com", &directory);
        if mails.len() >= 4 {
            Ok(mails)
        } else {
            Err(mails)
        }
    })
    .await;
    assert_eq!(mails.len(), 4, "{mails:?}");
    assert!(
        mails.iter().all(|subject| subject.contains(&id)),
        "{mails:?}"
    );

    eventually("the saga is over", WITHIN, async || {
        let saga = system.command(&["saga", "show", &id]).await.done();
        if saga.contains(": completed,") {
            Ok(())
        } else {
            Err(saga)
        }
    })
    .await;
    let analytics = format!("{}/analytics/funnel", system.api);
    let told = eventually("both orders are counted", WITHIN, async || {
        let funnel = system.get(&analytics).await;
        let stages = ["created", "paid", "shipped", "delivered"];
        if stages.iter().all(|stage| funnel[*stage] == 2) {
            Ok(funnel)
        } else {
            Err(funnel)
        }
    })
    .await;
    assert_eq!(system.json(&["analytics", "funnel"]).await, told);
    // A mail is written before its job is known to be done.
    eventually("the jobs of the mails are done", WITHIN, async || {
        let jobs = system.json(&["jobs", "list", "--state", "completed"]).await;
        let listed = jobs["jobs"].as_array().expect("a list");
        let sent = listed.iter().filter(|job| job["queue"] == "email").count();
        if sent >= 4 { Ok(()) } else { Err(jobs) }
    })
    .await;
}

#[tokio::test]
async fn a_payment_job_is_charged_by_the_sandbox_over_http() {
    let system = System::start().await;
    let payload =
        r#"{"orderId":"o-by-hand","userId":"ada","amount":{"amount":700,"currency":"EUR"}}"#;

    let id = system
        .command(&["jobs", "add", "payment", "--payload", payload])
        .await;

    let id = id.done();
    eventually("the job is completed", WITHIN, async || {
        let shown = system.command(&["jobs", "show", id.trim()]).await;
        if shown.stdout.contains("charged as") {
            Ok(())
        } else {
            Err(shown)
        }
    })
    .await;
    // The server is at the root of what is its payment service.
    let ledger = system
        .get(&format!("{}/ledger/summary", system.sandbox))
        .await;
    let orders = ledger["orders"].to_string();
    assert!(orders.contains("o-by-hand"), "{ledger}");
}
