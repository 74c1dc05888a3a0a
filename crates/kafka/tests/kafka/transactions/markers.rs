//! Markers of transactions have offsets and are no records: nobody is behind because of them.

use std::time::Duration;

use longshore_event::{NextOffset, OutgoingRecord, TopicPartition};
use longshore_kafka::{Admin, KafkaSource, TransactionalPublisher};
use longshore_testkit::wait::eventually;
use longshore_worker::{CommitStrategy, Source};

use super::{forwarded, offset_reaches, transactional};
use crate::support::{
    DEADLINE, connection, fill, finished, new_topic, next, outgoing, records, stop, subscribe,
    unique,
};

const TIMEOUT: Duration = Duration::from_secs(30);

async fn publish_in_transactions(records: Vec<OutgoingRecord>) {
    let group = unique("writer");
    let publisher = TransactionalPublisher::new(&connection(), &group, "test", TIMEOUT);
    let publisher = publisher.expect("valid properties");
    publisher.begin().await.expect("begun");
    for record in records {
        publisher.publish(vec![record]).await.expect("published");
    }
}

/// Reads on until the source knows that there is no record in the partition from there on.
async fn end_is(source: &mut KafkaSource, topic: &str, end: i64) {
    let partition = TopicPartition::new(topic, 0);
    let known = eventually("the end", DEADLINE, async || {
        // It is read in the background.
        match source.end_offset(&partition) {
            Some(found) if found == NextOffset(end) => Ok(()),
            found => Err(found),
        }
    });
    known.await;
}

#[tokio::test]
async fn the_offset_of_a_group_goes_past_markers_once_what_is_before_them_is_finished() {
    let topic = new_topic("marked", 1).await;
    // Record, marker, record, marker.
    let two = vec![outgoing(&topic, "k", "1"), outgoing(&topic, "k", "2")];
    publish_in_transactions(two).await;
    let group = unique("g");
    let mut source = subscribe(&connection(), &group, &topic).await;
    let read = records(&mut source, 2).await;
    assert_eq!((read[0].offset.0, read[1].offset.0), (0, 2));
    end_is(&mut source, &topic, 3).await;

    source.commit(&finished(&read[..1]));
    offset_reaches(&group, 1).await;
    source.commit(&finished(&read));
    offset_reaches(&group, 4).await;

    // As the run loop answers, which knows of records alone.
    stop(&mut source, &finished(&read)).await;
    offset_reaches(&group, 4).await;
}

#[tokio::test]
async fn markers_are_gone_past_though_they_are_found_together_with_the_records_before_them() {
    let topic = new_topic("marked-at-once", 2).await;
    fill(&topic, 1_000).await;
    let last = (0..8).map(|n| outgoing(&topic, &format!("k{n}"), "v"));
    publish_in_transactions(last.collect()).await;
    let group = unique("g");
    let mut source = subscribe(&connection(), &group, &topic).await;
    let read = records(&mut source, 1_008).await;
    source.commit(&finished(&read));

    let admin = Admin::connect(&connection()).expect("valid properties");
    let caught_up = eventually("a group at the end", DEADLINE, async || {
        let described = admin.describe_group(&group).await;
        let partitions = described.expect("described").partitions;
        match partitions.iter().all(|partition| partition.lag == 0) {
            true => Ok(()),
            false => Err(partitions),
        }
    });
    caught_up.await;
}

#[tokio::test]
async fn markers_that_come_after_the_commit_are_gone_past_too() {
    let topic = new_topic("marked-later", 1).await;
    let group = unique("g");
    let mut source = subscribe(&connection(), &group, &topic).await;
    next(&mut source).await;
    for n in 1..4 {
        publish_in_transactions(vec![outgoing(&topic, "k", "v")]).await;
        let read = records(&mut source, 1).await;
        source.commit(&finished(&read));
        offset_reaches(&group, 2 * n).await;
    }
    stop(&mut source, &[]).await;
    offset_reaches(&group, 6).await;
}

#[tokio::test]
async fn a_transaction_takes_the_offset_past_the_markers_of_others() {
    let (topic, output) = (
        new_topic("marked-in", 1).await,
        new_topic("marked-out", 1).await,
    );
    publish_in_transactions(vec![outgoing(&topic, "k", "1")]).await;
    let group = unique("g");
    let connection = connection();
    let mut source = subscribe(&connection, &group, &topic).await;
    let strategy = transactional(&connection, &source);
    let read = records(&mut source, 1).await;
    end_is(&mut source, &topic, 1).await;

    let committed = strategy.commit(forwarded(&read, &output)).await;

    committed.expect("committed");
    offset_reaches(&group, 2).await;
}
