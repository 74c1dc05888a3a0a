//! Timers: set, cancelled, claimed for a while, published.

use longshore_worker::{Due, Finished, Store, Timer, TimerChange, TimerName};

use crate::batch::{CommitNow, at, message, orders, outgoing, sequences};

fn name(lane: &'static str, name: &str) -> TimerName {
    TimerName {
        lane: lane.into(),
        name: name.to_owned(),
    }
}

/// A timer whose row has `sequence`.
fn set(name: Option<TimerName>, due: i64, sequence: i64) -> TimerChange {
    TimerChange::Set(Timer {
        name,
        due_at: at(due),
        row: outgoing(sequence, 0),
    })
}

fn changing(id: &str, timers: Vec<TimerChange>) -> Finished {
    Finished {
        timers,
        ..message(id)
    }
}

/// Claims at `now` until `until`, in seconds.
async fn claim(store: &impl Store, now: i64, until: i64) -> Due {
    let due = store.claim_due(at(now), at(until), 1000).await;
    due.expect("claimed")
}

async fn claimed(store: &impl Store, now: i64, until: i64) -> Vec<i64> {
    let due = claim(store, now, until).await;
    due.rows.iter().map(|row| row.sequence).collect()
}

pub(crate) async fn a_timer_waits_until_it_is_due_and_is_claimed_once(store: &impl Store) {
    let timer = set(Some(name("o-1", "expiry")), 60, 1);
    let TimerChange::Set(Timer { row, .. }) = timer.clone() else {
        unreachable!("it is set")
    };
    store
        .commit_now(&[changing("a", vec![timer])])
        .await
        .expect("committed");

    assert_eq!(sequences(store).await, [0; 0], "not to be sent at once");
    let early = claim(store, 59, 100).await;
    assert_eq!((early.rows, early.next), (vec![], Some(at(60))));
    let due = claim(store, 60, 100).await;
    assert_eq!((due.rows, due.next), (vec![row.clone()], Some(at(100))));
    assert_eq!(claimed(store, 60, 100).await, [0; 0]);
    store.published(&[row.id]).await.expect("deleted");
    assert_eq!(claim(store, 1000, 1001).await, Due::default());
}

pub(crate) async fn the_earliest_timers_are_claimed_first(store: &impl Store) {
    let timers = [(50, 1), (30, 2), (40, 3), (30, 4), (20, 5)];
    let timers = timers.map(|(due, sequence)| set(None, due, sequence));
    store
        .commit_now(&[changing("a", timers.to_vec())])
        .await
        .expect("committed");

    let first = store.claim_due(at(45), at(100), 3).await.expect("claimed");

    let sequences: Vec<_> = first.rows.iter().map(|row| row.sequence).collect();
    assert_eq!(sequences, [5, 2, 4]);
    assert_eq!(first.next, Some(at(40)));
    let second = claim(store, 45, 100).await;
    assert_eq!(second.rows[0].sequence, 3);
    assert_eq!(second.next, Some(at(50)));
}

pub(crate) async fn a_claim_ends_after_its_lease(store: &impl Store) {
    store
        .commit_now(&[changing("a", vec![set(None, 10, 1)])])
        .await
        .expect("committed");
    assert_eq!(claimed(store, 10, 40).await, [1]);

    assert_eq!(claimed(store, 39, 69).await, [0; 0]);
    assert_eq!(claimed(store, 40, 70).await, [1]);
    assert_eq!(claimed(store, 69, 99).await, [0; 0]);
}

pub(crate) async fn a_cancelled_timer_is_gone_and_a_claimed_one_is_not(store: &impl Store) {
    let timers = vec![
        set(Some(name("o-1", "early")), 10, 1),
        set(Some(name("o-1", "late")), 20, 2),
        set(Some(name("o-2", "late")), 20, 3),
    ];
    store
        .commit_now(&[changing("a", timers)])
        .await
        .expect("committed");
    assert_eq!(claimed(store, 10, 30).await, [1]);

    let cancels = ["early", "late", "never set"]
        .map(|timer| TimerChange::Cancel(name("o-1", timer)))
        .to_vec();
    store
        .commit_now(&[changing("b", cancels)])
        .await
        .expect("committed");

    assert_eq!(claimed(store, 30, 60).await, [1, 3]);
}

pub(crate) async fn a_timer_replaces_the_pending_one_of_its_name(store: &impl Store) {
    let odd = "with a NUL \0 in it";
    let setting =
        |id, due, sequence| changing(id, vec![set(Some(name("o-1", odd)), due, sequence)]);
    store
        .commit_now(&[setting("a", 10, 1)])
        .await
        .expect("committed");
    store
        .commit_now(&[setting("b", 20, 2)])
        .await
        .expect("committed");
    assert_eq!(claimed(store, 20, 100).await, [2]);

    store
        .commit_now(&[setting("c", 30, 3)])
        .await
        .expect("committed");

    // The claimed one is being published: it is not replaced, and does not prevent the next.
    assert_eq!(claimed(store, 100, 200).await, [2, 3]);
}

pub(crate) async fn changes_of_one_message_take_effect_in_order(store: &impl Store) {
    let cancel = |timer| TimerChange::Cancel(name("o-1", timer));
    let timer = |timer, sequence| set(Some(name("o-1", timer)), 10, sequence);
    let changes = vec![
        timer("cancelled", 1),
        cancel("cancelled"),
        cancel("set"),
        timer("set", 2),
        timer("replaced", 3),
        timer("replaced", 4),
        set(None, 10, 5),
        set(None, 10, 6),
    ];

    store
        .commit_now(&[changing("a", changes)])
        .await
        .expect("committed");

    assert_eq!(claimed(store, 10, 20).await, [2, 4, 5, 6]);
}

pub(crate) async fn many_timers_are_one_batch(store: &impl Store) {
    let timers = |due| {
        let one = move |n: i64| set(Some(name("o-1", &n.to_string())), due + n, n);
        (0..150).map(one).collect()
    };
    let first = changing("a", timers(0));
    store.commit_now(&[first]).await.expect("committed");

    let again = changing("b", timers(500));
    store.commit_now(&[again]).await.expect("replaced");

    assert_eq!(claimed(store, 499, 1000).await, [0; 0]);
    let expected: Vec<i64> = (0..150).collect();
    assert_eq!(claimed(store, 1000, 2000).await, expected);
}

pub(crate) async fn taking_over_frees_claims_but_not_for_cancelling(store: &impl Store) {
    let elsewhere = TimerChange::Set(Timer {
        name: None,
        due_at: at(10),
        row: outgoing(2, 1),
    });
    let timers = vec![
        set(Some(name("o-1", "expiry")), 10, 1),
        elsewhere,
        set(None, 50, 3),
    ];
    store
        .commit_now(&[changing("a", timers)])
        .await
        .expect("committed");
    assert_eq!(claimed(store, 10, 1000).await, [1, 2]);

    store.take_over(&[orders(0)]).await.expect("taken over");

    let cancel = TimerChange::Cancel(name("o-1", "expiry"));
    store
        .commit_now(&[changing("b", vec![cancel])])
        .await
        .expect("committed");
    assert_eq!(claimed(store, 11, 1000).await, [1]);
    assert_eq!(claim(store, 11, 1000).await.next, Some(at(50)));
}
