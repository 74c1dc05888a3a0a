//! Compaction: the last record of each key stays, where it is.

use futures_util::future::try_join_all;
use longshore_testkit::broker::TestBroker;
use longshore_testkit::wait::eventually;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::OwnedMessage;
use rdkafka::producer::Producer;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::transactions::{abort, commit, transactional};
use super::{SEGMENT_BYTES, SEGMENT_FILLER, bounds, cleaned_within, configured_topic};
use crate::support::client::{Sent, WITHIN, consumer, producer, send, take};

/// Offset, key and value of a record.
type Found = (i64, String, Option<String>);

/// A topic that is compacted as soon as there is a segment to compact.
async fn compacted(configs: &[(&str, &str)]) -> (&'static TestBroker, String) {
    let compacted = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", SEGMENT_BYTES),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    configured_topic(&[&compacted, configs].concat()).await
}

/// Sends records in one batch or several, in order; a value that is none is a tombstone.
async fn put(broker: &TestBroker, topic: &str, records: &[(&str, Option<&str>)]) {
    let properties = [("linger.ms", "20"), ("compression.type", "none")];
    let producer = producer(broker.bootstrap(), &properties);
    let records: Vec<_> = records
        .iter()
        .map(|(key, value)| Sent {
            value: value.map(Into::into),
            ..Sent::new(key, "")
        })
        .collect();
    let sending = records.iter().map(|record| send(&producer, topic, record));
    try_join_all(sending).await.expect("all sent");
}

/// Ends the segment that is written, by a record that has no place in it any more: only what is before that is compacted.
async fn end_segment(broker: &TestBroker, topic: &str) {
    let producer = producer(broker.bootstrap(), &[]);
    for _ in 0..2 {
        let filler = Sent::new("filler", vec![b'f'; SEGMENT_FILLER]);
        send(&producer, topic, &filler).await.expect("sent");
    }
}

/// Everything that is in the log, without the values of fillers.
async fn everything(broker: &TestBroker, topic: &str) -> Vec<Found> {
    let (_, end) = bounds(broker, topic).await;
    let reader = consumer(broker.bootstrap());
    let mut assignment = TopicPartitionList::new();
    let added = assignment.add_partition_offset(topic, 0, Offset::Beginning);
    added.expect("a valid offset");
    reader.assign(&assignment).expect("assigns");
    let reading = tokio::task::spawn_blocking(move || {
        let mut found: Vec<Found> = Vec::new();
        // The last record is never compacted, as the segment that is written is not.
        while found.last().is_none_or(|(offset, ..)| offset + 1 < end) {
            let next = take(&reader, 1, WITHIN);
            found.push(shown(next.first().expect("another record")));
        }
        found
    });
    reading.await.expect("reads")
}

fn shown(message: &OwnedMessage) -> Found {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let key = text(message.key().expect("a key"));
    let value = message.payload().map(|value| match key.as_str() {
        "filler" => String::new(),
        _ => text(value),
    });
    (message.offset(), key, value)
}

fn found(offset: i64, key: &str, value: Option<&str>) -> Found {
    (offset, key.to_owned(), value.map(str::to_owned))
}

/// Waits until these are all the records of the log.
async fn only_left(broker: &TestBroker, topic: &str, expected: &[Found]) {
    let within = cleaned_within(broker);
    eventually("a compacted log", within, async || {
        let left = everything(broker, topic).await;
        (left == expected).then_some(()).ok_or(left)
    })
    .await;
}

#[tokio::test]
async fn the_last_record_of_each_key_stays_at_its_offset() {
    let (broker, topic) = compacted(&[]).await;
    let records = [
        ("a", Some("1")),
        ("b", Some("1")),
        ("a", Some("2")),
        ("gone", Some("1")),
        ("b", Some("2")),
        ("gone", None),
        ("c", Some("1")),
    ];

    put(broker, &topic, &records).await;
    end_segment(broker, &topic).await;

    // The second filler is in the segment that is written, where compaction does not look: the first one stays too.
    let expected = [
        found(2, "a", Some("2")),
        found(4, "b", Some("2")),
        found(5, "gone", None),
        found(6, "c", Some("1")),
        found(7, "filler", Some("")),
        found(8, "filler", Some("")),
    ];
    only_left(broker, &topic, &expected).await;
    assert_eq!(bounds(broker, &topic).await, (0, 9));
}

#[tokio::test]
async fn a_tombstone_goes_when_its_retention_is_over() {
    let (broker, topic) = compacted(&[("delete.retention.ms", "1")]).await;
    put(
        broker,
        &topic,
        &[("a", Some("1")), ("a", None), ("b", Some("1"))],
    )
    .await;
    end_segment(broker, &topic).await;
    let is_compacted = |left: &[Found]| left.first().is_none_or(|(offset, ..)| *offset > 0);
    eventually("a compacted log", cleaned_within(broker), async || {
        let left = everything(broker, &topic).await;
        is_compacted(&left).then_some(()).ok_or(left)
    })
    .await;

    // The time of a tombstone begins with the first compaction that keeps it (KIP-534), and Apache Kafka begins no other
    // before there is something new to compact.
    end_segment(broker, &topic).await;

    let expected = [
        found(2, "b", Some("1")),
        found(5, "filler", Some("")),
        found(6, "filler", Some("")),
    ];
    only_left(broker, &topic, &expected).await;
    assert_eq!(bounds(broker, &topic).await, (0, 7));
}

#[tokio::test]
async fn what_transactions_have_written_is_compacted_and_what_was_aborted_hides_nothing() {
    let (broker, topic) = compacted(&[]).await;
    let writer = transactional(broker, &topic, &[("compression.type", "none")]).await;
    for (records, is_committed) in [
        (&[("a", "1"), ("b", "1")][..], true),
        (&[("a", "2")], false),
        (&[("b", "2")], true),
    ] {
        writer.begin_transaction().expect("begun");
        for (key, value) in records {
            let sent = send(&writer, &topic, &Sent::new(key, *value)).await;
            sent.expect("sent");
        }
        match is_committed {
            true => commit(&writer).await.expect("committed"),
            false => abort(&writer).await.expect("aborted"),
        }
    }
    end_segment(broker, &topic).await;

    // Each transaction is followed by its marker.
    let expected = [
        found(0, "a", Some("1")),
        found(5, "b", Some("2")),
        found(7, "filler", Some("")),
        found(8, "filler", Some("")),
    ];
    only_left(broker, &topic, &expected).await;
    assert_eq!(bounds(broker, &topic).await, (0, 9));
}

#[tokio::test]
async fn a_compacted_topic_takes_no_record_without_a_key() {
    let (broker, topic) = compacted(&[]).await;
    let producer = producer(broker.bootstrap(), &[]);
    let keyless = Sent {
        key: None,
        ..Sent::new("", "v")
    };

    let refused = send(&producer, &topic, &keyless).await;

    let code = refused.expect_err("refused").rdkafka_error_code();
    assert_eq!(code, Some(RDKafkaErrorCode::InvalidRecord));
    assert_eq!(bounds(broker, &topic).await, (0, 0));
}
