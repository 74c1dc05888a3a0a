//! Calls against a server of this process, whose answers are written down beforehand. Time is paused: what waits, waits
//! at once, and what is never answered is given up at once.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use longshore_services::{
    Addresses, BreakerState, CallContext, CallError, CallSettings, Endpoint, Nonsense, Service,
    ServiceClient, Unavailability, read_key,
};
use longshore_worker::Failure;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{Instant, advance};

/// What the server does with a request.
#[derive(Clone, Debug)]
enum Reply {
    With(u16, String),
    Never,
}

#[derive(Clone, Debug)]
struct Seen {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
}

/// A service that answers as it is told, and the last answer for ever.
#[derive(Clone)]
struct Server(Arc<Mutex<Script>>);

struct Script {
    replies: VecDeque<Reply>,
    seen: Vec<Seen>,
}

impl Server {
    fn new(replies: impl Into<VecDeque<Reply>>) -> Self {
        Self(Arc::new(Mutex::new(Script {
            replies: replies.into(),
            seen: Vec::new(),
        })))
    }

    fn now(&self, reply: Reply) {
        self.0.lock().expect("lock").replies = [reply].into();
    }

    fn seen(&self) -> Vec<Seen> {
        self.0.lock().expect("lock").seen.clone()
    }

    async fn client(&self) -> ServiceClient {
        let router = Router::new().fallback(answer).with_state(self.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(axum::serve(listener, router).into_future());
        client(&format!("http://user:secret@{address}/v1/"))
    }
}

async fn answer(
    State(server): State<Server>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response<Body> {
    let reply = {
        let mut script = server.0.lock().expect("lock");
        script.seen.push(Seen {
            method,
            uri,
            headers,
            body,
        });
        let last = script.replies.len() == 1;
        match last {
            true => script.replies[0].clone(),
            false => script.replies.pop_front().expect("a reply"),
        }
    };
    match reply {
        Reply::With(status, body) => Response::builder()
            .status(StatusCode::from_u16(status).expect("a status"))
            .header("location", "http://127.0.0.1:1/elsewhere")
            .body(body.into())
            .expect("a response"),
        Reply::Never => std::future::pending().await,
    }
}

fn client(url: &str) -> ServiceClient {
    let mut addresses = Addresses::default();
    addresses.set(Service::Payment, url).expect("a URL");
    ServiceClient::new(&addresses, CallSettings::default()).expect("a client")
}

fn payment(client: &ServiceClient) -> &Endpoint {
    client.service(Service::Payment).expect("known")
}

fn with(status: u16, body: &str) -> Reply {
    Reply::With(status, body.to_owned())
}

fn charged() -> Reply {
    with(200, r#"{"paymentId":"p-1"}"#)
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Charged {
    payment_id: String,
}

async fn charge(client: &ServiceClient) -> Result<Charged, CallError> {
    let body = json!({"orderId": "o-1"});
    payment(client)
        .post(&["charges"], "charge:o-1", &body)
        .await
}

#[tokio::test(start_paused = true)]
async fn a_call_says_who_asks_why_and_under_which_key() {
    let server = Server::new([charged()]);
    let client = server.client().await;
    let context = CallContext {
        correlation_id: "c-1".into(),
        trace_parent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    };

    let answer = context.scope(charge(&client)).await.expect("an answer");

    assert_eq!(answer.payment_id, "p-1");
    let seen = &server.seen()[0];
    assert_eq!(
        (&seen.method, seen.uri.path()),
        (&Method::POST, "/v1/charges")
    );
    assert_eq!(seen.body, r#"{"orderId":"o-1"}"#);
    for (name, value) in [
        ("x-correlation-id", "c-1"),
        ("x-service-call", "true"),
        ("idempotency-key", "charge:o-1"),
        ("content-type", "application/json"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    ] {
        assert_eq!(seen.headers[name], value, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_cause_names_none_and_any_key_arrives() {
    let server = Server::new([charged()]);
    let client = server.client().await;
    let key = "charge:ö\r\n%1";

    let path = ["charges", "a/b c"];
    let answer: Charged = payment(&client)
        .post(&path, key, &json!({}))
        .await
        .expect("an answer");

    assert_eq!(answer.payment_id, "p-1");
    let seen = &server.seen()[0];
    assert!(!seen.headers.contains_key("x-correlation-id"));
    assert_eq!(seen.uri.path(), "/v1/charges/a%2Fb%20c");
    let arrived = read_key(seen.headers["idempotency-key"].as_bytes());
    assert_eq!(arrived.as_deref(), Some(key));
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_tried_three_times_under_one_key() {
    for status in [500, 502, 503, 408, 409, 425, 429] {
        let server = Server::new([with(status, ""), with(status, ""), charged()]);
        let client = server.client().await;
        let began = Instant::now();

        charge(&client).await.expect("the third answer");

        let waited = began.elapsed();
        let bounds = Duration::from_millis(300)..=Duration::from_millis(700);
        assert!(bounds.contains(&waited), "{status}: {waited:?}");
        let keys: Vec<_> = server
            .seen()
            .iter()
            .map(|seen| seen.headers["idempotency-key"].clone())
            .collect();
        assert_eq!(keys, ["charge:o-1"; 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn after_three_tries_the_service_is_unavailable() {
    let problem = r#"{"title":"Out of order","detail":"the bank is closed","status":503}"#;
    let server = Server::new([with(503, problem)]);
    let client = server.client().await;

    let error = charge(&client).await.expect_err("unavailable");

    assert_eq!(server.seen().len(), 3);
    let CallError::Unavailable { status, url, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*status, Some(503));
    assert!(
        url.ends_with("/v1/charges") && !url.contains("secret"),
        "{url}"
    );
    let failure = error.failure();
    assert!(!failure.is_outage(), "it was asked");
    let told = failure.message();
    assert!(
        told.ends_with("it refuses for now: status 503: Out of order: the bank is closed"),
        "{told}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rejection_is_not_repeated_and_is_permanent() {
    for status in [400, 401, 403, 404, 422] {
        let server = Server::new([with(status, "no such order")]);
        let client = server.client().await;

        let error = charge(&client).await.expect_err("rejected");

        assert_eq!(server.seen().len(), 1, "{status}");
        assert!(
            matches!(&error, CallError::Rejected { source, .. } if source.text == "no such order"),
            "{error:?}"
        );
        assert_eq!(error.failure().kind().as_str(), "permanent");
        assert_eq!(client.report()[0].failed, 0, "the service is not to blame");
    }
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_told_apart_and_not_repeated() {
    let long = format!("\"{}\"", "x".repeat(1024 * 1024));
    for (reply, what) in [
        (with(200, "<html>"), "undecodable"),
        (with(200, r#"{"paymentId":7}"#), "undecodable"),
        (with(200, ""), "undecodable"),
        (with(200, &long), "too long"),
        (with(302, ""), "unexpected"),
    ] {
        let server = Server::new([reply]);
        let client = server.client().await;

        let error = charge(&client).await.expect_err("nonsense");

        assert_eq!(server.seen().len(), 1);
        let CallError::Nonsense { source, .. } = &error else {
            panic!("{error:?}");
        };
        let found = match source {
            Nonsense::Undecodable(_) => "undecodable",
            Nonsense::TooLong(_) => "too long",
            Nonsense::Unexpected(_) => "unexpected",
        };
        assert_eq!(found, what);
        assert_eq!(client.report()[0].failed, 1, "that is the service's fault");
        assert_eq!(error.failure().kind().as_str(), "transient");
    }
}

#[tokio::test(start_paused = true)]
async fn each_try_has_three_seconds() {
    let server = Server::new([Reply::Never, Reply::Never, charged()]);
    let client = server.client().await;
    let began = Instant::now();

    charge(&client).await.expect("the third answer");

    let took = began.elapsed();
    assert!(
        took > Duration::from_secs(6) && took < Duration::from_secs(7),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_there_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);

    let error = charge(&client(&format!("http://{address}")))
        .await
        .expect_err("nobody");

    assert!(
        matches!(
            &error,
            CallError::Unavailable {
                source: Unavailability::Connection(_),
                status: None,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_that_keeps_failing_is_not_asked_until_a_probe() {
    let server = Server::new([with(503, "")]);
    let client = server.client().await;
    let mut errors = Vec::new();
    while client.report()[0].breaker == BreakerState::Closed {
        errors.push(charge(&client).await.expect_err("unavailable"));
    }
    assert_eq!(server.seen().len(), 10, "the least that it judges by");
    assert!(
        errors.iter().all(|error| !error.is_not_asked()),
        "all of them were asked"
    );

    let error = charge(&client).await.expect_err("open");
    assert!(error.is_not_asked());
    assert!(Failure::from(error).is_outage());
    assert_eq!(server.seen().len(), 10);
    assert!(client.report()[0].next_probe_ms > Some(29_000));

    // A failed probe is told as what it is, and opens it again.
    advance(Duration::from_secs(30)).await;
    let error = charge(&client).await.expect_err("still down");
    assert!(!error.is_not_asked());
    assert_eq!(server.seen().len(), 11);

    advance(Duration::from_secs(30)).await;
    server.now(charged());
    charge(&client).await.expect("it is back");
    let report = &client.report()[0];
    assert_eq!((report.breaker, report.failed), (BreakerState::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_callers_make_one_probe() {
    let server = Server::new([with(503, "")]);
    let client = server.client().await;
    while client.report()[0].breaker == BreakerState::Closed {
        charge(&client).await.expect_err("unavailable");
    }
    advance(Duration::from_secs(30)).await;
    server.now(charged());
    let asked = server.seen().len();

    let calls = (0..100).map(|_| charge(&client));
    let answers = futures_util::future::join_all(calls).await;

    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(server.seen().len(), asked + 1);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_given_up_leaves_its_place() {
    let server = Server::new([with(503, "")]);
    let client = server.client().await;
    while client.report()[0].breaker == BreakerState::Closed {
        charge(&client).await.expect_err("unavailable");
    }
    advance(Duration::from_secs(30)).await;
    server.now(Reply::Never);
    let given_up = tokio::time::timeout(Duration::from_secs(1), charge(&client)).await;
    assert!(given_up.is_err());

    server.now(charged());

    charge(&client).await.expect("the next probe");
}

#[tokio::test(start_paused = true)]
async fn health_is_asked_once_whatever_the_breaker_says() {
    let server = Server::new([with(200, "fine")]);
    let client = server.client().await;
    let health = client.health().await;
    assert_eq!(
        (health[0].service, &health[0].problem),
        (Service::Payment, &None)
    );
    assert_eq!(server.seen()[0].uri.path(), "/v1/healthz");

    server.now(with(503, "closed"));
    let health = client.health().await;
    assert!(
        health[0]
            .problem
            .as_deref()
            .is_some_and(|told| told.ends_with("status 503: closed")),
        "{health:?}"
    );
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn metrics_tell_outcomes_and_the_state_of_the_breaker() {
    let server = Server::new([with(503, "")]);
    let client = server.client().await;
    let mut registry = Registry::default();
    client.register(&mut registry);
    while client.report()[0].breaker == BreakerState::Closed {
        charge(&client).await.expect_err("unavailable");
    }
    charge(&client).await.expect_err("not asked");

    let mut text = String::new();
    encode(&mut text, &registry).expect("text");

    for line in [
        r#"longshore_service_tries_total{service="payment",outcome="unavailable"} 10"#,
        r#"longshore_service_not_asked_total{service="payment"} 2"#,
        r#"longshore_service_repeated_total{service="payment"} 7"#,
        r#"longshore_service_breaker_state{service="payment",state="open"} 1"#,
        r#"longshore_service_breaker_state{service="payment",state="closed"} 0"#,
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}
