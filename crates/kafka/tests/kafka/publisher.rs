//! Sending: order, results by record, what is unknown or too large, and odd bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use longshore_event::Headers;
use longshore_kafka::{Admin, KafkaPublisher, NewTopic};
use longshore_worker::{PublishErrorKind, Publisher};

use crate::support::{connection, new_topic, outgoing, records, subscribe, unique, within};

/// Text that compression does not make small.
fn incompressible(length: usize) -> String {
    let mut state = 1_u64;
    let next = std::iter::repeat_with(|| {
        // Knuth's linear congruential generator.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(33 + (state >> 58) as u8)
    });
    next.take(length).collect()
}

fn publisher() -> KafkaPublisher {
    KafkaPublisher::connect(&connection()).expect("valid properties")
}

#[tokio::test]
async fn records_of_one_key_keep_their_order_over_calls() {
    let topic = new_topic("order", 3).await;
    let publisher = publisher();
    for call in 0..20 {
        let batch: Vec<_> = (0..50)
            .map(|n| {
                outgoing(
                    &topic,
                    &format!("k{}", n % 5),
                    &format!("{}", call * 50 + n),
                )
            })
            .collect();
        for result in publisher.publish(&batch).await {
            result.expect("sent");
        }
    }
    let mut source = subscribe(&connection(), &unique("g"), &topic).await;
    let mut last = BTreeMap::new();
    for record in records(&mut source, 1000).await {
        let value = record.value.expect("a value");
        let value: u32 = std::str::from_utf8(&value)
            .expect("text")
            .parse()
            .expect("a number");
        let before = last.insert(record.key.expect("a key"), value);
        assert!(before.is_none_or(|before| before < value));
    }
    assert_eq!(last.len(), 5);
}

#[tokio::test]
async fn results_come_in_the_order_of_the_records() {
    let topic = new_topic("results", 2).await;
    let unknown = unique("unknown");
    let batch = [
        outgoing(&topic, "a", "1"),
        outgoing(&unknown, "b", "2"),
        outgoing(&topic, "c", "3"),
    ];
    let results = within("results", publisher().publish(&batch)).await;
    let kinds: Vec<_> = results
        .iter()
        .map(|result| result.as_ref().err().map(|error| error.kind))
        .collect();
    assert_eq!(kinds, [None, Some(PublishErrorKind::UnknownTopic), None]);
}

#[tokio::test]
async fn an_unknown_topic_is_told_soon_and_found_once_it_is_created() {
    let topic = unique("later");
    let publisher = publisher();
    let record = [outgoing(&topic, "k", "v")];
    let results = tokio::time::timeout(Duration::from_secs(20), publisher.publish(&record)).await;
    let error = results
        .expect("soon")
        .remove(0)
        .expect_err("it does not exist");
    assert_eq!(error.kind, PublishErrorKind::UnknownTopic);
    assert_eq!(*error.topic, *topic);

    let admin = Admin::connect(&connection()).expect("valid");
    let new = NewTopic {
        name: topic,
        partitions: 1,
        replication: 1,
        configs: BTreeMap::new(),
    };
    admin.create_topics(&[new]).await.expect("created");
    within("the topic to be known", async {
        while publisher.publish(&record).await.remove(0).is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_record_that_is_too_large_harms_no_other() {
    let topic = new_topic("large", 1).await;
    let large = incompressible(2_000_000);
    let fitting = incompressible(900_000);
    let batch = [
        outgoing(&topic, "k", "before"),
        outgoing(&topic, "k", &large),
        outgoing(&topic, "k", &fitting),
        outgoing(&topic, "k", "behind"),
    ];
    let results = within("results", publisher().publish(&batch)).await;
    let kinds: Vec<_> = results
        .iter()
        .map(|result| result.as_ref().err().map(|error| error.kind))
        .collect();
    assert_eq!(kinds, [None, Some(PublishErrorKind::TooLarge), None, None]);
}

#[tokio::test]
async fn keys_values_and_headers_arrive_as_they_were() {
    let topic = new_topic("bytes", 1).await;
    let mut headers = Headers::new();
    headers.push("null", None);
    headers.push("empty", Some(b""));
    headers.push_str("twice", "1");
    headers.push_str("twice", "2");
    headers.push("bytes", Some(&[0, 255, 128]));
    headers.push_str("größe", "ja");
    let mut first = outgoing(&topic, "k", "v");
    first.headers = headers.clone();
    let mut tombstone = outgoing(&topic, "k", "");
    tombstone.value = None;
    let empty = outgoing(&topic, "k", "");
    let mut no_key = outgoing(&topic, "", "v");
    no_key.key = None;
    let empty_key = outgoing(&topic, "", "v");
    let sent = [first, tombstone, empty, no_key, empty_key];
    for result in publisher().publish(&sent).await {
        result.expect("sent");
    }

    let mut source = subscribe(&connection(), &unique("g"), &topic).await;
    let read = records(&mut source, sent.len()).await;
    for (read, sent) in read.iter().zip(&sent) {
        assert_eq!(read.key, sent.key);
        assert_eq!(read.value, sent.value);
        assert_eq!(read.headers, sent.headers);
        assert!(read.timestamp.is_some());
    }
    assert_eq!(read[0].headers, headers);
}

#[tokio::test]
async fn a_header_name_with_a_nul_is_sent_and_read_without_a_panic() {
    let topic = new_topic("nul", 1).await;
    let mut record = outgoing(&topic, "k", "v");
    record.headers.push_str("a\0b", "value");
    publisher()
        .publish(&[record])
        .await
        .remove(0)
        .expect("sent");

    let mut source = subscribe(&connection(), &unique("g"), &topic).await;
    let read = records(&mut source, 1).await;
    assert_eq!(read[0].headers.get_str("a"), Some("value"));
}

#[tokio::test]
async fn a_dropped_call_leaves_the_publisher_usable() {
    let topic = new_topic("dropped", 1).await;
    // With less room than it takes, the call has to wait.
    let narrow = connection().property("queue.buffering.max.messages", "500");
    let publisher = KafkaPublisher::connect(&narrow).expect("valid properties");
    let many: Vec<_> = (0..1000)
        .map(|n| outgoing(&topic, "k", &n.to_string()))
        .collect();
    let dropped = tokio::time::timeout(Duration::ZERO, publisher.publish(&many)).await;
    assert!(dropped.is_err());
    drop(many);
    let sent = within(
        "a result",
        publisher.publish(&[outgoing(&topic, "k", "last")]),
    )
    .await;
    assert!(sent[0].is_ok());
}

#[tokio::test]
async fn more_than_the_queue_holds_is_waited_for() {
    let topic = new_topic("full", 1).await;
    let small = connection().property("queue.buffering.max.messages", "10");
    let publisher = KafkaPublisher::connect(&small).expect("valid");
    let many: Vec<_> = (0..500)
        .map(|n| outgoing(&topic, "k", &n.to_string()))
        .collect();
    let results = within("results", publisher.publish(&many)).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 500);

    let mut source = subscribe(&connection(), &unique("g"), &topic).await;
    let values: Vec<_> = records(&mut source, 500)
        .await
        .into_iter()
        .map(|r| r.value)
        .collect();
    let expected = many.into_iter().map(|record| record.value);
    assert_eq!(values, expected.collect::<Vec<Option<Bytes>>>());
}

#[tokio::test]
async fn a_topic_that_was_deleted_is_unknown_soon() {
    let topic = new_topic("removed", 2).await;
    let quick = connection().property("topic.metadata.refresh.interval.ms", "500");
    let publisher = KafkaPublisher::connect(&quick).expect("valid");
    let record = [outgoing(&topic, "k", "v")];
    publisher.publish(&record).await.remove(0).expect("sent");
    let admin = Admin::connect(&connection()).expect("valid");
    admin.delete_topics(&[&topic]).await.expect("deleted");

    within("an error", async {
        loop {
            match publisher.publish(&record).await.remove(0) {
                Err(error) if error.kind == PublishErrorKind::UnknownTopic => return,
                // What is under way just when the topic goes may fail in another way, and is tried again.
                Err(error) => assert_eq!(error.kind, PublishErrorKind::Unavailable, "{error:?}"),
                Ok(()) => {}
            }
        }
    })
    .await;
}
