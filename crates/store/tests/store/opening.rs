//! Opening a store a second time, with the same tables, with more, and with fewer.

use longshore_store::{Migration, OpenError, SqlStore};
use longshore_worker::sql;

use crate::batch::{CommitNow, count, counted, outgoing, seen, sequences, writing};
use crate::support::{Place, TABLES};

const SECOND: Migration = Migration {
    module: "test",
    version: 2,
    name: "a second table",
    sql: "create table second (id bigint not null primary key); insert into second (id) values (1);",
};

pub(crate) async fn reopening_keeps_everything(place: &Place) {
    let store = place.open().await;
    let mut message = writing("a", count("n"));
    message.outbox.push(outgoing(1, 0));
    store.commit_now(&[message]).await.expect("committed");
    drop(store);

    let store = place.open().await;

    assert_eq!(seen(&store, &["a"]).await, [true]);
    assert_eq!(counted(&store, "n").await, 1);
    assert_eq!(sequences(&store).await, [1]);
}

pub(crate) async fn migrations_run_once(place: &Place) {
    drop(place.open().await);
    let both = [TABLES[0], SECOND];
    drop(open(place, &both).await.expect("upgraded"));

    let store = open(place, &both).await.expect("opened again");

    let rows = store
        .fetch(&sql("select id from second"))
        .await
        .expect("read");
    assert_eq!(rows.len(), 1);
    let history =
        sql("select module, version, name from longshore_migrations order by module, version");
    let history = store.fetch(&history).await.expect("read");
    let history: Vec<_> = history
        .iter()
        .map(|row| (row.text(0), row.integer(1)))
        .collect();
    let runtime = (1..=3).map(|version| ("longshore", version));
    let expected = runtime.chain([("test", 1), ("test", 2)]);
    assert_eq!(
        history,
        expected
            .map(|(module, version)| (Some(module), Some(version)))
            .collect::<Vec<_>>()
    );
}

pub(crate) async fn a_failed_migration_leaves_the_store_as_it_was(place: &Place) {
    drop(place.open().await);
    let broken = Migration {
        sql: "create table second (id bigint not null primary key); create tabel third (id bigint);",
        ..SECOND
    };

    let failed = open(place, &[TABLES[0], broken]).await;

    assert!(
        matches!(
            failed,
            Err(OpenError::Migration {
                module: "test",
                version: 2,
                ..
            })
        ),
        "{failed:?}"
    );
    drop(
        open(place, &[TABLES[0], SECOND])
            .await
            .expect("the table is not there yet"),
    );
}

pub(crate) async fn a_store_of_a_later_version_is_refused(place: &Place) {
    drop(open(place, &[TABLES[0], SECOND]).await.expect("opened"));

    let refused = open(place, TABLES).await;

    assert!(
        matches!(&refused, Err(OpenError::Newer { module, found: 2, known: 1 }) if module == "test"),
        "{refused:?}"
    );
    drop(
        open(place, &[])
            .await
            .expect("tables of modules that are not used do not matter"),
    );
}

pub(crate) async fn who_inspects_sees_what_is_committed_and_cannot_write(place: &Place) {
    let store = place.open().await;
    store
        .commit_now(&[writing("a", count("n"))])
        .await
        .expect("committed");

    let inspected = SqlStore::inspect(&place.url, &place.group)
        .await
        .expect("opened beside its worker");

    assert_eq!(counted(&inspected, "n").await, 1);
    let insert = sql("insert into counter (name, count) values ('m', 1)");
    inspected.execute(&insert).await.expect_err("read only");
    store.execute(&insert).await.expect("its worker can");
    assert_eq!(counted(&inspected, "m").await, 1);
    drop(store);
    assert_eq!(counted(&inspected, "m").await, 1, "nor is a worker needed");
}

pub(crate) async fn a_statement_that_writes_can_tell_what_it_wrote(place: &Place) {
    let store = place.open().await;
    let insert = sql(
        "insert into counter (name, count) values ($1, 1) on conflict (name) do nothing returning name",
    );
    let first = store.execute_returning(&insert.clone().bind("n")).await;
    assert_eq!(first.expect("written")[0].text(0), Some("n"));
    let second = store.execute_returning(&insert.bind("n")).await;
    assert!(second.expect("not written").is_empty());
    assert_eq!(counted(&store, "n").await, 1);
}

async fn open(place: &Place, migrations: &[Migration]) -> Result<SqlStore, OpenError> {
    SqlStore::open(&place.url, &place.group, migrations).await
}
