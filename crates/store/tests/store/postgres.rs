//! What only a server can show: several instances, outages, refusals.

use std::time::{Duration, Instant};

use longshore_store::{OpenError, SqlStore, StoreUrl};
use longshore_worker::{Store, StoreError, sql};

use crate::batch::{CommitNow, count, counted, identity, message, seen, writing};
use crate::support::postgres::{Cluster, Lifetime, can_start};
use crate::support::{Place, TABLES};

#[tokio::test]
async fn of_two_instances_that_commit_one_message_exactly_one_wins() {
    const ROUNDS: i64 = 20;
    let Some(place) = Place::postgres().await else {
        return;
    };
    let (first, second) = (place.open().await, place.open().await);

    for round in 0..ROUNDS {
        let batch = [writing(&format!("m-{round}"), count("n"))];
        let (one, two) = tokio::join!(first.commit_now(&batch), second.commit_now(&batch));
        let duplicate = match (one, two) {
            (Ok(()), Err(error)) | (Err(error), Ok(())) => error,
            both => panic!("round {round}: {both:?}"),
        };
        assert!(matches!(duplicate, StoreError::Duplicate), "{duplicate:?}");
    }

    assert_eq!(counted(&first, "n").await, ROUNDS);
    place.clear().await;
}

#[tokio::test]
async fn instances_that_start_at_once_migrate_once() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let open = || SqlStore::open(&place.url, &place.group, TABLES);

    let (a, b, c, d) = tokio::join!(open(), open(), open(), open());

    for store in [&a, &b, &c, &d] {
        store
            .as_ref()
            .expect("opened")
            .ping()
            .await
            .expect("answers");
    }
    let history = sql("select version from longshore_migrations");
    let history = a.expect("opened").fetch(&history).await.expect("read");
    assert_eq!(history.len(), 3 + TABLES.len());
    place.clear().await;
}

#[tokio::test]
async fn groups_in_one_database_do_not_see_each_other() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let other = format!("{} \"quoted\" {}", place.group, "x".repeat(100));
    let elsewhere = SqlStore::open(&place.url, &other, &[])
        .await
        .expect("opens");
    let store = place.open().await;

    store.commit_now(&[message("a")]).await.expect("committed");

    assert_eq!(seen(&store, &["a"]).await, [true]);
    assert_eq!(seen(&elsewhere, &["a"]).await, [false]);
    let schema = elsewhere
        .fetch(&sql("select current_schema()::text"))
        .await
        .expect("read");
    let schema = schema[0].text(0).expect("a name").to_owned();
    let drop_schema = format!("drop schema \"{schema}\" cascade");
    elsewhere.execute(&sql(drop_schema)).await.expect("dropped");
    place.clear().await;
}

#[tokio::test]
async fn a_nul_byte_in_text_is_rejected() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let store = place.open().await;
    let nul = sql("insert into typed (id, words) values (1, $1)").bind("a\0b");

    let refused = store.commit_now(&[writing("a", nul)]).await;

    assert!(
        matches!(refused, Err(StoreError::Rejected(_))),
        "{refused:?}"
    );
    assert_eq!(seen(&store, &["a"]).await, [false]);
    place.clear().await;
}

#[tokio::test]
async fn every_connection_keeps_what_it_acknowledged_through_a_power_failure() {
    let Some(place) = Place::postgres().await else {
        return;
    };
    let store = place.open().await;
    let user = "alter role current_user in database postgres set synchronous_commit";
    store
        .execute(&sql(format!("{user} = off")))
        .await
        .expect("set");

    let setting = place
        .open()
        .await
        .fetch(&sql("show synchronous_commit"))
        .await;

    store
        .execute(&sql(format!("{user} = default")))
        .await
        .expect("set back");
    assert_eq!(setting.expect("read")[0].text(0), Some("on"));
    place.clear().await;
}

#[tokio::test]
async fn what_waiting_cannot_cure_is_refused_and_the_rest_is_unavailable() {
    if !can_start() {
        return;
    }
    let mut cluster = Cluster::create(Lifetime::Value).await;
    let good = cluster.url();
    let open = async |url: &str| {
        let url: StoreUrl = url.parse().expect("valid");
        SqlStore::open(&url, "test", &[]).await
    };

    let password = open(&good.replace(":longshore@", ":wrong@")).await;
    assert!(
        matches!(password, Err(OpenError::Refused(_))),
        "{password:?}"
    );
    let database = open(&good.replace("/postgres", "/nowhere")).await;
    assert!(
        matches!(database, Err(OpenError::Refused(_))),
        "{database:?}"
    );
    cluster.stop();
    let down = open(&good).await;
    assert!(matches!(down, Err(OpenError::Unavailable(_))), "{down:?}");
}

#[tokio::test]
async fn a_store_is_unavailable_while_its_server_is_down_and_works_again_after() {
    if !can_start() {
        return;
    }
    const LIMIT: Duration = Duration::from_secs(20);
    let mut cluster = Cluster::create(Lifetime::Value).await;
    let place = Place::on(&cluster.url());
    let store = place.open().await;
    store
        .commit_now(&[writing("before", count("n"))])
        .await
        .expect("committed");

    cluster.stop();
    let began = Instant::now();
    let during = [writing("during", count("n"))];
    let who = [&identity("before")];
    let (commit, seen_down, ping) =
        tokio::join!(store.commit_now(&during), store.seen(&who), store.ping());
    assert!(
        matches!(commit, Err(StoreError::Unavailable(_))),
        "{commit:?}"
    );
    assert!(
        matches!(seen_down, Err(StoreError::Unavailable(_))),
        "{seen_down:?}"
    );
    assert!(matches!(ping, Err(StoreError::Unavailable(_))), "{ping:?}");
    assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());

    cluster.start().await;
    let deadline = Instant::now() + LIMIT;
    while let Err(error) = store.commit_now(&during).await {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        assert!(Instant::now() < deadline, "{error:?}");
    }
    assert_eq!(seen(&store, &["before", "during"]).await, [true, true]);
    assert_eq!(counted(&store, "n").await, 2);
}
