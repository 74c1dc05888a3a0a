//! What is true of every store, on either database.

use std::error::Error;
use std::time::Duration;

use longshore_event::{Headers, Identity, TopicPartition};
use longshore_store::RejectedStatement;
use longshore_worker::{Finished, Store, StoreError, Value, sql};

use crate::batch::{
    CommitNow, count, counted, identity, message, outgoing, seen, sending, sequences, writing,
};
use crate::support::Place;

pub(crate) async fn a_committed_message_is_seen(place: &Place) {
    let store = place.open().await;
    assert_eq!(seen(&store, &["a"]).await, [false]);

    store
        .commit_now(&[message("a"), message("c")])
        .await
        .expect("committed");

    assert_eq!(seen(&store, &["a", "b", "c"]).await, [true, false, true]);
    let elsewhere = Identity {
        source: "other".into(),
        id: "a".into(),
    };
    assert_eq!(store.seen(&[&elsewhere]).await.expect("asked"), [false]);
    assert_eq!(store.seen(&[]).await.expect("asked"), [false; 0]);
}

pub(crate) async fn a_duplicate_refuses_the_whole_batch_and_leaves_nothing(place: &Place) {
    let store = place.open().await;
    store
        .commit_now(&[writing("a", count("n"))])
        .await
        .expect("committed");

    let mut fresh = writing("b", count("n"));
    fresh.outbox.push(outgoing(1, 0));
    let refused = store.commit_now(&[fresh, writing("a", count("n"))]).await;

    assert!(matches!(refused, Err(StoreError::Duplicate)), "{refused:?}");
    assert_eq!(seen(&store, &["a", "b"]).await, [true, false]);
    assert_eq!(counted(&store, "n").await, 1);
    assert_eq!(sequences(&store).await, [0; 0]);
}

pub(crate) async fn a_message_twice_in_a_batch_is_a_duplicate(place: &Place) {
    let store = place.open().await;

    let refused = store.commit_now(&[message("a"), message("a")]).await;

    assert!(matches!(refused, Err(StoreError::Duplicate)), "{refused:?}");
    assert_eq!(seen(&store, &["a"]).await, [false]);
}

pub(crate) async fn a_rejected_statement_leaves_nothing_and_is_named(place: &Place) {
    let store = place.open().await;
    let hopeless = [
        // A syntax error, a table that is not there, a null where none may be, a second row of one key, a
        // value too few, a value too many.
        sql("updat counter set count = 1"),
        sql("update no_such_table set count = $1").bind(1),
        sql("insert into counter (name, count) values ($1, $2)")
            .bind("x")
            .bind(None::<i64>),
        sql("insert into counter (name, count) values ('y', 1), ('y', 2)"),
        sql("insert into typed (id, words) values ($1, $2)").bind(1),
        sql("insert into typed (id) values ($1)").bind(1).bind(2),
    ];
    for statement in hopeless {
        let batch = [writing("a", count("n")), writing("b", statement.clone())];

        let error = store.commit_now(&batch).await.expect_err("cannot succeed");

        let StoreError::Rejected(rejected) = error else {
            panic!("{statement:?}: {error:?}");
        };
        let rejected = rejected.downcast::<RejectedStatement>().expect("its type");
        assert_eq!(rejected.text, statement.text);
        assert!(rejected.source().is_some());
        assert_eq!(seen(&store, &["a", "b"]).await, [false, false]);
        assert_eq!(counted(&store, "n").await, 0);
        let alone = store.execute(&statement).await;
        assert!(matches!(alone, Err(StoreError::Rejected(_))), "{alone:?}");
    }
    store
        .commit_now(&[writing("a", count("n"))])
        .await
        .expect("goes on");
}

pub(crate) async fn a_constraint_checked_at_the_commit_is_a_rejection(place: &Place) {
    let store = place.open().await;
    let orphan = sql("insert into child (id, parent) values (1, 7)");

    let refused = store.commit_now(&[writing("a", orphan.clone())]).await;

    assert!(
        matches!(refused, Err(StoreError::Rejected(_))),
        "{refused:?}"
    );
    assert_eq!(seen(&store, &["a"]).await, [false]);
    let late = sql("insert into parent (id) values (7)");
    let both = [writing("a", orphan), writing("b", late)];
    store
        .commit_now(&both)
        .await
        .expect("the parent came in time");
}

pub(crate) async fn a_result_that_cannot_be_read_is_a_rejection(place: &Place) {
    let store = place.open().await;

    let refused = store.fetch(&sql("select nothing from nowhere")).await;

    assert!(
        matches!(refused, Err(StoreError::Rejected(_))),
        "{refused:?}"
    );
}

pub(crate) async fn statements_run_in_the_order_of_messages_and_within_them(place: &Place) {
    let store = place.open().await;
    let append =
        |text: &'static str| sql("update typed set words = words || $1 where id = 1").bind(text);
    let first = Finished {
        writes: vec![
            sql("insert into typed (id, words) values (1, '')"),
            append("a"),
            append("b"),
        ],
        ..message("1")
    };
    let second = writing("2", append("c"));

    store.commit_now(&[first, second]).await.expect("committed");

    let row = store
        .fetch_optional(&sql("select words from typed where id = 1"))
        .await;
    assert_eq!(row.expect("read").expect("there").text(0), Some("abc"));
}

pub(crate) async fn ten_thousand_messages_are_one_batch(place: &Place) {
    let store = place.open().await;
    let ids: Vec<String> = (0..10_000).map(|n| format!("m-{n}")).collect();
    let batch: Vec<Finished> = ids
        .iter()
        .zip(0..)
        .map(|(id, sequence)| Finished {
            writes: vec![count("n")],
            ..sending(id, vec![outgoing(sequence, 0)])
        })
        .collect();

    store.commit_now(&batch).await.expect("committed");

    assert_eq!(counted(&store, "n").await, 10_000);
    let identities: Vec<&Identity> = batch.iter().map(|message| &message.identity).collect();
    assert!(
        store
            .seen(&identities)
            .await
            .expect("asked")
            .into_iter()
            .all(|seen| seen)
    );
    let rows = store.outbox(None, None, 20_000).await.expect("read");
    assert!(rows.iter().map(|row| row.sequence).eq(0..10_000));
    let all: Vec<_> = rows.iter().map(|row| row.id).collect();
    store.published(&all).await.expect("deleted");
    assert_eq!(sequences(&store).await, [0; 0]);
}

pub(crate) async fn nulls_and_binary_data_survive(place: &Place) {
    let store = place.open().await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let insert = |id: i64| {
        sql("insert into typed (id, number, ratio, words, raw) values ($1, $2, $3, $4, $5)")
            .bind(id)
    };
    let nulls = insert(1)
        .bind(Value::Integer(None))
        .bind(Value::Real(None))
        .bind(Value::Text(None))
        .bind(Value::Bytes(None));
    let values = insert(2)
        .bind(i64::MIN)
        .bind(0.1)
        .bind("Grüße, 世界 '; --")
        .bind(every_byte.clone());
    let empty = insert(3)
        .bind(i64::MAX)
        .bind(-0.5)
        .bind("")
        .bind(Vec::new());

    store
        .commit_now(&[writing("a", nulls), writing("b", values)])
        .await
        .expect("committed");
    assert_eq!(store.execute(&empty).await.expect("ran"), 1);

    let read = sql("select number, ratio, words, raw from typed order by id");
    let rows = store.fetch(&read).await.expect("read");
    assert_eq!(rows[0].integer(0), None);
    assert_eq!(rows[0].real(1), None);
    assert_eq!(rows[0].text(2), None);
    assert_eq!(rows[0].bytes(3), None);
    assert_eq!(rows[1].integer(0), Some(i64::MIN));
    assert_eq!(rows[1].real(1), Some(0.1));
    assert_eq!(rows[1].text(2), Some("Grüße, 世界 '; --"));
    assert_eq!(rows[1].bytes(3), Some(&every_byte[..]));
    assert_eq!(rows[2].integer(0), Some(i64::MAX));
    assert_eq!(rows[2].text(2), Some(""));
    assert_eq!(rows[2].bytes(3), Some(&[][..]));
    assert_eq!(rows[0].to_string(), "null | null | null | null");
    assert_eq!(rows[2].to_string(), "9223372036854775807 | -0.5 |  | x''");
    let escaped = rows[1].to_string();
    assert!(escaped.contains(" | 0.1 | Grüße"), "{escaped}");
    assert!(escaped.ends_with("fdfeff'"), "{escaped}");
}

pub(crate) async fn outbox_rows_survive_whole(place: &Place) {
    let store = place.open().await;
    let mut full = outgoing(1, 3);
    full.record.headers = Headers::new();
    full.record.headers.push("null", None);
    full.record.headers.push("twice", Some(&[0, 255]));
    full.record.headers.push("twice", Some(b""));
    full.record.value = Some((0..=255).collect::<Vec<u8>>().into());
    let mut bare = outgoing(2, 0);
    bare.record.key = None;
    bare.record.value = None;
    bare.record.headers = Headers::new();
    let mut empty = outgoing(3, i32::MAX);
    empty.record.key = Some("".into());
    empty.record.value = Some("".into());
    let rows = vec![full, bare, empty];

    store
        .commit_now(&[sending("a", rows.clone())])
        .await
        .expect("committed");

    assert_eq!(store.outbox(None, None, 10).await.expect("read"), rows);
}

pub(crate) async fn the_outbox_is_in_sequence_and_can_be_paged(place: &Place) {
    let store = place.open().await;
    let rows = [5, 1, 4].map(|sequence| outgoing(sequence, 0)).to_vec();
    store
        .commit_now(&[sending("a", rows)])
        .await
        .expect("committed");
    let rows = [3, 2].map(|sequence| outgoing(sequence, 0)).to_vec();
    store
        .commit_now(&[sending("b", rows)])
        .await
        .expect("committed");

    assert_eq!(sequences(&store).await, [1, 2, 3, 4, 5]);
    let mut after = None;
    let mut pages = Vec::new();
    loop {
        let page = store.outbox(None, after, 2).await.expect("read");
        let Some(last) = page.last() else { break };
        after = Some(last.sequence);
        pages.push(page.iter().map(|row| row.sequence).collect::<Vec<_>>());
    }
    assert_eq!(pages, [vec![1, 2], vec![3, 4], vec![5]]);
}

pub(crate) async fn the_outbox_can_be_asked_for_many_partitions(place: &Place) {
    let store = place.open().await;
    // More than one statement holds, and out of order with the sequence.
    let rows = (0..600).map(|n| outgoing(n, 599 - n as i32)).collect();
    store
        .commit_now(&[sending("a", rows)])
        .await
        .expect("committed");
    let ask = async |partitions: &[TopicPartition], after, limit| {
        let rows = store
            .outbox(Some(partitions), after, limit)
            .await
            .expect("read");
        rows.into_iter().map(|row| row.sequence).collect::<Vec<_>>()
    };
    let of = |numbers: &[i32]| -> Vec<TopicPartition> {
        numbers
            .iter()
            .map(|&n| TopicPartition::new("orders", n))
            .collect()
    };

    assert_eq!(ask(&of(&[599, 0, 597]), None, 10).await, [0, 2, 599]);
    assert_eq!(ask(&of(&[599, 0, 597]), Some(0), 1).await, [2]);
    assert_eq!(
        ask(&[TopicPartition::new("other", 0)], None, 10).await,
        [0; 0]
    );
    assert_eq!(ask(&[], None, 10).await, [0; 0]);
    let all: Vec<i32> = (0..600).collect();
    assert_eq!(ask(&of(&all), Some(9), 5).await, [10, 11, 12, 13, 14]);
    assert_eq!(ask(&of(&all), None, 1000).await.len(), 600);
}

pub(crate) async fn published_rows_are_gone(place: &Place) {
    let store = place.open().await;
    let rows: Vec<_> = (0..5).map(|sequence| outgoing(sequence, 0)).collect();
    store
        .commit_now(&[sending("a", rows.clone())])
        .await
        .expect("committed");

    store
        .published(&[rows[0].id, rows[1].id, rows[3].id])
        .await
        .expect("deleted");
    store.published(&[rows[0].id]).await.expect("passed over");
    store.published(&[]).await.expect("nothing to do");

    assert_eq!(sequences(&store).await, [2, 4]);
}

pub(crate) async fn a_dropped_commit_leaves_all_or_nothing(place: &Place) {
    const MESSAGES: usize = 50;
    let store = place.open().await;
    for round in 0..10_u64 {
        let batch: Vec<Finished> = (0..MESSAGES)
            .map(|n| writing(&format!("{round}-{n}"), count("n")))
            .collect();
        let before = counted(&store, "n").await;

        let limit = Duration::from_micros(700 * round);
        drop(tokio::time::timeout(limit, store.commit_now(&batch)).await);

        // This waits behind whatever the dropped call left: its connection is cleaned up first.
        let marker = format!("after-{round}");
        store
            .commit_now(&[message(&marker)])
            .await
            .expect("goes on");
        let identities: Vec<&Identity> = batch.iter().map(|message| &message.identity).collect();
        let seen = store.seen(&identities).await.expect("asked");
        let taken = counted(&store, "n").await - before;
        let whole = seen.iter().all(|&seen| seen) && taken == MESSAGES as i64;
        let none = !seen.contains(&true) && taken == 0;
        assert!(
            whole || none,
            "round {round}: {taken} writes, seen {seen:?}"
        );
    }
}

pub(crate) async fn handlers_and_the_committer_do_not_get_in_each_others_way(place: &Place) {
    const HANDLERS: i64 = 32;
    const STATEMENTS: i64 = 10;
    let store = place.open().await;
    let mut handlers = tokio::task::JoinSet::new();
    for handler in 0..HANDLERS {
        let store = store.clone();
        handlers.spawn(async move {
            for n in 0..STATEMENTS {
                let id = handler * STATEMENTS + n;
                let insert = sql("insert into typed (id) values ($1)").bind(id);
                assert_eq!(store.execute(&insert).await.expect("written"), 1);
                let read = sql("select id from typed where id = $1").bind(id);
                assert_eq!(store.fetch(&read).await.expect("read").len(), 1);
            }
        });
    }
    for n in 0..30 {
        let batch = [writing(&format!("m-{n}"), count("n"))];
        store.commit_now(&batch).await.expect("committed");
        store.seen(&[&identity("m-0")]).await.expect("asked");
    }
    while let Some(done) = handlers.join_next().await {
        done.expect("no handler failed");
    }
    assert_eq!(counted(&store, "n").await, 30);
    store.ping().await.expect("answers");
}
