//! What only a file can show.

use std::process::Command;
use std::{env, fs};

use longshore_store::{OpenError, SqlStore, StoreUrl};
use longshore_worker::{Finished, StoreError, sql};
use tempfile::tempdir;

use crate::batch::{CommitNow, message, seen};
use crate::support::Place;

const PATH: &str = "LONGSHORE_TEST_SECOND_PROCESS";

#[tokio::test]
async fn a_second_process_is_refused_and_told_what_to_use() {
    let directory = tempdir().expect("a directory");
    let path = directory.path().join("store.db");
    let url = StoreUrl::sqlite(&path);
    let first = SqlStore::open(&url, "test", &[]).await.expect("opens");
    let second = || {
        let output = Command::new(env::current_exe().expect("this test"))
            .args([
                "--exact",
                "sqlite::the_second_process",
                "--ignored",
                "--nocapture",
            ])
            .env(PATH, &path)
            .output()
            .expect("runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };

    let refused = second();
    let again = SqlStore::open(&url, "test", &[]).await;
    drop(first);
    drop(again);
    let accepted = second();

    assert!(
        refused.contains("is in use by another process"),
        "{refused}"
    );
    assert!(refused.contains("--store postgres://"), "{refused}");
    assert!(accepted.contains("opened"), "{accepted}");
}

#[tokio::test]
#[ignore = "the other process of a_second_process_is_refused_and_told_what_to_use"]
async fn the_second_process() {
    let path = env::var(PATH).expect("started by another test");
    match SqlStore::open(&StoreUrl::sqlite(path), "test", &[]).await {
        Ok(_) => println!("opened"),
        Err(error) => println!("{error}"),
    }
}

#[tokio::test]
async fn a_full_disk_is_an_outage_and_over_once_there_is_room() {
    let place = Place::sqlite();
    let store = place.open().await;
    let large = |id: &str, key: i64| Finished {
        writes: vec![
            sql("insert into typed (id, raw) values ($1, $2)")
                .bind(key)
                .bind(vec![7; 100_000]),
        ],
        ..message(id)
    };
    for key in 1..=3 {
        // As small as the file is now: SQLite answers then as if the disk were full. The limit is the connection's.
        let shrink = store.execute(&sql("pragma max_page_count = 1")).await;
        shrink.expect("the pragma");
        let id = key.to_string();
        let full = store.commit_now(&[large(&id, key)]).await;
        assert!(matches!(full, Err(StoreError::Unavailable(_))), "{full:?}");
        assert_eq!(seen(&store, &[&id]).await, [false]);

        let room = store.commit_now(&[large(&id, key)]).await;
        room.expect("there is room again");
        assert_eq!(seen(&store, &[&id]).await, [true]);
    }
}

#[tokio::test]
async fn clones_share_the_lock_and_the_last_one_frees_it() {
    let place = Place::sqlite();
    let store = place.open().await;
    let clone = store.clone();
    drop(store);

    let second = SqlStore::open(&place.url, "test", &[]).await;
    assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");

    drop(clone);
    place.open().await;
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_left_alone() {
    let directory = tempdir().expect("a directory");
    let file = directory.path().join("notes.txt");
    let notes = "these are notes and no database\n".repeat(200);
    fs::write(&file, &notes).expect("written");

    let refused = SqlStore::open(&StoreUrl::sqlite(&file), "test", &[]).await;
    assert!(
        matches!(refused, Err(OpenError::File { .. })),
        "{refused:?}"
    );
    let below = SqlStore::open(&StoreUrl::sqlite(file.join("x.db")), "test", &[]).await;
    assert!(matches!(below, Err(OpenError::File { .. })), "{below:?}");

    assert_eq!(fs::read_to_string(&file).expect("read"), notes);
}
