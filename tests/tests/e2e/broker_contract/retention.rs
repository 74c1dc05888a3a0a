//! Retention: old segments go by age and by size, and what is left is read.

use std::time::{Duration, SystemTime};

use longshore_testkit::broker::TestBroker;
use longshore_testkit::wait::eventually;
use rdkafka::{Message, Offset};

use super::{SEGMENT_BYTES, SEGMENT_FILLER, bounds, cleaned_within, configured_topic, partition};
use crate::support::client::{Sent, producer, read, send};

/// Sends records that each fill a segment, as old as told.
async fn fill(broker: &TestBroker, topic: &str, ages: &[Duration]) {
    let producer = producer(broker.bootstrap(), &[]);
    for (number, age) in ages.iter().enumerate() {
        let mut sent = Sent::new("k", vec![number as u8; SEGMENT_FILLER]);
        let written = SystemTime::now() - *age;
        let since_1970 = written.duration_since(SystemTime::UNIX_EPOCH);
        sent.timestamp = Some(since_1970.expect("after 1970").as_millis() as i64);
        let (_, offset) = send(&producer, topic, &sent).await.expect("sent");
        assert_eq!(offset, number as i64);
    }
}

/// Waits until the log begins at `start`, and sees that everything from there to `end` is read.
async fn only_left(broker: &TestBroker, topic: &str, start: i64, end: i64) {
    let within = cleaned_within(broker);
    eventually("old segments gone", within, async || {
        let found = bounds(broker, topic).await;
        (found == (start, end)).then_some(()).ok_or(found)
    })
    .await;
    let count = (end - start) as usize;
    let partitions = [partition(topic, 0)];
    let found = read(broker.bootstrap(), &partitions, Offset::Beginning, count).await;
    for (message, offset) in found.iter().zip(start..) {
        assert_eq!(message.offset(), offset);
        let value = message.payload().expect("a value");
        assert_eq!((value.len(), value[0]), (SEGMENT_FILLER, offset as u8));
    }
}

#[tokio::test]
async fn records_older_than_the_retention_go() {
    const HOUR: Duration = Duration::from_secs(60 * 60);
    let configs = [
        ("retention.ms", "3600000"),
        ("segment.bytes", SEGMENT_BYTES),
    ];
    let (broker, topic) = configured_topic(&configs).await;

    let ages = [3 * HOUR, 2 * HOUR, Duration::ZERO, Duration::ZERO];
    fill(broker, &topic, &ages).await;

    only_left(broker, &topic, 2, 4).await;
}

#[tokio::test]
async fn a_log_without_any_record_young_enough_is_emptied_and_goes_on() {
    const HOUR: Duration = Duration::from_secs(60 * 60);
    let (broker, topic) = configured_topic(&[("retention.ms", "3600000")]).await;
    fill(broker, &topic, &[3 * HOUR, 2 * HOUR]).await;
    only_left(broker, &topic, 2, 2).await;

    let producer = producer(broker.bootstrap(), &[]);
    let next = send(&producer, &topic, &Sent::new("k", "v")).await;

    assert_eq!(next.expect("sent").1, 2);
    let bootstrap = broker.bootstrap();
    let found = read(bootstrap, &[partition(&topic, 0)], Offset::Beginning, 1).await;
    assert_eq!(found[0].offset(), 2);
}

#[tokio::test]
async fn a_log_keeps_no_segment_that_its_size_does_not_need() {
    let size = (3 * SEGMENT_FILLER).to_string();
    let configs = [
        ("retention.bytes", &*size),
        ("segment.bytes", SEGMENT_BYTES),
    ];
    let (broker, topic) = configured_topic(&configs).await;

    fill(broker, &topic, &[Duration::ZERO; 6]).await;

    // Segments are a little larger than the values in them: three are enough, two would be too few.
    only_left(broker, &topic, 3, 6).await;
}
