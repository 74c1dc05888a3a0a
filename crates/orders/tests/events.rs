//! Events as they come from others: what is accepted, and what is refused with the field's name.

use longshore_event::{Envelope, Headers, Limits, Offset, Record, TopicPartition};
use longshore_orders::{CancelReason, Currency, Money, OrderCancelled, OrderCreated, OrderEvent};

fn decode(value: &str) -> Result<Envelope<OrderCreated>, String> {
    let record = Record {
        partition: TopicPartition::new("order.created", 0),
        offset: Offset(0),
        timestamp: None,
        key: Some("o-1".into()),
        value: Some(value.to_owned().into()),
        headers: Headers::new(),
    };
    Envelope::decode(record, &Limits::default()).map_err(|undecodable| {
        let cause = std::error::Error::source(&undecodable.error).map(ToString::to_string);
        format!("{}; {}", undecodable.error, cause.unwrap_or_default())
    })
}

fn order(items: &str) -> String {
    format!(r#"{{"orderId":"o-1","userId":"u-7","items":[{items}]}}"#)
}

fn item(quantity: &str, amount: &str, currency: &str) -> String {
    format!(
        r#"{{"sku":"CD-12","quantity":{quantity},"unitPrice":{{"amount":{amount},"currency":"{currency}"}}}}"#
    )
}

#[test]
fn the_order_of_the_design_is_accepted_with_fields_nobody_knows() {
    let order = decode(
        r#"{"orderId":"o-1","userId":"u-7","items":[{"sku":"CD-12","quantity":2,"unitPrice":{"amount":1466,"currency":"USD"},"gift":true}],"createdAt":"2026-11-23T08:00:00Z","channel":"web"}"#,
    )
    .expect("valid");

    let order = order.event();
    assert_eq!(order.total(), Ok(Money::new(2932, Currency::USD)));
    assert_eq!(
        order.created_at.map(|at| at.to_string()).as_deref(),
        Some("2026-11-23T08:00:00Z")
    );
}

#[test]
fn a_time_may_be_missing_and_a_total_may_be_zero() {
    let order = decode(&order(&item("1", "0", "USD"))).expect("valid");

    assert_eq!(order.event().created_at, None);
    assert_eq!(order.event().total(), Ok(Money::new(0, Currency::USD)));
}

#[test]
fn what_is_wrong_is_told_with_its_field() {
    let most = i64::MAX.to_string();
    let usd = item("1", "1", "USD");
    for (value, expected) in [
        (
            r#"{"orderId":"","userId":"u","items":[]}"#.to_owned(),
            "orderId must not be empty",
        ),
        (
            r#"{"orderId":"o","userId":"","items":[]}"#.to_owned(),
            "userId must not be empty",
        ),
        (order(""), "items must not be empty"),
        (
            order(&item("0", "1", "USD")),
            "items[0].quantity must be at least 1",
        ),
        (
            order(&item("1", "-1", "USD")),
            "items[0].unitPrice.amount must not be negative",
        ),
        (
            order(&item("2", &most, "USD")),
            "items: the amount is larger",
        ),
        (
            order(&format!("{usd},{}", item("1", &most, "USD"))),
            "items: the amount is larger",
        ),
        (
            order(&format!("{usd},{}", item("1", "1", "EUR"))),
            "USD and EUR are mixed",
        ),
        (order(&item("1", "1", "usd")), "three capital letters"),
        (order(&item("1", "1.5", "USD")), "floating point"),
        (order(&item("-1", "1", "USD")), "invalid value"),
        (r#"{"userId":"u"}"#.to_owned(), "missing field `orderId`"),
    ] {
        let error = decode(&value).expect_err(&value);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_cancellation_names_its_reason_on_the_wire() {
    let event = OrderCancelled {
        order_id: "o-1".into(),
        reason: CancelReason::PaymentDeclined,
        cancelled_at: "2026-11-23T08:00:00Z".parse().expect("time"),
    };
    assert_eq!(
        serde_json::to_string(&event).expect("JSON"),
        r#"{"orderId":"o-1","reason":"payment_declined","cancelledAt":"2026-11-23T08:00:00Z"}"#
    );
    assert_eq!(event.reason.as_str(), "payment_declined");
}

#[test]
fn any_event_of_an_order_is_told_by_its_topic() {
    let value = |topic: &str| {
        match topic {
        "order.created" => order(&item("1", "5", "USD")),
        "order.paid" => r#"{"orderId":"o-1","paymentId":"p","amount":{"amount":5,"currency":"USD"},"paidAt":"2026-01-01T00:00:00Z"}"#.to_owned(),
        "order.shipped" => r#"{"orderId":"o-1","carrier":"c","trackingNumber":"t","shippedAt":"2026-01-01T00:00:00Z"}"#.to_owned(),
        "order.delivered" => r#"{"orderId":"o-1","deliveredAt":"2026-01-01T00:00:00Z"}"#.to_owned(),
        _ => r#"{"orderId":"o-1","reason":"sold_out","cancelledAt":"2026-01-01T00:00:00Z"}"#.to_owned(),
    }
    };
    let event = |topic: &str| {
        let record = Record {
            partition: TopicPartition::new(topic, 0),
            offset: Offset(0),
            timestamp: None,
            key: None,
            value: Some(value(topic).into()),
            headers: Headers::new(),
        };
        Envelope::<OrderEvent>::decode(record, &Limits::default()).expect("valid")
    };

    for topic in OrderEvent::TOPICS {
        let decoded = event(topic);
        let of_its_topic = match decoded.event() {
            OrderEvent::Created(_) => topic == "order.created",
            OrderEvent::Paid(_) => topic == "order.paid",
            OrderEvent::Shipped(_) => topic == "order.shipped",
            OrderEvent::Delivered(_) => topic == "order.delivered",
            OrderEvent::Cancelled(_) => topic == "order.cancelled",
        };
        assert!(of_its_topic, "{topic}: {:?}", decoded.event());
        assert_eq!(decoded.event().order_id(), "o-1");
    }
}
