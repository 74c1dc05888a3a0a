//! Who may commit: the latest owner of every partition of the batch, and nobody else.

use longshore_worker::{Fence, Store, StoreError};

use crate::batch::{CommitNow, message, orders, outgoing, seen, sending, sequences};

pub(crate) async fn each_take_over_begins_a_later_epoch(store: &impl Store) {
    let first = store.take_over(&[orders(1), orders(0)]).await;
    let second = store.take_over(&[orders(1)]).await.expect("taken over");

    let first = first.expect("taken over");
    assert_eq!(first[0].partition, orders(1));
    assert_eq!(first[1].partition, orders(0));
    assert!(second[0].epoch > first[0].epoch);
    store
        .commit_fenced(&[first[1].clone(), second[0].clone()], 1, &[message("a")])
        .await
        .expect("both are the latest");
    assert_eq!(store.take_over(&[]).await.expect("nothing to do"), []);
}

pub(crate) async fn a_commit_under_an_earlier_fence_leaves_nothing(store: &impl Store) {
    let old = store.take_over(&[orders(0)]).await.expect("taken over");
    let new = store.take_over(&[orders(0)]).await.expect("taken over");
    let batch = [sending("a", vec![outgoing(1, 0)])];

    let refused = store.commit_fenced(&old, 1, &batch).await;

    assert!(
        matches!(&refused, Err(StoreError::Fenced { partition }) if *partition == orders(0)),
        "{refused:?}"
    );
    assert_eq!(seen(store, &["a"]).await, [false]);
    assert_eq!(sequences(store).await, [0; 0]);
    let accepted = store.commit_fenced(&new, 1, &batch).await;
    accepted.expect("the new owner's");
}

pub(crate) async fn a_commit_needs_all_of_its_fences(store: &impl Store) {
    // More than one statement holds.
    let partitions: Vec<_> = (0..150).map(orders).collect();
    let fences = store.take_over(&partitions).await.expect("taken over");
    store
        .commit_fenced(&fences, 1, &[message("a")])
        .await
        .expect("all hold");
    store.take_over(&[orders(149)]).await.expect("taken over");

    let refused = store.commit_fenced(&fences, 1, &[message("b")]).await;
    let never = Fence {
        partition: orders(150),
        epoch: 1,
    };
    let unknown = store.commit_fenced(&[never], 1, &[message("b")]).await;

    assert!(
        matches!(&refused, Err(StoreError::Fenced { partition }) if *partition == orders(149)),
        "{refused:?}"
    );
    assert!(
        matches!(&unknown, Err(StoreError::Fenced { partition }) if *partition == orders(150)),
        "{unknown:?}"
    );
    assert_eq!(seen(store, &["a", "b"]).await, [true, false]);
}
