//! Parked messages: heads, pages, and the claims on them.

use bytes::Bytes;
use longshore_event::{ErrorKind, Headers, Position, Record};
use longshore_worker::{
    Claim, Finished, ParkedFailure, ParkedHead, ParkedRow, ParkedState, Store, StoreError,
};

use crate::batch::outgoing;
use crate::batch::{CommitNow, at, identity, message, orders, position, seen, sending, sequences};

/// A message of `lane` that waits at `position`; its offset is its sequence.
fn row(lane: &str, position: Position) -> ParkedRow {
    let sequence = position.offset.0;
    ParkedRow {
        sequence,
        lane: lane.to_owned().into(),
        identity: identity(&position.to_string()),
        record: Record {
            partition: position.partition.clone(),
            offset: position.offset,
            timestamp: None,
            key: Some(lane.to_owned().into()),
            value: None,
            headers: Headers::new(),
        },
        redrive: 0,
        state: ParkedState::Waiting,
        attempts: 0,
        due_at: at(sequence),
        failure: None,
        position,
    }
}

fn failure() -> ParkedFailure {
    ParkedFailure {
        kind: ErrorKind::Transient,
        error_type: "Timeout".to_owned(),
        message: "it did not answer".to_owned(),
        first_failed_at: at(5),
        last_failed_at: at(6),
    }
}

/// The end of a message that parks it.
fn parking(row: ParkedRow) -> Finished {
    Finished {
        identity: row.identity.clone(),
        position: row.position.clone(),
        parked: Some(Box::new(row)),
        ..message("")
    }
}

/// The end of a message that was parked at `position`.
fn draining(position: Position) -> Finished {
    Finished {
        identity: identity(&position.to_string()),
        position,
        claim: Claim::Parked,
        ..message("")
    }
}

async fn park(store: &impl Store, rows: &[ParkedRow]) {
    let batch: Vec<Finished> = rows.iter().cloned().map(parking).collect();
    store.commit_now(&batch).await.expect("committed");
}

async fn lane(store: &impl Store, lane: &str, partition: i32) -> Vec<ParkedRow> {
    let rows = store
        .parked(lane.as_bytes(), &[orders(partition)], 100)
        .await;
    rows.expect("read")
}

async fn heads(store: &impl Store, partitions: &[i32], limit: usize) -> Vec<ParkedHead> {
    let partitions: Vec<_> = partitions.iter().copied().map(orders).collect();
    let heads = store.parked_heads(&partitions, limit);
    heads.await.expect("read")
}

pub(crate) async fn a_parked_row_survives_whole(store: &impl Store) {
    let every_byte: Bytes = (0..=255).collect::<Vec<u8>>().into();
    let mut full = row("x", position(7, 3));
    full.lane = every_byte.clone();
    full.record.key = Some(every_byte.clone());
    full.record.value = Some(every_byte.clone());
    full.record.headers.push("binary", Some(&[0, 255]));
    full.record.headers.push("null", None);
    full.record.timestamp = Some(at(77));
    full.record.partition = orders(2);
    full.record.offset = position(0, 99).offset;
    full.redrive = 2;
    full.state = ParkedState::Held;
    full.attempts = 9;
    full.failure = Some(failure());
    let bare = ParkedRow {
        lane: every_byte.clone(),
        ..row("x", position(7, 4))
    };

    let bare_sequence = bare.sequence;
    park(store, &[full.clone(), bare.clone()]).await;

    let read = store.parked(&every_byte, &[orders(7)], 10).await;
    assert_eq!(read.expect("read"), [full.clone(), bare]);
    let head = ParkedHead {
        lane: every_byte,
        position: position(7, 3),
        origin: position(2, 99),
        state: ParkedState::Held,
        attempts: 9,
        due_at: at(3),
        failure: full.failure,
        rows: 2,
        last: bare_sequence,
    };
    assert_eq!(heads(store, &[7], 10).await, [head]);
}

pub(crate) async fn heads_are_the_first_rows_of_their_lanes(store: &impl Store) {
    let mut late = row("a", position(0, 1));
    late.due_at = at(500);
    let rows = [
        row("a", position(0, 2)),
        late,
        row("b", position(0, 3)),
        row("a", position(1, 0)),
        row("c", position(2, 5)),
        row("b", position(1, 4)),
    ];
    park(store, &rows).await;
    let brief = async |partitions: &[i32], limit| -> Vec<_> {
        let heads = heads(store, partitions, limit).await;
        let brief = |head: ParkedHead| (head.lane, head.position.offset.0, head.rows);
        heads.into_iter().map(brief).collect()
    };

    assert_eq!(
        brief(&[0], 10).await,
        [("b".into(), 3, 1), ("a".into(), 1, 2)]
    );
    // A key is one lane even if it is in several partitions.
    assert_eq!(
        brief(&[0, 1], 10).await,
        [("a".into(), 0, 3), ("b".into(), 3, 2)]
    );
    assert_eq!(brief(&[2, 0], 1).await, [("b".into(), 3, 1)]);
    assert_eq!(brief(&[3], 10).await, []);
    assert_eq!(brief(&[], 10).await, []);
    let many: Vec<i32> = (0..1_000).collect();
    assert_eq!(brief(&many, 10).await.len(), 3);
}

pub(crate) async fn a_lane_is_read_in_pages_of_its_first_rows(store: &impl Store) {
    // More than one statement holds, and not in their order.
    let rows: Vec<_> = (0..150).rev().map(|n| row("a", position(0, n))).collect();
    park(store, &rows).await;
    park(
        store,
        &[row("b", position(0, 200)), row("a", position(1, 0))],
    )
    .await;

    let page = store.parked(b"a", &[orders(0)], 40).await.expect("read");

    let offsets: Vec<_> = page.iter().map(|row| row.position.offset.0).collect();
    let expected: Vec<_> = (0..40).collect();
    assert_eq!(offsets, expected);
    let drained: Vec<_> = (0..40).map(|n| draining(position(0, n))).collect();
    store.commit_now(&drained).await.expect("drained");
    let rest = lane(store, "a", 0).await;
    assert_eq!(rest.len(), 100);
    assert_eq!(rest[0].position, position(0, 40));
    assert_eq!(store.parked(b"a", &[], 40).await.expect("read"), []);
}

pub(crate) async fn a_row_that_is_parked_again_is_replaced(store: &impl Store) {
    let first = row("a", position(0, 1));
    park(store, &[first.clone(), row("a", position(0, 2))]).await;
    let again = ParkedRow {
        attempts: 4,
        due_at: at(900),
        failure: Some(failure()),
        ..first
    };

    let retried = Finished {
        claim: Claim::Parked,
        ..parking(again.clone())
    };
    store.commit_now(&[retried]).await.expect("committed");

    assert_eq!(lane(store, "a", 0).await, [again, row("a", position(0, 2))]);
}

pub(crate) async fn rows_are_drained_and_parked_again_in_one_commit(store: &impl Store) {
    // More of each than one statement takes, and no round number.
    let rows: Vec<_> = (0..150).map(|n| row("a", position(0, n))).collect();
    park(store, &rows).await;
    let (drained, failed) = rows.split_at(75);
    let again = |row: &ParkedRow| ParkedRow {
        attempts: 2,
        due_at: at(900),
        failure: Some(failure()),
        ..row.clone()
    };
    let failed: Vec<_> = failed.iter().map(again).collect();

    let drained = drained.iter().map(|row| draining(row.position.clone()));
    let retried = failed.iter().cloned().map(|row| Finished {
        claim: Claim::Parked,
        ..parking(row)
    });
    let batch: Vec<_> = drained.chain(retried).collect();
    store.commit_now(&batch).await.expect("committed");

    assert_eq!(lane(store, "a", 0).await, failed);
    let twice = store.commit_now(&batch).await;
    assert!(matches!(twice, Err(StoreError::Duplicate)), "{twice:?}");
    assert_eq!(lane(store, "a", 0).await, failed);
}

pub(crate) async fn a_claim_on_a_row_that_is_gone_is_a_duplicate(store: &impl Store) {
    park(store, &[row("a", position(0, 1)), row("b", position(0, 2))]).await;
    let drained = draining(position(0, 1));
    store.commit_now(&[drained]).await.expect("committed");

    let again = Finished {
        outbox: vec![outgoing(1, 0)],
        ..draining(position(0, 1))
    };
    let fresh = sending("fresh", vec![outgoing(2, 0)]);
    let refused = store
        .commit_now(&[fresh, draining(position(0, 2)), again])
        .await;
    let retried = Finished {
        claim: Claim::Parked,
        ..parking(row("a", position(0, 1)))
    };
    let retried = store.commit_now(&[retried]).await;

    assert!(matches!(refused, Err(StoreError::Duplicate)), "{refused:?}");
    assert!(matches!(retried, Err(StoreError::Duplicate)), "{retried:?}");
    assert_eq!(seen(store, &["fresh"]).await, [false]);
    assert_eq!(sequences(store).await, [0; 0]);
    assert_eq!(lane(store, "a", 0).await, []);
    assert_eq!(lane(store, "b", 0).await.len(), 1);
}

pub(crate) async fn a_redrive_releases_the_dead_message_of_its_key(store: &impl Store) {
    let dead = ParkedRow {
        state: ParkedState::Held,
        ..row("a", position(0, 1))
    };
    park(store, &[dead, row("a", position(0, 2))]).await;

    let redriven = |id| Finished {
        releases: Some(position(0, 1)),
        ..message(id)
    };
    store
        .commit_now(&[redriven("again")])
        .await
        .expect("committed");

    assert_eq!(lane(store, "a", 0).await, [row("a", position(0, 2))]);
    let nothing = store.commit_now(&[redriven("later")]).await;
    nothing.expect("what is not there needs no release");
}

pub(crate) async fn a_redrive_that_died_tells_of_the_message_that_holds_its_key(
    store: &impl Store,
) {
    let died_first = ParkedFailure {
        first_failed_at: at(1),
        ..failure()
    };
    let dead = ParkedRow {
        state: ParkedState::Held,
        failure: Some(died_first.clone()),
        ..row("a", position(0, 1))
    };
    let waiting = row("a", position(0, 2));
    park(store, &[dead.clone(), waiting.clone()]).await;
    let told = |held: &ParkedRow| ParkedRow {
        state: ParkedState::Held,
        attempts: 7,
        failure: Some(failure()),
        ..held.clone()
    };
    let died = |held: &ParkedRow| Finished {
        keeps: Some(told(held).into()),
        ..message(&format!("redrive of {}", held.position))
    };

    let nothing = row("a", position(0, 3));
    let all = [died(&dead), died(&waiting), died(&nothing)];
    store.commit_now(&all).await.expect("committed");

    let dead = ParkedRow {
        failure: Some(died_first),
        ..told(&dead)
    };
    assert_eq!(lane(store, "a", 0).await, [dead, waiting]);
}

pub(crate) async fn a_long_key_can_be_parked(store: &impl Store) {
    // Longer than PostgreSQL takes into an index, and not to be made shorter by compressing it.
    let noise = (0_u64..20_000).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8);
    let mut long = row("x", position(0, 1));
    long.lane = noise.collect::<Vec<u8>>().into();

    park(store, std::slice::from_ref(&long)).await;

    let read = store.parked(&long.lane, &[orders(0)], 10).await;
    assert_eq!(read.expect("read"), [long]);
}
