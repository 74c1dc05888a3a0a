//! Where a consumer goes on: committed offsets, timestamps, resets.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::FutureRecord;
use rdkafka::topic_partition_list::Offset;

use crate::support::{DEADLINE, TestBroker, take, text};

#[tokio::test]
async fn a_group_goes_on_from_what_it_committed() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    test.send("t", &["a", "b", "c"]).await;
    let consumer = test.consumer("g", &["t"]);
    take(&consumer, 3);
    let mut position = TopicPartitionList::new();
    position
        .add_partition_offset("t", 0, Offset::Offset(2))
        .unwrap();
    consumer.commit(&position, CommitMode::Sync).unwrap();
    drop(consumer);

    let next = take(&test.consumer("g", &["t"]), 1).remove(0);

    assert_eq!(text(&next), "c");
}

#[tokio::test]
async fn offsets_are_found_by_timestamp() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    // Batches of several records, so that a timestamp is found inside of one.
    let producer: rdkafka::producer::FutureProducer =
        test.client().set("linger.ms", "50").create().unwrap();
    let sent: Vec<_> = (0..100)
        .map(|n| {
            let record = FutureRecord::<(), str>::to("t")
                .payload("x")
                .timestamp(1_000 + n * 10);
            producer.send_result(record).unwrap()
        })
        .collect();
    for delivery in sent {
        delivery.await.unwrap().unwrap();
    }
    let consumer: BaseConsumer = test.group("g").create().unwrap();
    let offset_of = |timestamp| {
        let mut asked = TopicPartitionList::new();
        asked
            .add_partition_offset("t", 0, Offset::Offset(timestamp))
            .unwrap();
        let found = consumer.offsets_for_times(asked, DEADLINE).unwrap();
        found.elements()[0].offset()
    };

    assert_eq!(offset_of(0), Offset::Offset(0));
    assert_eq!(offset_of(1_500), Offset::Offset(50));
    assert_eq!(offset_of(1_501), Offset::Offset(51));
    assert_eq!(offset_of(1_990), Offset::Offset(99));
    assert_eq!(offset_of(1_991), Offset::End);
}

#[tokio::test]
async fn watermarks_count_records_and_not_batches() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let producer = test.producer();
    let sent: Vec<_> = (0..1_000)
        .map(|_| {
            producer
                .send_result(FutureRecord::<(), str>::to("t").payload("x"))
                .unwrap()
        })
        .collect();
    for delivery in sent {
        delivery.await.unwrap().unwrap();
    }
    let consumer: BaseConsumer = test.group("g").create().unwrap();

    assert_eq!(
        consumer.fetch_watermarks("t", 0, DEADLINE).unwrap(),
        (0, 1_000)
    );
}

#[tokio::test]
async fn an_offset_out_of_range_is_reset_as_the_client_says() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    test.send("t", &["a", "b"]).await;
    let consumer: BaseConsumer = test.group("g").create().unwrap();
    let mut start = TopicPartitionList::new();
    start
        .add_partition_offset("t", 0, Offset::Offset(500))
        .unwrap();

    consumer.assign(&start).unwrap();

    assert_eq!(text(&take(&consumer, 1)[0]), "a");
}

#[tokio::test]
async fn a_consumer_seeks_and_pauses() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    test.send("t", &["a", "b", "c"]).await;
    let consumer = test.consumer("g", &["t"]);
    take(&consumer, 3);

    consumer.seek("t", 0, Offset::Offset(1), DEADLINE).unwrap();
    assert_eq!(take(&consumer, 1)[0].offset(), 1);
    consumer.pause(&consumer.assignment().unwrap()).unwrap();
    test.send("t", &["d"]).await;
    assert!(consumer.poll(Duration::from_millis(300)).is_none());
    consumer.resume(&consumer.assignment().unwrap()).unwrap();

    let values: Vec<_> = take(&consumer, 2)
        .iter()
        .map(|r| text(r).to_owned())
        .collect();
    assert_eq!(values, ["c", "d"]);
}

#[tokio::test]
async fn a_waiting_consumer_gets_a_record_at_once() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let consumer: BaseConsumer = test
        .group("g")
        .set("fetch.wait.max.ms", "50000")
        .create()
        .unwrap();
    let mut start = TopicPartitionList::new();
    start
        .add_partition_offset("t", 0, Offset::Beginning)
        .unwrap();
    consumer.assign(&start).unwrap();
    test.send("t", &["warm-up"]).await;
    take(&consumer, 1);

    // Were it not woken, it would wait for its fetch, which is longer than anything here may take.
    let record = FutureRecord::<(), str>::to("t").payload("now");
    test.producer().send(record, DEADLINE).await.unwrap();
    take(&consumer, 1);
}
