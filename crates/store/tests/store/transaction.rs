//! Transactions beside the messages: statements and records that take effect together, or not at all.

use longshore_event::{Headers, OutgoingRecord};
use longshore_worker::{Store, StoreError, sql};
use uuid::Uuid;

use crate::batch::{CommitNow, at, message};
use crate::support::Place;

fn record(topic: &str) -> OutgoingRecord {
    OutgoingRecord {
        topic: topic.into(),
        key: Some("k".into()),
        value: Some("v".into()),
        headers: Headers::new(),
    }
}

pub(crate) async fn a_transaction_is_whole(place: &Place) {
    let store = place.open().await;
    let (id, insert) = (Uuid::from_u128(1), "insert into counter values ('a', 1)");
    let mut transaction = store.begin().await.expect("begun");
    assert_eq!(
        transaction.execute(&sql(insert)).await.expect("inserted"),
        1
    );
    let bump = sql("update counter set count = count + 1 returning count");
    let rows = transaction.fetch(&bump).await.expect("updated");
    assert_eq!(rows[0].integer(0), Some(2));
    let twice = [(id, record("echoes")), (id, record("echoes"))];
    transaction.publish(twice, at(10)).await.expect("published");
    transaction.commit().await.expect("committed");

    let count = store
        .fetch_optional(&sql("select count from counter"))
        .await;
    assert_eq!(count.expect("read").expect("a row").integer(0), Some(2));
    let due = store.claim_due(at(10), at(40), 10).await.expect("claimed");
    let sent: Vec<_> = due
        .rows
        .iter()
        .map(|row| (row.id, &*row.record.topic))
        .collect();
    assert_eq!(sent, [(id, "echoes")]);
}

pub(crate) async fn a_dropped_transaction_leaves_nothing(place: &Place) {
    let store = place.open().await;
    let mut transaction = store.begin().await.expect("begun");
    let insert = sql("insert into counter values ('a', 1)");
    transaction.execute(&insert).await.expect("inserted");
    let records = [(Uuid::from_u128(1), record("echoes"))];
    transaction
        .publish(records, at(10))
        .await
        .expect("published");
    drop(transaction);

    let mut next = store.begin().await.expect("the connection is free again");
    let rows = next
        .fetch(&sql("select 1 from counter"))
        .await
        .expect("read");
    assert_eq!(rows.len(), 0);
    drop(next);
    assert_eq!(store.counts().await.expect("counted").timers, 0);
}

pub(crate) async fn a_rejected_step_is_told_from_an_outage(place: &Place) {
    let store = place.open().await;
    let mut transaction = store.begin().await.expect("begun");
    let refused = transaction
        .execute(&sql("insert into nothing values (1)"))
        .await;
    assert!(matches!(refused, Err(StoreError::Rejected(_))));
    drop(transaction);

    let mut transaction = store.begin().await.expect("begun");
    let orphan = sql("insert into child values (1, 404)");
    transaction.execute(&orphan).await.expect("checked later");
    let refused = transaction.commit().await;
    assert!(matches!(refused, Err(StoreError::Rejected(_))));
}

pub(crate) async fn commits_of_messages_are_told(place: &Place) {
    let store = place.open().await;
    let mut commits = store.commits();
    store.commit_now(&[message("a")]).await.expect("committed");
    store.commit_now(&[message("b")]).await.expect("committed");

    commits.next().await;

    let none = tokio::time::timeout(std::time::Duration::from_millis(1), commits.next()).await;
    assert!(none.is_err(), "both were told at once");
}
