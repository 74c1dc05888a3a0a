//! Commands: once each, numbered in the order in which they become visible; and the lease of whoever publishes them.

use std::time::Duration;

use longshore_store::{COMMAND_TABLES, SqlStore};
use longshore_worker::{CommandStore, Finished, Lease, Store, StoreError, sql};
use uuid::Uuid;

use crate::batch::{at, outgoing, sending};
use crate::support::Place;

const LIMIT: Duration = Duration::from_secs(60);

/// Commands at once.
const AT_ONCE: i64 = 40;

async fn open(place: &Place) -> SqlStore {
    let opened = SqlStore::open(&place.url, &place.group, &[COMMAND_TABLES]).await;
    opened.expect("the store opens")
}

/// It brings no sequences that matter.
fn command(name: &str, rows: usize) -> Finished {
    sending(name, (0..rows).map(|_| outgoing(7, 0)).collect())
}

pub(crate) async fn a_command_takes_effect_once(place: &Place) {
    let store = open(place).await;
    let write = sql("insert into leases (name, holder, until) values ('of the test', 'it', 0)");
    let mut first = command("c-1", 2);
    first.writes.push(write);

    store
        .commit_command(&first, at(1))
        .await
        .expect("committed");
    let again = store.commit_command(&command("c-1", 2), at(2)).await;

    assert!(matches!(again, Err(StoreError::Duplicate)), "{again:?}");
    let rows = store.outbox(None, None, 10).await.expect("read");
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    assert_eq!(
        ids,
        first.outbox.iter().map(|row| row.id).collect::<Vec<_>>()
    );
    assert_eq!(
        rows.iter().map(|row| row.sequence).collect::<Vec<_>>(),
        [1, 2]
    );
}

pub(crate) async fn a_command_that_is_rejected_leaves_nothing(place: &Place) {
    let store = open(place).await;
    let mut bad = command("c-1", 1);
    bad.writes.push(sql("insert into nothing values (1)"));

    let rejected = store.commit_command(&bad, at(1)).await;

    assert!(
        matches!(rejected, Err(StoreError::Rejected(_))),
        "{rejected:?}"
    );
    assert!(store.outbox(None, None, 10).await.expect("read").is_empty());
    let good = store.commit_command(&command("c-1", 1), at(2)).await;
    good.expect("the name is free");
}

/// A reader that pages by sequence must never find a row below one that it has read.
pub(crate) async fn rows_become_visible_in_the_order_of_their_sequences(place: &Place) {
    let one = open(place).await;
    let other = match one.is_shared() {
        true => open(place).await,
        false => one.clone(),
    };
    let mut commits = tokio::task::JoinSet::new();
    for number in 0..AT_ONCE {
        let store = if number % 2 == 0 {
            one.clone()
        } else {
            other.clone()
        };
        commits.spawn(async move {
            let command = command(&format!("c-{number}"), 2);
            store
                .commit_command(&command, at(number))
                .await
                .expect("committed");
        });
    }

    let mut read: Vec<i64> = Vec::new();
    let reading = async {
        while read.len() < 2 * AT_ONCE as usize {
            let rows = one.outbox(None, read.last().copied(), 1_000).await;
            read.extend(rows.expect("read").iter().map(|row| row.sequence));
            tokio::task::yield_now().await;
        }
    };
    let all = tokio::time::timeout(LIMIT, reading).await;

    all.expect("no row appears below one that was read");
    assert_eq!(read, (1..=2 * AT_ONCE).collect::<Vec<_>>());
    while let Some(committed) = commits.join_next().await {
        committed.expect("no panic");
    }
}

pub(crate) async fn a_lease_is_its_holders_until_it_is_over_or_given_back(place: &Place) {
    let store = open(place).await;
    let lease = async |holder: &str, until, now| {
        let lease = Lease {
            name: "publishing",
            holder,
            until: at(until),
        };
        store.lease(&lease, at(now)).await.expect("answers")
    };

    assert!(lease("a", 10, 0).await);
    assert!(!lease("b", 20, 9).await, "it is a's");
    assert!(lease("a", 19, 9).await, "a renews it");
    assert!(!lease("b", 30, 18).await);
    assert!(lease("b", 30, 19).await, "a's is over");
    assert!(!lease("a", 30, 20).await);
    assert!(lease("b", 20, 20).await, "b gives it back");
    assert!(lease("a", 30, 20).await);
}

pub(crate) async fn a_store_of_others_is_read_as_it_is(place: &Place) {
    let store = open(place).await;
    let write = sql("insert into leases (name, holder, until) values ('x', 'y', 0)");
    store.execute(&write).await.expect("written");
    drop(store);

    let replica = SqlStore::open_replica(&place.url, &place.group).await;

    let replica = replica.expect("opens");
    let rows = replica.fetch(&sql("select holder from leases")).await;
    assert_eq!(rows.expect("read")[0].text(0), Some("y"));
}
