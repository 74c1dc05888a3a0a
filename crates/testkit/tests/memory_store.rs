//! Facts about the store in memory that tests of the runtime rely on.

use std::time::Duration;

use jiff::Timestamp;
use longshore_event::{Identity, Offset, Position, TopicPartition};
use longshore_testkit::memory::{MemoryStore, Note};
use longshore_worker::{Claim, Commit, Finished, OutboxRow, Store, StoreError, sql};
use uuid::Uuid;

fn identity(id: &str) -> Identity {
    Identity {
        source: "test".into(),
        id: id.into(),
    }
}

/// A finished message at `notes/0/sequence` that writes `text` and publishes one note.
fn finished(id: &str, text: &'static str, sequence: i64) -> Finished {
    let partition = TopicPartition::new("notes", 0);
    Finished {
        identity: identity(id),
        position: Position {
            partition: partition.clone(),
            offset: Offset(sequence),
        },
        key: None,
        claim: Claim::Inbox,
        writes: vec![sql(text)],
        outbox: vec![OutboxRow {
            id: Uuid::from_u128(sequence as u128),
            sequence,
            source: partition,
            record: Note::new("a", text).outgoing(id),
        }],
        timers: Vec::new(),
        parked: None,
        releases: None,
        keeps: None,
    }
}

async fn commit(store: &MemoryStore, messages: &[Finished]) -> Result<(), StoreError> {
    let commit = Commit {
        fences: &[],
        now: Timestamp::UNIX_EPOCH,
        messages,
    };
    store.commit(&commit).await
}

#[tokio::test]
async fn a_committed_batch_is_in_inbox_outbox_and_statements() {
    let store = MemoryStore::new();

    let batch = [finished("1", "one", 1), finished("2", "two", 2)];
    commit(&store, &batch).await.expect("committed");

    let seen = store.seen(&[&identity("2"), &identity("3")]).await;
    assert_eq!(seen.expect("answers"), [true, false]);
    let texts: Vec<_> = store.statements().into_iter().map(|one| one.text).collect();
    assert_eq!(texts, ["one", "two"]);
    let rows = store.outbox(None, Some(1), 10).await.expect("answers");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].sequence, 2);
}

#[tokio::test]
async fn a_batch_with_a_duplicate_or_a_rejected_statement_leaves_nothing() {
    let store = MemoryStore::new();
    commit(&store, &[finished("1", "one", 1)])
        .await
        .expect("committed");
    store.reject_statement("bad");

    let duplicate = commit(
        &store,
        &[finished("2", "two", 2), finished("1", "again", 3)],
    )
    .await;
    let rejected = commit(
        &store,
        &[finished("3", "three", 4), finished("4", "bad", 5)],
    )
    .await;

    assert!(matches!(duplicate, Err(StoreError::Duplicate)));
    assert!(matches!(rejected, Err(StoreError::Rejected(_))));
    assert_eq!(store.finished().len(), 1);
    assert_eq!(store.outbox_rows().len(), 1);
    assert!(!store.has_seen(&identity("3")));
}

#[tokio::test]
async fn published_rows_leave_the_outbox_and_unknown_ones_are_passed_over() {
    let store = MemoryStore::new();
    commit(&store, &[finished("1", "one", 1), finished("2", "two", 2)])
        .await
        .expect("committed");

    let rows = [Uuid::from_u128(1), Uuid::from_u128(77)];
    store.published(&rows).await.expect("answers");

    let elsewhere = TopicPartition::new("notes", 1);
    let other = store.outbox(Some(&[elsewhere]), None, 10).await;
    assert!(other.expect("answers").is_empty());
    let left: Vec<_> = store.outbox_rows().iter().map(|row| row.sequence).collect();
    assert_eq!(left, [2]);
}

#[tokio::test]
async fn a_lost_answer_has_taken_effect() {
    let store = MemoryStore::new();
    store.lose_answer_of_commit(2);

    let first = commit(&store, &[finished("1", "one", 1)]).await;
    let second = commit(&store, &[finished("2", "two", 2)]).await;
    let again = commit(&store, &[finished("2", "two", 2)]).await;

    assert!(first.is_ok());
    assert!(matches!(second, Err(StoreError::Unavailable(_))));
    assert!(matches!(again, Err(StoreError::Duplicate)));
}

#[tokio::test(start_paused = true)]
async fn outages_fail_calls_or_hold_them() {
    let store = MemoryStore::new();
    store.fail_calls(1);
    assert!(store.ping().await.is_err());
    assert!(store.ping().await.is_ok());

    store.unavailable();
    assert!(store.ping().await.is_err());
    store.available();

    store.stall();
    let held = tokio::time::timeout(Duration::from_secs(60), store.ping()).await;
    assert!(held.is_err());
    store.available();
    assert!(store.ping().await.is_ok());
}
