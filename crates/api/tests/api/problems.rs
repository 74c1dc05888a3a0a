//! Whatever is wrong with a request is told as a problem document, and nothing else.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures_util::stream;
use longshore_api::http::Limits;
use serde_json::{Value, json};

use crate::orders::order;
use crate::support::{Answer, Fixture};

pub(crate) fn assert_problem(answer: &Answer, status: StatusCode, kind: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.body["type"], format!("urn:longshore:problem:{kind}"));
    assert_eq!(answer.body["status"], status.as_u16());
    assert!(answer.body["title"].is_string() && answer.body["detail"].is_string());
    assert!(answer.headers.contains_key("x-correlation-id"));
}

#[tokio::test]
async fn what_is_not_there_or_not_done_there_is_a_problem() {
    let api = Fixture::start().await;
    assert_problem(
        &api.get("/nothing").await,
        StatusCode::NOT_FOUND,
        "not-found",
    );
    assert_problem(
        &api.get("/orders/o-1").await,
        StatusCode::NOT_FOUND,
        "not-found",
    );
    assert_problem(
        &api.get("/orders/%00").await,
        StatusCode::NOT_FOUND,
        "not-found",
    );
    assert_problem(
        &api.get("/users/%ff").await,
        StatusCode::NOT_FOUND,
        "not-found",
    );
    let put = Request::put("/users")
        .body(Body::empty())
        .expect("a request");
    let refused = api.send(put).await;
    assert_problem(
        &refused,
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
    );
    let allowed = refused.headers["allow"].to_str().expect("text");
    assert!(
        allowed.contains("GET") && allowed.contains("POST"),
        "{allowed}"
    );
}

#[tokio::test]
async fn each_invalid_field_is_pointed_at() {
    let api = Fixture::start().await;
    let body = json!({"userId": "", "items": [
        {"sku": "a\u{0}", "quantity": 0, "unitPrice": {"amount": -1, "currency": "USD"}},
    ]});
    let answer = api.post("/orders", &body).await;
    assert_problem(&answer, StatusCode::UNPROCESSABLE_ENTITY, "invalid");
    let errors = answer.body["errors"].as_array().expect("a list");
    let pointers: Vec<&Value> = errors.iter().map(|error| &error["pointer"]).collect();
    assert_eq!(
        pointers,
        [
            "/userId",
            "/items/0/sku",
            "/items/0/quantity",
            "/items/0/unitPrice/amount"
        ]
    );
}

#[tokio::test]
async fn what_has_the_wrong_shape_or_does_not_add_up_is_pointed_at() {
    let api = Fixture::start().await;
    let mut mixed = order();
    let other = json!({"sku": "B", "quantity": 1, "unitPrice": {"amount": 1, "currency": "EUR"}});
    mixed["items"].as_array_mut().expect("a list").push(other);
    for (body, pointer) in [
        (json!({"userId": "u-1"}), "/items"),
        (json!({"userId": 7, "items": []}), "/userId"),
        (json!({"userId": "u-1", "items": []}), "/items"),
        (json!({"userId": "u-1", "items": [], "total": 7}), "/total"),
        (mixed, "/items"),
    ] {
        let answer = api.post("/orders", &body).await;
        assert_problem(&answer, StatusCode::UNPROCESSABLE_ENTITY, "invalid");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{answer:?}");
    }
}

#[tokio::test]
async fn parameters_and_headers_are_named() {
    let api = Fixture::start().await;
    let answer = api.get("/users?limit=0&page=x&role=king").await;
    assert_problem(&answer, StatusCode::UNPROCESSABLE_ENTITY, "invalid");
    let errors = answer.body["errors"].as_array().expect("a list");
    let names: Vec<&Value> = errors.iter().map(|error| &error["parameter"]).collect();
    assert_eq!(names, ["page", "limit", "role"]);
    let answer = api.order(&"k".repeat(256), &order()).await;
    assert_problem(&answer, StatusCode::UNPROCESSABLE_ENTITY, "invalid");
    assert_eq!(answer.body["errors"][0]["header"], "Idempotency-Key");
}

#[tokio::test]
async fn a_body_must_be_json_of_a_bounded_size() {
    let api = Fixture::start().await;
    let send = async |media_type: &str, body: String| {
        let request = Request::post("/orders").header("content-type", media_type);
        api.send(request.body(Body::from(body)).expect("a request"))
            .await
    };
    let text = send("text/plain", order().to_string()).await;
    assert_problem(
        &text,
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
    );
    let broken = send("application/json", "{".to_owned()).await;
    assert_problem(&broken, StatusCode::BAD_REQUEST, "malformed");
    let large = send("application/json; charset=utf-8", " ".repeat(64 * 1024 + 1)).await;
    assert_problem(&large, StatusCode::PAYLOAD_TOO_LARGE, "too-large");
}

#[tokio::test]
async fn a_request_that_takes_too_long_holds_its_place_no_longer() {
    let limits = Limits {
        concurrency: 1,
        timeout: Duration::from_secs(3),
    };
    let api = Fixture::with(limits).await;
    // Its body never comes.
    let never = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let request = Request::post("/orders").header("content-type", "application/json");
    let slow = api.send(request.body(never).expect("a request"));
    let (slow, refused, health) = tokio::join!(slow, api.get("/orders"), api.get("/healthz"));
    assert_problem(&slow, StatusCode::SERVICE_UNAVAILABLE, "timeout");
    assert_problem(&refused, StatusCode::SERVICE_UNAVAILABLE, "overloaded");
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(health.status, StatusCode::OK);
    assert_eq!(api.get("/orders").await.status, StatusCode::OK);
}

#[tokio::test]
async fn readiness_and_metrics_are_told() {
    let api = Fixture::start().await;
    api.get("/orders/o-1").await;
    assert_eq!(api.get("/readyz").await.status, StatusCode::OK);
    let metrics = api.get("/metrics").await.body;
    let metrics = metrics.as_str().expect("text");
    let counted =
        r#"longshore_api_requests_total{method="GET",route="/orders/{orderId}",status="404"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
    assert!(
        metrics.contains(r#"longshore_api_query_seconds_count{name="get-order",outcome="done"} 1"#),
        "{metrics}"
    );
}
