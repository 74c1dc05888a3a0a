//! Forgetting old messages, counting what is there.

use longshore_worker::{Claim, Finished, Store, StoreCounts, Timer, TimerChange};

use crate::batch::{CommitNow, at, message, outgoing, seen, sending};

fn redrivable(id: &str) -> Finished {
    Finished {
        claim: Claim::Redrivable,
        ..message(id)
    }
}

async fn prune(store: &impl Store, before: i64, redrivable_before: i64, limit: usize) -> usize {
    let pruned = store.prune(at(before), at(redrivable_before), limit);
    pruned.await.expect("pruned")
}

pub(crate) async fn old_messages_are_forgotten_a_few_at_a_time(store: &impl Store) {
    for (second, id) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        let committed = store.commit_at(second, &[message(id)]).await;
        committed.expect("committed");
    }

    assert_eq!(prune(store, 4, 0, 2).await, 2);
    assert_eq!(prune(store, 4, 0, 2).await, 1);
    assert_eq!(prune(store, 4, 0, 2).await, 0);
    let left = seen(store, &["a", "b", "c", "d"]).await;
    assert_eq!(left, [false, false, false, true]);
}

pub(crate) async fn redrivable_messages_are_kept_for_longer(store: &impl Store) {
    let batch = [message("done"), redrivable("dead")];
    store.commit_at(10, &batch).await.expect("committed");

    assert_eq!(prune(store, 20, 10, 10).await, 1);
    assert_eq!(seen(store, &["done", "dead"]).await, [false, true]);
    assert_eq!(prune(store, 20, 20, 10).await, 1);
    assert_eq!(seen(store, &["done", "dead"]).await, [false, false]);
}

pub(crate) async fn everything_is_counted(store: &impl Store) {
    assert_eq!(
        store.counts().await.expect("counted"),
        StoreCounts::default()
    );
    let timer = |sequence| {
        TimerChange::Set(Timer {
            name: None,
            due_at: at(100),
            row: outgoing(sequence, 0),
        })
    };
    let waiting = Finished {
        timers: vec![timer(1), timer(2)],
        ..redrivable("b")
    };
    let ready = sending("a", vec![outgoing(3, 0)]);

    store
        .commit_now(&[ready, waiting, message("c")])
        .await
        .expect("committed");

    let counts = StoreCounts {
        inbox: 3,
        outbox: 1,
        timers: 2,
        parked: 0,
    };
    assert_eq!(store.counts().await.expect("counted"), counts);
}
