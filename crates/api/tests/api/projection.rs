//! The projection ends the same, whatever the order in which events are heard, and however often.

use jiff::{SignedDuration, Timestamp};
use longshore_event::{Event, Headers, Offset, Record, TopicPartition, attribute};
use longshore_orders::{
    Currency, Item, Money, OrderCreated, OrderDelivered, OrderPaid, OrderShipped,
};
use serde_json::Value;

use crate::support::Fixture;

fn record<E: Event>(event: &E) -> Record {
    let mut headers = Headers::new();
    headers.push_str(attribute::ID, &format!("e-{}", E::TYPE));
    headers.push_str(attribute::SOURCE, "test");
    headers.push_str(attribute::CORRELATION_ID, "c-1");
    Record {
        partition: TopicPartition::new(E::TOPIC, 0),
        offset: Offset(0),
        timestamp: None,
        key: Some(event.key().to_owned().into()),
        value: Some(serde_json::to_vec(event).expect("JSON").into()),
        headers,
    }
}

pub(crate) fn life(order_id: &str) -> [Record; 4] {
    let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
    let order_id = order_id.to_owned();
    let price = Money::new(700, Currency::EUR);
    [
        record(&OrderCreated {
            order_id: order_id.clone(),
            user_id: "u-1".to_owned(),
            items: vec![Item {
                sku: "A".to_owned(),
                quantity: 1,
                unit_price: price,
            }],
            created_at: Some(at(1)),
        }),
        record(&OrderPaid {
            order_id: order_id.clone(),
            payment_id: "p-1".to_owned(),
            amount: price,
            paid_at: at(2),
        }),
        record(&OrderShipped {
            order_id: order_id.clone(),
            carrier: "post".to_owned(),
            tracking_number: "t-1".to_owned(),
            shipped_at: at(3),
        }),
        record(&OrderDelivered {
            order_id,
            delivered_at: at(4),
        }),
    ]
}

/// All orders of four events.
fn permutations() -> Vec<Vec<usize>> {
    let mut all = Vec::new();
    for code in 0..256 {
        let order: Vec<usize> = (0..4).map(|place| code >> (2 * place) & 3).collect();
        if (0..4).all(|event| order.contains(&event)) {
            all.push(order);
        }
    }
    all
}

#[tokio::test]
async fn every_order_of_events_heard_twice_ends_in_the_same_projection() {
    let api = Fixture::start().await;
    let permutations = permutations();
    assert_eq!(permutations.len(), 24);
    let mut expected: Option<(Value, Value)> = None;
    for (number, order) in permutations.iter().enumerate() {
        let id = format!("o-{number}");
        let events = life(&id);
        for &event in order {
            api.project(vec![events[event].clone(), events[event].clone()])
                .await;
        }
        let mut found = api.get(&format!("/orders/{id}")).await.body;
        let mut timeline = api.get(&format!("/orders/{id}/timeline")).await.body;
        found["orderId"] = Value::Null;
        timeline["orderId"] = Value::Null;
        let seen = (found, timeline);
        let expected = expected.get_or_insert_with(|| seen.clone());
        assert_eq!(&seen, expected, "{order:?}");
    }
    let (order, timeline) = expected.expect("24 orders");
    assert_eq!(order["status"], "delivered");
    assert_eq!(order["trackingNumber"], "t-1");
    assert_eq!(order["createdAt"], "1970-01-01T00:00:01Z");
    assert_eq!(order["updatedAt"], "1970-01-01T00:00:04Z");
    let events = timeline["events"].as_array().expect("a list");
    let names: Vec<&Value> = events.iter().map(|event| &event["event"]).collect();
    assert_eq!(
        names,
        [
            "order.created",
            "order.paid",
            "order.shipped",
            "order.delivered"
        ]
    );
    assert_eq!(events[0]["correlationId"], "c-1");
}
