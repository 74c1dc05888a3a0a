//! Dead letters.

use bytes::Bytes;
use jiff::Timestamp;
use longshore_event::{DeadLetter, ErrorKind, Headers, Offset, Record, TopicPartition};
use longshore_kafka::{Connection, KafkaPublisher};
use longshore_worker::Publisher;

use crate::support::Shop;

async fn publish_dead_letter(shop: &Shop, offset: i64, value: &'static [u8]) {
    let failed_at: Timestamp = "2026-11-23T08:00:00Z".parse().expect("a time");
    let letter = DeadLetter {
        topic: "order.created".into(),
        partition: 1,
        offset,
        group: "shop".into(),
        delivery_count: 4,
        message: "payment refused\nby the bank".into(),
        kind: ErrorKind::Transient,
        error_type: "Refused".into(),
        handler: "order-created".into(),
        first_failed_at: failed_at,
        last_failed_at: failed_at,
        redrive_count: 0,
    };
    let mut headers = Headers::new();
    headers.push("raw", Some(&[0xff, 0x1b]));
    let record = Record {
        partition: TopicPartition::new("order.created", 1),
        offset: Offset(offset),
        timestamp: None,
        key: Some("o-1".into()),
        value: Some(Bytes::from_static(value)),
        headers,
    };
    let publisher = KafkaPublisher::connect(&Connection::new(shop.brokers())).expect("a publisher");
    let results = publisher.publish(&[letter.record(&record)]).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

#[tokio::test]
async fn dead_letters_are_listed_and_shown_with_their_cause() {
    let shop = Shop::with_topics().await;
    publish_dead_letter(&shop, 41, br#"{"orderId":"o-1"}"#).await;
    publish_dead_letter(&shop, 42, b"\xff\x00").await;

    let list = shop.run(&["dlq", "list", "order.created"]).await.done();
    assert_eq!(list.lines().count(), 3, "{list}");
    let row = list.lines().nth(1).expect("a row");
    let place = row.split_whitespace().next().expect("a place");
    for word in [
        "o-1",
        "transient",
        "order-created",
        "shop",
        "4",
        "Refused: payment refused\\nby the bank",
        "2026-11-23T08:00:00",
    ] {
        assert!(row.contains(word), "{word} in {row}");
    }

    let shown = shop
        .run(&["dlq", "show", "order.created.dlq", place])
        .await
        .done();
    for word in [
        "payment refused",
        "order.created/1/41",
        "\"orderId\": \"o-1\"",
        "raw = \\xff\\u{1b}",
    ] {
        assert!(shown.contains(word), "{word} in {shown}");
    }
    let (partition, offset) = place.split_once('/').expect("a place");
    let second = format!(
        "{partition}/{}",
        offset.parse::<i64>().expect("a number") + 1
    );
    let shown = shop
        .run(&["dlq", "show", "order.created", &second])
        .await
        .done();
    assert!(shown.contains("\\xff\\u{0}"), "{shown}");

    let json = shop
        .run(&["dlq", "list", "order.created", "--json"])
        .await
        .json();
    assert_eq!(json[0]["failure"]["kind"], "transient");
    assert_eq!(json[1]["failure"]["offset"], 42);
}

#[tokio::test]
async fn a_place_without_a_record_says_what_there_is() {
    let shop = Shop::with_topics().await;
    publish_dead_letter(&shop, 41, b"{}").await;

    let error = shop
        .run(&["dlq", "show", "order.created", "0/99"])
        .await
        .failed();
    assert!(
        error.contains("no record at order.created.dlq/0/99"),
        "{error}"
    );
    let error = shop
        .run(&["dlq", "show", "order.created", "9/0"])
        .await
        .failed();
    assert!(error.contains("has no partition 9"), "{error}");
}

#[tokio::test]
async fn no_dead_letters_are_told_as_such() {
    let shop = Shop::with_topics().await;
    let run = shop.run(&["dlq", "list", "order.created"]).await;
    assert!(
        run.stderr.contains("no dead letters in order.created.dlq"),
        "{run:?}"
    );
    assert_eq!(run.done(), "");
}
