//! The jobs of the order system, called directly: mails, payments and reports. No broker.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use jiff::Timestamp;
use longshore_event::{Envelope, ErrorKind, Headers, Limits, Offset, Record, TopicPartition};
use longshore_jobs::{Job, JobHandler};
use longshore_orders::job::{
    ChargeOrder, Email, EmailJobs, JobsHandler, JobsMessage, MIGRATIONS, MailDirectory, Mailer,
    PaymentJobs, ReportJobs, ReportTable, SalesReport, Smtp,
};
use longshore_orders::sandbox::{DECLINED, FLAKY};
use longshore_orders::{Item, Money, OrderServices, Sandbox, ServiceError};
use longshore_services::{Addresses, CallSettings, Service, ServiceClient};
use longshore_store::{SqlStore, StoreUrl};
use longshore_worker::{Context, Handler};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

const FROM: &str = "Shop <shop@example.org>";

fn mail() -> Email {
    Email {
        to: "Ada <ada@example.org>".to_owned(),
        subject: "Grüße".to_owned(),
        text: "Hello.".to_owned(),
        html: Some("<p>Hello.</p>".to_owned()),
    }
}

async fn store(dir: &TempDir) -> SqlStore {
    let url = StoreUrl::sqlite(dir.path().join("jobs.db"));
    let store = SqlStore::open(&url, "jobs", MIGRATIONS).await;
    store.expect("opens")
}

#[tokio::test]
async fn a_mail_that_is_sent_again_is_the_same_file() {
    let dir = tempfile::tempdir().expect("directory");
    let mailer = MailDirectory::new(dir.path().join("mails"), FROM).expect("a sender");
    let jobs = EmailJobs(mailer.clone());
    for attempt in [1, 2] {
        let job = Job::new("welcome/u-7", mail(), attempt, 3);
        jobs.run(&job).await.expect("sent");
        assert_eq!(job.lines(), ["sent to Ada <ada@example.org>"]);
    }
    let files = std::fs::read_dir(mailer.directory()).expect("a directory");
    assert_eq!(files.count(), 1);
    let text = std::fs::read_to_string(mailer.file("welcome/u-7")).expect("the mail");
    for part in [
        "From: Shop <shop@example.org>",
        "To: Ada <ada@example.org>",
        "Message-ID: <",
        "Hello.",
        "<p>Hello.</p>",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn what_is_no_address_fails_for_good() {
    let dir = tempfile::tempdir().expect("directory");
    let mailer = MailDirectory::new(dir.path(), FROM).expect("a sender");
    let lost = Email {
        to: "nobody".to_owned(),
        ..mail()
    };
    let failure = EmailJobs(mailer).run(&Job::new("j-1", lost, 1, 3)).await;
    assert_eq!(failure.expect_err("refused").kind(), ErrorKind::Permanent);
    assert!(MailDirectory::new(dir.path(), "nobody").is_err());
}

/// Takes one mail, answers its recipient as told, and returns what it was sent.
async fn mail_server(listener: TcpListener, recipient: &'static str) -> Vec<String> {
    let (stream, _) = listener.accept().await.expect("a client");
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut said = Vec::new();
    let mut in_data = false;
    write.write_all(b"220 test\r\n").await.expect("greeted");
    while let Ok(Some(line)) = lines.next_line().await {
        let answer = match line.get(..4).unwrap_or_default() {
            _ if in_data && line != "." => None,
            "RCPT" => Some(recipient),
            "DATA" => Some("354 go on"),
            "QUIT" => Some("221 bye"),
            _ => Some("250 ok"),
        };
        in_data = (in_data || answer == Some("354 go on")) && line != ".";
        said.push(line);
        if let Some(answer) = answer {
            let sent = write.write_all(format!("{answer}\r\n").as_bytes()).await;
            if sent.is_err() {
                break;
            }
        }
    }
    said
}

#[tokio::test]
async fn a_mail_goes_over_smtp_and_the_server_says_what_to_do_next() {
    for (recipient, sent) in [
        ("250 ok", Ok(())),
        ("450 come back later", Err(ErrorKind::Transient)),
        ("550 no such user", Err(ErrorKind::Permanent)),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(mail_server(listener, recipient));
        let smtp = Smtp::new(&format!("smtp://{address}"), FROM).expect("usable");

        let result = smtp.send("j-1", &mail()).await;

        let kind = result.map_err(|error| match error {
            ServiceError::Unavailable { .. } => ErrorKind::Transient,
            ServiceError::Rejected { .. } => ErrorKind::Permanent,
        });
        assert_eq!(kind, sent, "{recipient}");
        drop(smtp);
        let said = server.await.expect("no panic");
        let has_id = said.iter().any(|line| line.starts_with("Message-ID: <"));
        assert_eq!(has_id, sent.is_ok());
    }
}

fn charge(order: &str, sku: &str) -> ChargeOrder {
    let money = json!({"amount": 1466, "currency": "USD"});
    let item = json!({"sku": sku, "quantity": 1, "unitPrice": money});
    ChargeOrder {
        order_id: order.to_owned(),
        user_id: "u-7".to_owned(),
        amount: serde_json::from_value::<Money>(money).expect("money"),
        items: vec![serde_json::from_value::<Item>(item).expect("an item")],
    }
}

#[tokio::test]
async fn a_payment_is_charged_once_for_each_job() {
    let dir = tempfile::tempdir().expect("directory");
    let store = store(&dir).await;
    let payments = PaymentJobs(Sandbox::open(&store));
    for attempt in 1..=4 {
        let run = payments
            .run(&Job::new("j-1", charge("o-1", FLAKY), attempt, 5))
            .await;
        assert_eq!(run.is_ok(), attempt >= 3, "{run:?}");
    }
    let declined = payments
        .run(&Job::new("j-2", charge("o-2", DECLINED), 1, 5))
        .await;
    assert_eq!(declined.expect_err("declined").kind(), ErrorKind::Permanent);
    let charged =
        longshore_worker::sql("select order_id from sandbox_ledger where outcome = 'charged'");
    assert_eq!(store.fetch(&charged).await.expect("the books").len(), 1);
}

#[tokio::test]
async fn a_payment_is_charged_by_the_service_whose_address_is_known() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let told = asked.clone();
    let charges = post(async move |headers: HeaderMap, Json(body): Json<Value>| {
        told.lock().expect("whole").push((headers, body));
        Json(json!({"outcome": "charged", "paymentId": "p-1"}))
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = axum::serve(listener, Router::new().route("/charges", charges));
    let server = tokio::spawn(server.into_future());
    let mut addresses = Addresses::default();
    addresses.set(Service::Payment, &url).expect("a URL");
    // Its calls are counted, so none may be tried again because the machine is slow.
    let settings = CallSettings {
        timeout: Duration::from_secs(60),
        ..CallSettings::default()
    };
    let client = ServiceClient::new(&addresses, settings).expect("a client");
    let dir = tempfile::tempdir().expect("directory");
    let payments = PaymentJobs(OrderServices::new(&client, &store(&dir).await));

    let job = Job::new("j-1", charge("o-1", "CD-12"), 1, 5);
    payments.run(&job).await.expect("charged");

    assert_eq!(job.lines(), ["charging for order o-1", "charged as p-1"]);
    let asked = asked.lock().expect("whole");
    let [(headers, body)] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    assert_eq!(body["orderId"], "o-1");
    assert!(headers.contains_key("idempotency-key"));
    assert_eq!(headers["x-correlation-id"], "j-1");
    server.abort();
}

/// Hands an event to the worker, and makes true what it decides.
async fn happens(store: &SqlStore, topic: &str, value: Value) {
    let record = Record {
        partition: TopicPartition::new(topic, 0),
        offset: Offset(0),
        timestamp: None,
        key: None,
        value: Some(value.to_string().into()),
        headers: Headers::new(),
    };
    let message = Envelope::<JobsMessage>::decode(record, &Limits::default()).expect("an event");
    let group = Arc::from("jobs");
    let mut context = Context::new(&message, &group, 1, Timestamp::UNIX_EPOCH);
    JobsHandler::new()
        .handle(&message, &mut context)
        .await
        .expect("handled");
    for write in context.writes() {
        store.execute(write).await.expect("written");
    }
}

#[tokio::test]
async fn a_report_counts_each_order_once_whatever_order_its_events_come_in() {
    let dir = tempfile::tempdir().expect("directory");
    let store = store(&dir).await;
    let created = |order: &str, at: &str| {
        json!({"orderId": order, "userId": "u-7", "createdAt": at, "items": [
            {"sku": "CD-12", "quantity": 2, "unitPrice": {"amount": 1466, "currency": "EUR"}}
        ]})
    };
    let paid = json!({"orderId": "o-1", "paymentId": "p-1", "amount": {"amount": 2932, "currency": "EUR"}, "paidAt": "2026-11-27T00:00:00Z"});
    let cancelled =
        json!({"orderId": "o-2", "reason": "sold_out", "cancelledAt": "2026-11-26T23:00:00Z"});
    happens(&store, "order.paid", paid.clone()).await;
    happens(
        &store,
        "order.created",
        created("o-1", "2026-11-26T22:00:00Z"),
    )
    .await;
    happens(&store, "order.paid", paid).await;
    happens(
        &store,
        "order.created",
        created("o-2", "2026-11-26T22:30:00Z"),
    )
    .await;
    happens(&store, "order.cancelled", cancelled).await;
    happens(
        &store,
        "order.created",
        created("o-3", "2026-11-28T00:00:00Z"),
    )
    .await;
    let reports = dir.path().join("reports");
    let jobs = ReportJobs::new(ReportTable::new(store), &reports);
    let report = SalesReport {
        from: "2026-11-26T00:00:00Z".parse().expect("a time"),
        to: "2026-11-28T00:00:00Z".parse().expect("a time"),
    };

    jobs.run(&Job::new("november", report, 1, 3))
        .await
        .expect("written");

    let text = std::fs::read_to_string(reports.join("november.csv")).expect("the report");
    assert_eq!(
        text,
        "day,currency,created,paid,cancelled,revenue_minor_units\n\
         2026-11-26,EUR,2,0,1,0\n\
         2026-11-27,EUR,0,1,0,2932\n"
    );
}
