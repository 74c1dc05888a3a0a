//! What goes in comes out: order, keys, headers, sizes, compression.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::support::{DEADLINE, TestBroker, take, text};

const TEN_THOUSAND: usize = 10_000;

#[tokio::test]
async fn ten_thousand_idempotent_records_keep_key_order_and_headers() {
    let test = TestBroker::with_topics(&[("events", 4)]).await;
    let producer = test.producer();

    let sent: Vec<_> = (0..TEN_THOUSAND)
        .map(|n| {
            let (key, value, number) = (format!("key-{}", n % 100), n.to_string(), n.to_be_bytes());
            let headers = OwnedHeaders::new().insert(Header {
                key: "n",
                value: Some(&number),
            });
            let record = FutureRecord::to("events")
                .key(&key)
                .payload(&value)
                .headers(headers);
            producer.send_result(record).unwrap()
        })
        .collect();
    for delivery in sent {
        delivery.await.unwrap().unwrap();
    }

    let records = take(&test.consumer("readers", &["events"]), TEN_THOUSAND);
    let mut last_by_key: HashMap<Vec<u8>, usize> = HashMap::new();
    for record in &records {
        let n: usize = text(record).parse().unwrap();
        let header = record.headers().unwrap().get(0);
        assert_eq!(
            (header.key, header.value),
            ("n", Some(&n.to_be_bytes()[..]))
        );
        let key = record.key().unwrap().to_vec();
        let before = last_by_key.insert(key, n);
        assert!(before.is_none_or(|before| before < n), "order within a key");
    }
    assert_eq!(last_by_key.len(), 100);
}

#[tokio::test]
async fn tombstones_null_and_duplicate_headers_come_out_as_they_went_in() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let headers = OwnedHeaders::new()
        .insert(Header {
            key: "a",
            value: Some("1"),
        })
        .insert(Header {
            key: "a",
            value: Some("2"),
        })
        .insert(Header::<&str> {
            key: "null",
            value: None,
        })
        .insert(Header {
            key: "",
            value: Some(""),
        });
    let tombstone = FutureRecord::<str, ()>::to("t").key("k").headers(headers);

    test.producer().send(tombstone, DEADLINE).await.unwrap();

    let record = take(&test.consumer("g", &["t"]), 1).remove(0);
    assert_eq!((record.key(), record.payload()), (Some(&b"k"[..]), None));
    let headers: Vec<_> = record
        .headers()
        .unwrap()
        .iter()
        .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
        .collect();
    assert_eq!(
        headers,
        [
            ("a".to_owned(), Some(b"1".to_vec())),
            ("a".to_owned(), Some(b"2".to_vec())),
            ("null".to_owned(), None),
            (String::new(), Some(Vec::new())),
        ]
    );
}

#[tokio::test]
async fn a_record_of_900_kb_passes_and_one_of_2_mb_is_too_large() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let producer: FutureProducer = test
        .client()
        .set("message.max.bytes", "4000000")
        .create()
        .unwrap();
    let (fits, too_large) = (vec![1; 900 * 1024], vec![2; 2 * 1024 * 1024]);

    let refused = producer
        .send(FutureRecord::<(), _>::to("t").payload(&too_large), DEADLINE)
        .await;
    producer
        .send(FutureRecord::<(), _>::to("t").payload(&fits), DEADLINE)
        .await
        .unwrap();

    let (error, _) = refused.unwrap_err();
    let expected = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
    assert_eq!(error, expected);
    let record = take(&test.consumer("g", &["t"]), 1).remove(0);
    assert_eq!(record.payload().unwrap(), &fits[..]);
}

#[tokio::test]
async fn batches_pass_in_every_compression_the_client_has() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let value = "compressible ".repeat(100);

    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let producer: FutureProducer = test
            .client()
            .set("compression.codec", codec)
            .set("linger.ms", "20")
            .create()
            .unwrap_or_else(|error| panic!("the client has no {codec}: {error}"));
        let sent: Vec<_> = (0..50)
            .map(|_| {
                let record = FutureRecord::to("t").key(codec).payload(&value);
                producer.send_result(record).unwrap()
            })
            .collect();
        for delivery in sent {
            delivery.await.unwrap().unwrap();
        }
    }

    let records = take(&test.consumer("g", &["t"]), 200);
    assert!(records.iter().all(|record| text(record) == value));
    assert_eq!(records[199].offset(), 199);
}

#[tokio::test]
async fn the_brokers_clock_counts_where_a_topic_says_so() {
    let test = TestBroker::start().await;
    let topic = NewTopic::new("t", 1, TopicReplication::Fixed(1))
        .set("message.timestamp.type", "LogAppendTime");
    test.create_topic(&topic).await;
    let record = FutureRecord::<(), str>::to("t")
        .payload("x")
        .timestamp(1_000);

    test.producer().send(record, DEADLINE).await.unwrap();

    let record = take(&test.consumer("g", &["t"]), 1).remove(0);
    assert!(record.timestamp().to_millis().unwrap() > 1_700_000_000_000);
}

#[tokio::test]
async fn a_backlog_of_50_mb_in_one_partition_is_read_to_the_end() {
    const RECORDS: usize = 5_000;
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let producer = test.producer();
    let value = vec![b'x'; 10_000];
    let sent: Vec<_> = (0..RECORDS)
        .map(|_| {
            producer
                .send_result(FutureRecord::<(), _>::to("t").payload(&value))
                .unwrap()
        })
        .collect();
    for delivery in sent {
        delivery.await.unwrap().unwrap();
    }

    let consumer = test.consumer("g", &["t"]);
    for expected in 0..RECORDS as i64 {
        assert_eq!(take(&consumer, 1)[0].offset(), expected);
    }
    assert!(consumer.poll(Duration::from_millis(200)).is_none());
}
