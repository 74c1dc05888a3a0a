//! Records: what is sent is what is read, in order, and can be found by time.

use std::collections::HashMap;

use futures_util::future::try_join_all;
use longshore_event::NextOffset;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::OwnedMessage;
use rdkafka::{Message, Offset};

use super::{configured_topic, partition, topic};
use crate::support::client::{Sent, headers, producer, read, send};

/// For records that claim to be years old, which would be deleted at once.
const FOR_EVER: (&str, &str) = ("retention.ms", "-1");

#[tokio::test]
async fn a_record_is_read_as_it_was_sent() {
    let (broker, topic) = configured_topic(&[FOR_EVER]).await;
    let producer = producer(broker.bootstrap(), &[]);
    let mut sent = Sent::new("key", vec![0, 159, 146, 150])
        .header("repeated", "1")
        .header("repeated", "2")
        .header("empty", "");
    sent.headers.push(("null".to_owned(), None));
    sent.timestamp = Some(1_700_000_000_123);

    send(&producer, &topic, &sent).await.expect("sent");

    let bootstrap = broker.bootstrap();
    let found = &read(bootstrap, &[partition(&topic, 0)], Offset::Beginning, 1).await[0];
    assert_eq!(found.key(), sent.key.as_deref());
    assert_eq!(found.payload(), sent.value.as_deref());
    assert_eq!(headers(found), sent.headers);
    assert_eq!(found.timestamp().to_millis(), sent.timestamp);
}

#[tokio::test]
async fn null_and_empty_are_different_keys_and_values() {
    let (broker, topic) = topic(1).await;
    let producer = producer(broker.bootstrap(), &[]);
    let null = Sent {
        partition: Some(0),
        ..Sent::default()
    };
    let mut empty = Sent::new("", "");
    empty.partition = Some(0);

    send(&producer, &topic, &null).await.expect("sent");
    send(&producer, &topic, &empty).await.expect("sent");

    let bootstrap = broker.bootstrap();
    let found = read(bootstrap, &[partition(&topic, 0)], Offset::Beginning, 2).await;
    assert_eq!((found[0].key(), found[0].payload()), (None, None));
    assert_eq!(
        (found[1].key(), found[1].payload()),
        (Some(&b""[..]), Some(&b""[..]))
    );
}

#[tokio::test]
async fn thousands_of_idempotent_records_stand_once_and_in_order_per_key() {
    const COUNT: usize = 20_000;
    const KEYS: usize = 97;
    let (broker, topic) = topic(6).await;
    let producer = producer(broker.bootstrap(), &[("linger.ms", "2")]);
    let sent: Vec<_> = (0..COUNT)
        .map(|number| Sent::new(&format!("k{}", number % KEYS), number.to_string()))
        .collect();

    let sending = sent.iter().map(|sent| send(&producer, &topic, sent));
    try_join_all(sending).await.expect("all sent");

    let bounds = broker.admin().offsets(&topic).await.expect("told");
    let ends: i64 = bounds.iter().map(|bounds| bounds.end.0).sum();
    assert_eq!(ends, COUNT as i64);
    let partitions: Vec<_> = (0..6).map(|number| partition(&topic, number)).collect();
    let found = read(broker.bootstrap(), &partitions, Offset::Beginning, COUNT).await;
    let mut last: HashMap<Vec<u8>, usize> = HashMap::new();
    for message in &found {
        let key = message.key().expect("a key").to_vec();
        let number = number(message);
        let before = last.insert(key, number);
        assert_eq!(before.map_or(number % KEYS, |before| before + KEYS), number);
    }
}

#[tokio::test]
async fn large_records_pass_and_those_over_the_limit_are_refused() {
    let (broker, topic) = topic(1).await;
    let producer = producer(broker.bootstrap(), &[]);
    let fits = Sent::new("fits", vec![7; 900 * 1024]);
    let over = Sent::new("over", vec![7; 2 * 1024 * 1024]);

    send(&producer, &topic, &fits).await.expect("sent");
    let refused = send(&producer, &topic, &over).await.expect_err("too large");

    assert_eq!(
        refused.rdkafka_error_code(),
        Some(RDKafkaErrorCode::MessageSizeTooLarge)
    );
    let bootstrap = broker.bootstrap();
    let found = read(bootstrap, &[partition(&topic, 0)], Offset::Beginning, 1).await;
    assert_eq!(found[0].payload(), fits.value.as_deref());
}

#[tokio::test]
async fn compressed_batches_are_read_by_any_client() {
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let (broker, topic) = topic(1).await;
        let producer = producer(
            broker.bootstrap(),
            &[("compression.type", codec), ("linger.ms", "20")],
        );
        let sent: Vec<_> = (0..200)
            .map(|number| Sent::new("k", format!("{number}").repeat(50)))
            .collect();

        let sending = sent.iter().map(|sent| send(&producer, &topic, sent));
        try_join_all(sending).await.expect("all sent");

        let bootstrap = broker.bootstrap();
        let found = read(bootstrap, &[partition(&topic, 0)], Offset::Beginning, 200).await;
        let same = found
            .iter()
            .zip(&sent)
            .all(|(found, sent)| found.payload() == sent.value.as_deref());
        assert!(same, "{codec}");
    }
}

#[tokio::test]
async fn offsets_are_found_by_time() {
    const BASE: i64 = 1_700_000_000_000;
    let (broker, topic) = configured_topic(&[FOR_EVER]).await;
    let producer = producer(broker.bootstrap(), &[]);
    for number in 0..10 {
        let mut sent = Sent::new("k", number.to_string());
        sent.timestamp = Some(BASE + 1000 * number);
        send(&producer, &topic, &sent).await.expect("sent");
    }
    let admin = broker.admin();
    let at = async |millisecond| {
        let at = jiff::Timestamp::from_millisecond(millisecond).expect("a time");
        admin.offsets_at(&topic, at).await.expect("told")[0].1
    };

    assert_eq!(at(0).await, NextOffset(0));
    assert_eq!(at(BASE + 4000).await, NextOffset(4));
    assert_eq!(at(BASE + 4001).await, NextOffset(5));
    assert_eq!(at(BASE + 60_000).await, NextOffset(10));
}

#[tokio::test]
async fn an_offset_beyond_the_end_starts_over_as_the_client_asks() {
    let (broker, topic) = topic(1).await;
    let producer = producer(broker.bootstrap(), &[]);
    send(&producer, &topic, &Sent::new("k", "0"))
        .await
        .expect("sent");

    let found = read(
        broker.bootstrap(),
        &[partition(&topic, 0)],
        Offset::Offset(999),
        1,
    )
    .await;

    assert_eq!(found[0].offset(), 0);
}

fn number(message: &OwnedMessage) -> usize {
    let text = std::str::from_utf8(message.payload().expect("a value"));
    text.expect("text").parse().expect("a number")
}
