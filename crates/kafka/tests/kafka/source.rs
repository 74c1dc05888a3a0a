//! A single member: order, budget, stop, and what a source says about topics and brokers that are not there.

use std::collections::BTreeMap;
use std::time::Duration;

use longshore_event::{NextOffset, Record, redrive_topic};
use longshore_kafka::{Admin, KafkaSource};
use longshore_worker::{REDRIVE_RESERVE, Source, SourceError, SourceEvent};

use crate::support::{
    DEADLINE, connection, create, fill, finished, new_topic, next, records, stop, subscribe,
    subscribe_with, unique, within,
};

#[tokio::test]
async fn records_of_a_partition_come_in_order_between_assigned_and_revoked() {
    let topic = new_topic("ordered", 3).await;
    fill(&topic, 500).await;
    let mut source = subscribe(&connection(), &unique("g"), &topic).await;

    let SourceEvent::Assigned(assigned) = next(&mut source).await else {
        panic!("not assigned first");
    };
    assert_eq!(assigned.len(), 3);
    let records = records(&mut source, 500).await;

    let mut expected = BTreeMap::new();
    for record in &records {
        assert!(assigned.contains(&record.partition));
        let offset = expected.entry(record.partition.clone()).or_insert(0);
        assert_eq!(record.offset.0, *offset);
        *offset += 1;
    }
    let mut values: Vec<usize> = records
        .iter()
        .filter_map(|record| {
            std::str::from_utf8(record.value.as_deref()?)
                .ok()?
                .parse()
                .ok()
        })
        .collect();
    values.sort_unstable();
    assert_eq!(values, (0..500).collect::<Vec<_>>());
    for partition in &assigned {
        let end = source.end_offset(partition).expect("known from the fetch");
        assert_eq!(end, NextOffset(expected[partition]));
    }
}

#[tokio::test]
async fn the_budget_stops_delivery_and_releasing_resumes_it() {
    let topic = new_topic("budget", 2).await;
    fill(&topic, 300).await;
    let mut source = subscribe_with(&connection(), &unique("g"), &topic, 50).await;

    let mut held = Vec::new();
    while held.len() < 50 {
        if let SourceEvent::Records(batch) = next(&mut source).await {
            held.extend(batch);
        }
    }
    assert_eq!(held.len(), 50);
    // Longer than the stall after which the partitions are paused.
    let quiet = tokio::time::timeout(Duration::from_secs(3), source.next()).await;
    assert!(quiet.is_err(), "beyond the budget: {quiet:?}");

    source.release(10);
    let quiet = tokio::time::timeout(Duration::from_millis(200), source.next()).await;
    assert!(quiet.is_err(), "paused until half is back: {quiet:?}");
    source.release(40);
    let rest = records(&mut source, 250).await;

    held.extend(rest);
    let mut offsets = BTreeMap::new();
    for record in &held {
        let offset = offsets.entry(record.partition.clone()).or_insert(0);
        assert_eq!(
            record.offset.0, *offset,
            "nothing lost or doubled by the pause"
        );
        *offset += 1;
    }
}

#[tokio::test]
async fn a_source_that_reads_uncommitted_records_is_refused_redrives() {
    let group = unique("g");
    let redrives = redrive_topic(&group);
    create(&redrives, 1).await;
    let connection = connection().property("isolation.level", "read_uncommitted");

    let topics = [redrives.to_string()];
    let refused = KafkaSource::subscribe(&connection, &group, &topics, 10, DEADLINE).await;

    let Err(SourceError::Fatal { source, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(source.to_string().contains("isolation.level"), "{source}");
}

#[tokio::test]
async fn redrives_come_when_the_budget_is_spent_as_far_as_their_reserve_goes() {
    let (topic, group) = (new_topic("busy", 2).await, unique("g"));
    let redrives = redrive_topic(&group);
    create(&redrives, 1).await;
    fill(&topic, 300).await;
    let topics = [topic.clone(), redrives.to_string()];
    let drain = Duration::from_secs(60);
    let mut source = KafkaSource::subscribe(&connection(), &group, &topics, 50, drain)
        .await
        .expect("subscribed");
    assert_eq!(held(&mut source, 50).await.len(), 50);
    // Longer than the stall after which the partitions are paused.
    let quiet = tokio::time::timeout(Duration::from_secs(3), source.next()).await;
    assert!(quiet.is_err(), "beyond the budget: {quiet:?}");

    fill(&redrives, REDRIVE_RESERVE).await;
    let redriven = held(&mut source, REDRIVE_RESERVE).await;
    assert!(
        redriven
            .iter()
            .all(|record| record.partition.topic == redrives)
    );
    fill(&redrives, 10).await;
    let quiet = tokio::time::timeout(Duration::from_millis(700), source.next()).await;
    assert!(quiet.is_err(), "beyond the reserve: {quiet:?}");

    source.release(REDRIVE_RESERVE);
    let redriven = held(&mut source, 10).await;
    assert!(
        redriven
            .iter()
            .all(|record| record.partition.topic == redrives)
    );
    source.release(60);
    assert_eq!(records(&mut source, 250).await.len(), 250);
}

/// Records until there are `count`, which are kept.
async fn held(source: &mut KafkaSource, count: usize) -> Vec<Record> {
    let mut held = Vec::new();
    while held.len() < count {
        if let SourceEvent::Records(batch) = next(source).await {
            held.extend(batch);
        }
    }
    held
}

#[tokio::test]
async fn stop_yields_revoked_and_then_closed_and_commits_what_was_finished() {
    let topic = new_topic("stop", 1).await;
    fill(&topic, 10).await;
    let group = unique("g");
    let mut source = subscribe(&connection(), &group, &topic).await;
    let read = records(&mut source, 10).await;

    source.stop();
    let SourceEvent::Revoked {
        partitions,
        finished,
        ..
    } = next(&mut source).await
    else {
        panic!("not revoked");
    };
    assert_eq!(partitions, [read[0].partition.clone()]);
    finished
        .send(vec![(read[6].partition.clone(), read[6].offset.next())])
        .expect("asked");
    let closed = next(&mut source).await;
    assert!(matches!(closed, SourceEvent::Closed(Ok(()))), "{closed:?}");

    let mut again = subscribe(&connection(), &group, &topic).await;
    let rest = records(&mut again, 3).await;
    assert_eq!(rest[0].offset, read[7].offset);
}

#[tokio::test]
async fn commits_in_the_background_are_where_the_next_member_starts() {
    let topic = new_topic("commit", 1).await;
    fill(&topic, 10).await;
    let group = unique("g");
    let mut source = subscribe(&connection(), &group, &topic).await;
    let read = records(&mut source, 10).await;
    source.commit(&finished(&read[..2]));
    source.commit(&finished(&read[..4]));

    let admin = Admin::connect(&connection()).expect("valid");
    within("the commit", async {
        loop {
            let described = admin.describe_group(&group).await.expect("described");
            if described
                .partitions
                .iter()
                .any(|p| p.committed == Some(NextOffset(4)))
            {
                assert_eq!(described.partitions[0].lag, 6);
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    stop(&mut source, &[]).await;

    let mut again = subscribe(&connection(), &group, &topic).await;
    assert_eq!(records(&mut again, 6).await[0].offset, read[4].offset);
}

#[tokio::test]
async fn a_missing_topic_is_an_error_that_says_how_to_create_it() {
    let missing = unique("missing");
    let topics = [missing.clone()];
    let error = KafkaSource::subscribe(&connection(), "g", &topics, 10, Duration::from_secs(1))
        .await
        .expect_err("it does not exist");
    assert!(matches!(&error, SourceError::MissingTopic { topic, .. } if *topic == missing));
    assert!(error.to_string().contains("longshore topics apply"));
}

#[tokio::test]
async fn a_property_that_does_not_exist_is_named() {
    let wrong = connection().property("no.such.property", "1");
    let topics = ["t".to_owned()];
    let subscribed = KafkaSource::subscribe(&wrong, "g", &topics, 10, Duration::from_secs(1));
    let Err(SourceError::Fatal { source, .. }) = subscribed.await else {
        panic!("accepted");
    };
    assert!(source.to_string().contains("no.such.property"), "{source}");
}

#[tokio::test]
async fn a_topic_that_is_deleted_makes_the_source_unavailable_and_not_crash() {
    let topic = new_topic("deleted", 1).await;
    fill(&topic, 1).await;
    let quick = connection().property("topic.metadata.refresh.interval.ms", "200");
    let mut source = subscribe(&quick, &unique("g"), &topic).await;
    records(&mut source, 1).await;

    let admin = Admin::connect(&connection()).expect("valid");
    admin.delete_topics(&[&topic]).await.expect("deleted");

    loop {
        match next(&mut source).await {
            SourceEvent::Unavailable { reason: Some(_) } => break,
            SourceEvent::Revoked { finished, .. } => finished.send(Vec::new()).expect("asked"),
            SourceEvent::Closed(result) => panic!("closed: {result:?}"),
            _ => {}
        }
    }
    stop(&mut source, &[]).await;
}
