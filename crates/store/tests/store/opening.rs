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
    let expected = [("longshore", 1), ("longshore", 2), ("test", 1), ("test", 2)];
    assert_eq!(
        history,
        expected.map(|(module, version)| (Some(module), Some(version)))
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

async fn open(place: &Place, migrations: &[Migration]) -> Result<SqlStore, OpenError> {
    SqlStore::open(&place.url, &place.group, migrations).await
}
