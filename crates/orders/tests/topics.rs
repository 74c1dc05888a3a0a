//! The files in `topics/` describe a topic for every event, and their schemas agree with the Rust types.

use std::path::Path;

use longshore_topics::{Schema, TopicSpec, key_of};
use serde_json::{Value, json};

fn specs() -> Vec<TopicSpec> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../topics");
    TopicSpec::load_dir(dir).expect("topic files")
}

#[test]
fn every_event_has_a_topic_with_its_schema_and_key() {
    let specs = specs();
    for (event, _) in longshore_orders::schemas() {
        let spec = specs.iter().find(|spec| spec.name == event);
        let spec = spec.unwrap_or_else(|| panic!("{event} has no file"));
        let schema = spec.schema.as_ref().expect("schema");
        assert!(schema.ends_with(format!("{event}.json")), "{schema:?}");
        let key = match event.split_once('.') {
            Some(("user", _)) => "userId",
            Some(("job" | "jobs", _)) => "jobId",
            _ => "orderId",
        };
        assert_eq!(spec.key.as_deref(), Some(key));
    }
}

#[test]
fn what_the_schema_says_of_an_order_is_what_the_type_says() {
    let specs = specs();
    let spec = specs
        .iter()
        .find(|spec| spec.name == "order.created")
        .expect("spec");
    let schema = Schema::load(spec.schema.as_ref().expect("schema")).expect("schema");
    let order = |order_id: &str, quantity: i64, amount: i64, currency: &str| {
        json!({"orderId": order_id, "userId": "u-7", "note": "unknown fields are ignored", "items": [
            {"sku": "CD-12", "quantity": quantity, "unitPrice": {"amount": amount, "currency": currency}}
        ]})
    };
    for (order, valid) in [
        (order("o-1", 1, 0, "USD"), true),
        (order("", 1, 0, "USD"), false),
        (order("o-1", 0, 0, "USD"), false),
        (order("o-1", 1, -1, "USD"), false),
        (order("o-1", 1, 1, "usd"), false),
        (
            json!({"orderId": "o-1", "userId": "u-7", "items": []}),
            false,
        ),
    ] {
        assert_eq!(schema.validate(&order).is_ok(), valid, "{order}");
        assert_eq!(accepted(&order), valid, "{order}");
    }
    assert_eq!(
        key_of(&order("o-1", 1, 0, "USD"), "orderId").expect("key"),
        "o-1"
    );
}

fn accepted(order: &Value) -> bool {
    use longshore_event::Event;
    serde_json::from_value::<longshore_orders::OrderCreated>(order.clone())
        .is_ok_and(|order| order.check().is_ok())
}
