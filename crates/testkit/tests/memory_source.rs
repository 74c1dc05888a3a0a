//! Facts about the group member in memory that tests of the runtime rely on.

use std::time::Duration;

use longshore_event::{NextOffset, TopicPartition};
use longshore_testkit::memory::{MemoryGroup, MemoryLog, MemorySource, Note};
use longshore_worker::{Source, SourceEvent};
use tokio::time::timeout;

const WITHIN: Duration = Duration::from_secs(5);

fn notes(partition: i32) -> TopicPartition {
    TopicPartition::new("notes", partition)
}

/// A group on a log with one partition that holds `count` notes.
fn group_of(count: usize) -> MemoryGroup {
    let log = MemoryLog::new().with_topic("notes", 1);
    for number in 0..count {
        log.produce(&number.to_string(), &Note::new("a", "x"));
    }
    MemoryGroup::new(&log)
}

/// The offsets of the next event, which must be records.
async fn offsets(source: &mut MemorySource) -> Vec<i64> {
    let event = timeout(WITHIN, source.next()).await.expect("an event");
    let SourceEvent::Records(records) = event else {
        panic!("expected records, not {event:?}");
    };
    records.iter().map(|record| record.offset.0).collect()
}

async fn is_quiet(source: &mut MemorySource) -> bool {
    timeout(WITHIN, source.next()).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn an_assigned_member_reads_within_its_budget() {
    let group = group_of(5);
    let mut source = group.join(3);
    assert!(is_quiet(&mut source).await);

    source.control().assign(&[notes(0)]);
    let assigned = source.next().await;
    let first = offsets(&mut source).await;

    assert!(matches!(assigned, SourceEvent::Assigned(_)));
    assert_eq!(first, [0, 1, 2]);
    assert!(is_quiet(&mut source).await);
    source.release(1);
    assert_eq!(offsets(&mut source).await, [3]);
    assert_eq!(source.control().in_flight(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_new_record_wakes_a_waiting_member() {
    let group = group_of(0);
    let mut source = group.join(3);
    source.control().assign(&[notes(0)]);
    source.next().await;

    let (read, ()) = tokio::join!(offsets(&mut source), async {
        group.log().produce("1", &Note::new("a", "x"));
    });

    assert_eq!(read, [0]);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_commits_its_answer_and_the_next_owner_starts_there() {
    let group = group_of(4);
    let mut first = group.join(2);
    let control = first.control();
    control.assign(&[notes(0)]);
    first.next().await;
    offsets(&mut first).await;

    let moved = [notes(0)];
    let (answer, ()) = tokio::join!(control.revoke(&moved, WITHIN), async {
        let SourceEvent::Revoked { finished, .. } = first.next().await else {
            panic!("expected a revocation");
        };
        first.release(2);
        assert!(timeout(Duration::from_secs(1), first.next()).await.is_err());
        finished
            .send(vec![(notes(0), NextOffset(2))])
            .expect("somebody waits");
    });
    let mut second = group.join(9);
    second.control().assign(&[notes(0)]);
    second.next().await;

    assert_eq!(answer, Some(vec![(notes(0), NextOffset(2))]));
    assert_eq!(offsets(&mut second).await, [2, 3]);
    first.commit(&[(notes(0), NextOffset(4))]);
    assert_eq!(control.stale_commits(), 1);
    assert_eq!(group.committed(&notes(0)), Some(NextOffset(2)));
}

#[tokio::test(start_paused = true)]
async fn a_revocation_without_an_answer_ends_in_time() {
    let group = group_of(1);
    let mut source = group.join(2);
    let control = source.control();
    control.assign(&[notes(0)]);
    source.next().await;

    let moved = [notes(0)];
    let (answer, event) = tokio::join!(control.revoke(&moved, WITHIN), async {
        let event = source.next().await;
        tokio::time::sleep(2 * WITHIN).await;
        event
    });

    assert_eq!(answer, None);
    assert!(matches!(event, SourceEvent::Revoked { .. }));
    assert_eq!(group.history(), []);
}

#[tokio::test(start_paused = true)]
async fn a_lost_partition_takes_no_commit() {
    let group = group_of(1);
    let mut source = group.join(2);
    let control = source.control();
    control.assign(&[notes(0)]);
    source.next().await;

    control.lose(&[notes(0)]);
    source.commit(&[(notes(0), NextOffset(1))]);

    assert!(matches!(source.next().await, SourceEvent::Lost(_)));
    assert_eq!(control.stale_commits(), 1);
    assert_eq!(group.committed(&notes(0)), None);
    assert!(is_quiet(&mut source).await);
}

#[tokio::test(start_paused = true)]
async fn an_outage_holds_records_and_commits_back() {
    let group = group_of(2);
    let mut source = group.join(1);
    let control = source.control();
    control.assign(&[notes(0)]);
    source.next().await;
    offsets(&mut source).await;
    source.release(1);

    control.unavailable("the cable is out");
    source.commit(&[(notes(0), NextOffset(1))]);

    let told = source.next().await;
    assert!(matches!(told, SourceEvent::Unavailable { reason: Some(_) }));
    assert!(is_quiet(&mut source).await);
    assert_eq!(group.committed(&notes(0)), None);
    control.available();
    let told = source.next().await;
    assert!(matches!(told, SourceEvent::Unavailable { reason: None }));
    assert_eq!(group.committed(&notes(0)), Some(NextOffset(1)));
    assert_eq!(offsets(&mut source).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_member_revokes_commits_and_closes() {
    let group = group_of(1);
    let mut source = group.join(2);
    source.control().assign(&[notes(0)]);
    source.next().await;
    offsets(&mut source).await;

    source.stop();
    let SourceEvent::Revoked { finished, .. } = source.next().await else {
        panic!("expected a revocation");
    };
    finished
        .send(vec![(notes(0), NextOffset(1))])
        .expect("somebody waits");

    assert!(matches!(source.next().await, SourceEvent::Closed(Ok(()))));
    assert_eq!(group.committed(&notes(0)), Some(NextOffset(1)));
    assert!(is_quiet(&mut source).await);
}

#[tokio::test(start_paused = true)]
async fn partitions_take_turns() {
    let log = MemoryLog::new().with_topic("notes", 2);
    for number in 0..8 {
        let mut note = Note::new("a", "x").outgoing(&number.to_string());
        note.key = None;
        log.append(note).expect("appended");
    }
    let mut source = MemoryGroup::new(&log).join(9).batch(2);
    source.control().assign(&[notes(0), notes(1)]);
    source.next().await;

    let mut partitions = Vec::new();
    for _ in 0..4 {
        let SourceEvent::Records(records) = source.next().await else {
            panic!("expected records");
        };
        partitions.push(records[0].partition.partition);
    }

    assert_eq!(partitions, [0, 1, 0, 1]);
}
