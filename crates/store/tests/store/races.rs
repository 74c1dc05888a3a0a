//! What several instances do to one PostgreSQL at the same moment.

use std::collections::BTreeSet;
use std::time::Duration;

use longshore_worker::{Fence, Finished, Store, StoreError, Timer, TimerChange, sql};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use tokio::time::timeout;

use crate::batch::{CommitNow, at, count, counted, message, orders, outgoing, sequences, writing};
use crate::support::Place;
use crate::support::postgres::shared_url;

const LIMIT: Duration = Duration::from_secs(20);

/// A connection of the test itself, to hold locks with.
async fn connect(place: &Place) -> AnyConnection {
    let url = shared_url().await.expect("the place is on it");
    let mut connection = AnyConnection::connect(url).await.expect("connects");
    run(
        &mut connection,
        &format!("set search_path to \"{}\"", place.group),
    )
    .await;
    connection
}

async fn run(connection: &mut AnyConnection, text: &str) {
    let text = AssertSqlSafe(text.to_owned());
    let done = sqlx::raw_sql(text).execute(connection).await;
    done.expect("ran");
}

/// Waits until a statement that begins like this waits for a lock.
async fn blocked(connection: &mut AnyConnection, beginning: &str) {
    let waiting = async {
        loop {
            let text = "select count(*) from pg_stat_activity \
                        where wait_event_type = 'Lock' and starts_with(query, $1)";
            let row = sqlx::query(text)
                .bind(beginning)
                .fetch_one(&mut *connection);
            if row.await.expect("read").get::<i64, _>(0) > 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, waiting).await.expect("it waits for a lock");
}

#[tokio::test]
async fn taking_over_waits_for_a_commit_under_way_and_sees_it() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let (old, new) = (place.open().await, place.open().await);
    let fences: Vec<Fence> = old.take_over(&[orders(0)]).await.expect("taken over");
    let mut gate = connect(&place).await;
    run(&mut gate, "select pg_advisory_lock(7001)").await;
    let slow = Finished {
        writes: vec![sql("select pg_advisory_xact_lock(7001)")],
        outbox: vec![outgoing(1, 0)],
        ..message("a")
    };

    let committing = tokio::spawn({
        let fences = fences.clone();
        async move { old.commit_fenced(&fences, 1, &[slow]).await.map(|()| old) }
    });
    blocked(&mut gate, "select pg_advisory_xact_lock(7001)").await;
    let taking = tokio::spawn(async move {
        let taken = new.take_over(&[orders(0)]).await;
        (taken, sequences(&new).await)
    });
    blocked(&mut gate, "insert into owners").await;
    run(&mut gate, "select pg_advisory_unlock(7001)").await;

    let old = committing.await.expect("ran").expect("it came first");
    let (taken, found) = taking.await.expect("ran");
    assert!(taken.expect("taken over")[0].epoch > fences[0].epoch);
    assert_eq!(found, [1], "the new owner misses nothing");
    let late = old.commit_fenced(&fences, 1, &[message("b")]).await;
    assert!(matches!(late, Err(StoreError::Fenced { .. })), "{late:?}");
    place.clear().await;
}

#[tokio::test]
async fn a_commit_waits_for_a_take_over_under_way_and_is_refused() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let old = place.open().await;
    let fences = old.take_over(&[orders(0)]).await.expect("taken over");
    let mut new = connect(&place).await;
    run(&mut new, "begin; update owners set epoch = epoch + 1").await;

    let committing = tokio::spawn(async move {
        let refused = old.commit_fenced(&fences, 1, &[message("a")]).await;
        (refused, sequences(&old).await)
    });
    let mut observer = connect(&place).await;
    blocked(&mut observer, "select topic, partition, epoch from (values").await;
    run(&mut new, "commit").await;

    let (refused, _) = committing.await.expect("ran");
    assert!(
        matches!(refused, Err(StoreError::Fenced { .. })),
        "{refused:?}"
    );
    place.clear().await;
}

#[tokio::test]
async fn instances_that_take_over_and_commit_at_once_never_wait_for_each_other_in_a_circle() {
    const ROUNDS: usize = 30;
    let Some(place) = Place::postgres().await else {
        return;
    };
    let mut instances = tokio::task::JoinSet::new();
    for instance in 0..3 {
        let store = place.open().await;
        instances.spawn(async move {
            let mut partitions: Vec<_> = (0..40).map(orders).collect();
            if instance == 1 {
                partitions.reverse();
            }
            let mut committed = 0;
            for round in 0..ROUNDS {
                let mut fences = store.take_over(&partitions).await.expect("taken over");
                fences.rotate_left(instance * 13);
                let batch = Finished {
                    writes: vec![count("n")],
                    ..message(&format!("{instance}-{round}"))
                };
                match store.commit_fenced(&fences, 1, &[batch]).await {
                    Ok(()) => committed += 1,
                    Err(StoreError::Fenced { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            committed
        });
    }
    let mut committed = 0;
    while let Some(done) = instances.join_next().await {
        committed += done.expect("no instance failed");
    }

    let store = place.open().await;
    assert_eq!(counted(&store, "n").await, committed);
    place.clear().await;
}

#[tokio::test]
async fn instances_with_messages_of_the_same_keys_never_wait_for_each_other_in_a_circle() {
    const ROUNDS: usize = 20;
    const KEYS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let Some(place) = Place::postgres().await else {
        return;
    };
    let mut instances = tokio::task::JoinSet::new();
    for instance in 0..2 {
        let store = place.open().await;
        instances.spawn(async move {
            for round in 0..ROUNDS {
                let one = |key: &'static str| Finished {
                    key: Some(key.into()),
                    ..writing(&format!("{instance}-{round}-{key}"), count(key))
                };
                let mut batch: Vec<_> = KEYS.map(one).into();
                if instance == 1 {
                    batch.reverse();
                }
                store.commit_now(&batch).await.expect("no deadlock");
            }
        });
    }
    while let Some(done) = instances.join_next().await {
        done.expect("no instance failed");
    }

    let store = place.open().await;
    for key in KEYS {
        assert_eq!(counted(&store, key).await, 2 * ROUNDS as i64);
    }
    place.clear().await;
}

#[tokio::test]
async fn instances_share_the_timers_that_are_due_and_none_is_given_twice() {
    const TIMERS: i64 = 2_000;
    let Some(place) = Place::postgres().await else {
        return;
    };
    let store = place.open().await;
    let timer = |n| {
        TimerChange::Set(Timer {
            name: None,
            due_at: at(n % 7),
            row: outgoing(n, 0),
        })
    };
    let setting = Finished {
        timers: (0..TIMERS).map(timer).collect(),
        ..message("a")
    };
    store.commit_now(&[setting]).await.expect("committed");

    let mut instances = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let store = place.open().await;
        instances.spawn(async move {
            let mut mine = Vec::new();
            loop {
                let due = store.claim_due(at(10), at(1000), 50).await;
                let due = due.expect("claimed");
                // Others may hold the rest at this moment: only the next moment says that nothing is left.
                if due.next.is_none_or(|next| next > at(10)) {
                    mine.extend(due.rows);
                    return mine;
                }
                mine.extend(due.rows);
            }
        });
    }
    let mut all = Vec::new();
    while let Some(mine) = timeout(LIMIT, instances.join_next()).await.expect("ends") {
        all.extend(mine.expect("no instance failed"));
    }

    let distinct: BTreeSet<_> = all.iter().map(|row| row.sequence).collect();
    assert_eq!(all.len(), distinct.len());
    assert_eq!(distinct.len(), TIMERS as usize);
    place.clear().await;
}
