//! Reading without a group: from where, until when, and what comes later.

use std::collections::BTreeSet;

use longshore_event::{Offset, Record};
use longshore_kafka::{From, KafkaError, Reader, ReaderEvent};

use crate::support::{connection, fill, new_topic, unique, within};

async fn until_caught_up(reader: &mut Reader) -> Vec<Record> {
    let mut records = Vec::new();
    loop {
        match within("an event", reader.next()).await.expect("it goes on") {
            ReaderEvent::Record(record) => records.push(record),
            ReaderEvent::CaughtUp => return records,
        }
    }
}

async fn open(topic: &str, from: From) -> Reader {
    let reader = Reader::open(&connection(), &[topic], from).await;
    reader.expect("opened")
}

#[tokio::test]
async fn from_the_beginning_all_records_come_and_then_caught_up() {
    let topic = new_topic("all", 3).await;
    fill(&topic, 1500).await;
    let mut reader = open(&topic, From::Beginning).await;
    let records = until_caught_up(&mut reader).await;
    let positions: BTreeSet<_> = records
        .iter()
        .map(|record| (record.partition.clone(), record.offset))
        .collect();
    assert_eq!((records.len(), positions.len()), (1500, 1500));
}

#[tokio::test]
async fn from_the_end_only_what_comes_later_is_read() {
    let topic = new_topic("end", 1).await;
    fill(&topic, 5).await;
    let mut reader = open(&topic, From::End).await;
    assert_eq!(until_caught_up(&mut reader).await, []);
    fill(&topic, 1).await;
    let next = within("the new record", reader.next())
        .await
        .expect("it goes on");
    let ReaderEvent::Record(record) = next else {
        panic!("{next:?}");
    };
    assert_eq!(record.offset, Offset(5));
}

#[tokio::test]
async fn the_last_records_of_each_partition_are_read() {
    let topic = new_topic("last", 1).await;
    fill(&topic, 10).await;
    let records = until_caught_up(&mut open(&topic, From::Last(3)).await).await;
    let offsets: Vec<_> = records.iter().map(|record| record.offset.0).collect();
    assert_eq!(offsets, [7, 8, 9]);
    let all = until_caught_up(&mut open(&topic, From::Last(99)).await).await;
    assert_eq!(all.len(), 10);
}

#[tokio::test]
async fn records_since_a_time_are_read() {
    let topic = new_topic("since", 1).await;
    fill(&topic, 3).await;
    let first = until_caught_up(&mut open(&topic, From::Beginning).await).await;
    let young = first.iter().filter_map(|record| record.timestamp).max();
    let later = young.expect("timestamps") + std::time::Duration::from_millis(1);
    within("a later millisecond", async {
        while jiff::Timestamp::now() <= later {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    })
    .await;
    fill(&topic, 2).await;
    let since = until_caught_up(&mut open(&topic, From::Time(later)).await).await;
    let offsets: Vec<_> = since.iter().map(|record| record.offset.0).collect();
    assert_eq!(offsets, [3, 4]);
}

#[tokio::test]
async fn an_empty_topic_is_caught_up_at_once() {
    let topic = new_topic("empty", 2).await;
    let mut reader = open(&topic, From::Beginning).await;
    assert_eq!(until_caught_up(&mut reader).await, []);
}

#[tokio::test]
async fn an_unknown_topic_is_named() {
    let name = unique("unread");
    let opened = Reader::open(&connection(), &[&name], From::Beginning).await;
    let error = opened.expect_err("no topic");
    assert!(matches!(&error, KafkaError::UnknownTopic { topic, .. } if *topic == name));
}
