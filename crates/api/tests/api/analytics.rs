//! `/analytics`: asked of the worker, and told as it answers.

use std::net::Ipv4Addr;

use axum::Router;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::routing::get;
use longshore_api::AnalyticsWorker;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::problems::assert_problem;
use crate::support::Fixture;

const FUNNEL: &str = r#"{"created":3,"paid":2,"shipped":2,"delivered":1,"cancelled":[{"reason":"sold_out","orders":1}]}"#;
const HOURS: &str = r#"{"hours":[{"hour":"2026-11-26T08:00:00Z","counts":[{"event":"created","currency":"USD","orders":3,"events":3,"amount":4398}]}],"hasMore":false}"#;

/// An API whose analytics worker has these routes.
async fn asking(worker: Router) -> Fixture {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(axum::serve(listener, worker).into_future());
    at(&format!("http://{address}")).await
}

async fn at(url: &str) -> Fixture {
    let worker = AnalyticsWorker::at(url.parse().expect("an address"));
    Fixture::with_analytics(worker.expect("a client")).await
}

#[tokio::test]
async fn what_the_worker_has_counted_is_told() {
    // Its answer names what it was asked for.
    let summary = async |RawQuery(asked): RawQuery| {
        let asked = asked.unwrap_or_default();
        let count = json!({"event": asked, "orders": 3, "events": 3});
        json!({"counts": [count], "steps": []}).to_string()
    };
    let worker = Router::new()
        .route("/analytics/summary", get(summary))
        .route("/analytics/hours", get(HOURS))
        .route("/analytics/funnel", get(FUNNEL));
    let api = asking(worker).await;
    for (path, expected) in [("hours", HOURS), ("funnel", FUNNEL)] {
        let answer = api.get(&format!("/analytics/{path}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let expected: Value = serde_json::from_str(expected).expect("JSON");
        assert_eq!(answer.body, expected);
    }
    let asked = "since=2026-11-26T10:00:00%2B02:00&until=2026-11-27T08:00:00Z";
    let answer = api.get(&format!("/analytics/summary?{asked}")).await;
    assert_eq!(
        answer.body["counts"][0]["event"],
        "since=2026-11-26T08%3A00%3A00Z&until=2026-11-27T08%3A00%3A00Z"
    );
}

#[tokio::test]
async fn a_time_that_is_none_is_named() {
    let api = asking(Router::new()).await;
    let answer = api.get("/analytics/hours?since=yesterday&until=").await;
    assert_problem(&answer, StatusCode::UNPROCESSABLE_ENTITY, "invalid");
    let errors = answer.body["errors"].as_array().expect("a list");
    let names: Vec<&Value> = errors.iter().map(|error| &error["parameter"]).collect();
    assert_eq!(names, ["since", "until"]);
}

#[tokio::test]
async fn without_an_address_it_is_told_what_to_set() {
    let api = Fixture::start().await;
    for path in ["summary", "hours", "funnel"] {
        let answer = api.get(&format!("/analytics/{path}")).await;
        assert_problem(&answer, StatusCode::SERVICE_UNAVAILABLE, "unavailable");
        let detail = answer.body["detail"].as_str().expect("text");
        assert!(detail.contains("ANALYTICS_URL"), "{detail}");
    }
}

#[tokio::test]
async fn a_worker_that_is_away_or_talks_nonsense_is_a_problem() {
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let address = nobody.expect("a port").local_addr().expect("an address");
    let broken = get(async || (StatusCode::SERVICE_UNAVAILABLE, "no store\n"));
    let worker = Router::new()
        .route("/analytics/summary", broken)
        .route("/analytics/funnel", get("{}"));
    let worker = asking(worker).await;
    for (api, path, detail) in [
        (
            &at(&format!("http://{address}")).await,
            "funnel",
            "does not answer",
        ),
        (&worker, "summary", "answers with status 503"),
        (&worker, "hours", "answers with status 404"),
        (&worker, "funnel", "no analytics worker of this version"),
    ] {
        let answer = api.get(&format!("/analytics/{path}")).await;
        assert_problem(&answer, StatusCode::SERVICE_UNAVAILABLE, "unavailable");
        let told = answer.body["detail"].as_str().expect("text");
        assert!(told.contains(detail), "{told}");
    }
}
