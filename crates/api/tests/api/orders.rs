//! Orders: placed once, cancelled in time, and answered as far as their events have been heard.

use axum::body::Body;
use axum::http::{HeaderValue, Request, StatusCode};
use jiff::Timestamp;
use longshore_event::attribute;
use longshore_orders::{Currency, Money, OrderPaid};
use serde_json::{Value, json};

use crate::support::{Fixture, json as json_request};

pub(crate) fn order() -> Value {
    json!({"userId": "u-7", "items": [
        {"sku": "CD-12", "quantity": 2, "unitPrice": {"amount": 1466, "currency": "USD"}},
    ]})
}

fn paid(order_id: &str) -> OrderPaid {
    OrderPaid {
        order_id: order_id.to_owned(),
        payment_id: "p-1".to_owned(),
        amount: Money::new(2932, Currency::USD),
        paid_at: Timestamp::now(),
    }
}

fn id_of(order: &Value) -> String {
    order["orderId"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn an_order_is_pending_at_once_and_its_event_says_what_was_ordered() {
    let api = Fixture::start().await;

    let placed = api.post("/orders", &order()).await;

    assert_eq!(placed.status, StatusCode::CREATED, "{placed:?}");
    assert_eq!(placed.body["status"], "pending");
    assert_eq!(
        placed.body["total"],
        json!({"amount": 2932, "currency": "USD"})
    );
    let location = placed.headers["location"].to_str().expect("text");
    let found = api.get(location).await;
    assert_eq!((found.status, &found.body), (StatusCode::OK, &placed.body));
    let events = api.published("order.created", 1).await;
    let event: Value =
        serde_json::from_slice(events[0].value.as_ref().expect("a value")).expect("JSON");
    assert_eq!(event["orderId"], placed.body["orderId"]);
    assert_eq!(event["items"], order()["items"]);
    assert_eq!(event["createdAt"], placed.body["createdAt"]);
}

#[tokio::test]
async fn the_same_key_and_body_is_the_same_order_and_another_body_is_refused() {
    let api = Fixture::start().await;
    let mut other = order();
    other["items"][0]["quantity"] = 3.into();

    let first = api.order("k-1", &order()).await;
    let again = api.order("k-1", &order()).await;
    let reused = api.order("k-1", &other).await;
    let another = api.order("k-2", &other).await;

    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(reused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(reused.body["type"], "urn:longshore:problem:key-reused");
    assert_ne!(another.body["orderId"], first.body["orderId"]);
    api.published("order.created", 2).await;
}

#[tokio::test]
async fn the_correlation_id_and_the_trace_of_a_request_are_those_of_its_event() {
    let api = Fixture::start().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut request = json_request("POST", "/orders", &order(), None);
    request
        .headers_mut()
        .insert("x-correlation-id", "c-17".parse().expect("a value"));
    request
        .headers_mut()
        .insert("traceparent", trace.parse().expect("a value"));

    let placed = api.send(request).await;

    assert_eq!(placed.headers["x-correlation-id"], "c-17");
    assert_eq!(placed.headers["traceparent"], trace);
    let events = api.published("order.created", 1).await;
    let header = |name| {
        events[0]
            .headers
            .get_str(name)
            .expect("a header")
            .to_owned()
    };
    assert_eq!(header(attribute::CORRELATION_ID), "c-17");
    assert!(header(attribute::TRACE_PARENT).starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
    assert_ne!(header(attribute::TRACE_PARENT), trace);
}

#[tokio::test]
async fn a_correlation_id_that_readers_of_events_would_refuse_is_replaced() {
    let api = Fixture::start().await;
    for id in ["a\tb", "a b", &"x".repeat(129)] {
        let mut request = json_request("POST", "/orders", &order(), None);
        let value = HeaderValue::from_str(id).expect("a value");
        request.headers_mut().insert("x-correlation-id", value);
        let placed = api.send(request).await;
        let given = placed.headers["x-correlation-id"].to_str().expect("text");
        assert_eq!(given.len(), 36, "{given}");
    }
    // It takes none that it cannot read.
    api.project(api.published("order.created", 3).await).await;
}

#[tokio::test]
async fn a_request_without_a_correlation_id_is_given_one() {
    let api = Fixture::start().await;
    let placed = api.post("/orders", &order()).await;
    let given = placed.headers["x-correlation-id"].to_str().expect("text");
    let events = api.published("order.created", 1).await;
    assert_eq!(
        events[0].headers.get_str(attribute::CORRELATION_ID),
        Some(given)
    );
}

#[tokio::test]
async fn what_its_events_tell_is_answered_with_the_time_of_each() {
    let api = Fixture::start().await;
    let placed = api.post("/orders", &order()).await;
    let id = id_of(&placed.body);
    api.project(api.published("order.created", 1).await).await;
    api.hear(&paid(&id)).await;

    let found = api.get(&format!("/orders/{id}")).await;
    let timeline = api.get(&format!("/orders/{id}/timeline")).await;
    let listed = api.get("/orders?status=paid&userId=u-7").await;
    let none = api.get("/orders?status=pending").await;

    assert_eq!(found.body["status"], "paid");
    assert_eq!(found.body["paymentId"], "p-1");
    let events = timeline.body["events"].as_array().expect("a list");
    let names: Vec<_> = events.iter().map(|event| &event["event"]).collect();
    assert_eq!(names, ["order.created", "order.paid"]);
    assert_eq!(events[0]["at"], placed.body["createdAt"]);
    assert_eq!(listed.body["total"], 1);
    assert_eq!(listed.body["items"][0], found.body);
    assert_eq!(none.body["total"], 0);
}

#[tokio::test]
async fn a_pending_order_can_be_cancelled_and_asking_again_changes_nothing() {
    let api = Fixture::start().await;
    let id = id_of(&api.post("/orders", &order()).await.body);
    let path = format!("/orders/{id}/cancellation");
    let ask = || Request::post(&path).body(Body::empty()).expect("a request");

    let first = api.send(ask()).await;
    let again = api.send(ask()).await;

    assert_eq!(
        (first.status, again.status),
        (StatusCode::ACCEPTED, StatusCode::ACCEPTED)
    );
    let requested = api.published("order.cancellation-requested", 1).await;
    let event: Value =
        serde_json::from_slice(requested[0].value.as_ref().expect("a value")).expect("JSON");
    assert_eq!(
        (&event["orderId"], &event["reason"]),
        (&json!(id), &json!("customer_request"))
    );
}

#[tokio::test]
async fn a_paid_order_cannot_be_cancelled_and_an_unknown_one_is_not_found() {
    let api = Fixture::start().await;
    api.hear(&paid("o-paid")).await;
    let cancel = async |id: &str| {
        let request = Request::post(format!("/orders/{id}/cancellation"));
        api.send(request.body(Body::empty()).expect("a request"))
            .await
    };

    let late = cancel("o-paid").await;
    let unknown = cancel("o-unknown").await;

    assert_eq!(late.status, StatusCode::CONFLICT);
    assert_eq!(late.body["type"], "urn:longshore:problem:too-late");
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert!(api.log.records("order.cancellation-requested").is_empty());
}
