//! Messages that fail: tried again, given up as dead letters, and never in the way of others.

use std::time::Duration;

use bytes::Bytes;
use longshore_event::{DeadLetter, ErrorKind, Headers, OutgoingRecord, attribute};
use longshore_testkit::memory::{Note, partition_of_key};

use crate::bench::Bench;

/// Produces one message that fails and one of another key, and returns the dead letter.
async fn dead_letter_of(text: &str) -> (Bench, DeadLetter) {
    let bench = Bench::new(1);
    bench.produce("a", &[text, "after"]);
    bench.produce("b", &["other"]);
    let worker = bench.start();
    bench.until("notes.dlq", 1).await;
    bench.until("echoes", 2).await;
    bench
        .until_true("all is finished", |bench| bench.committed() == 3)
        .await;
    worker.stop().await.expect("left in good order");

    let dead = bench.log.records("notes.dlq");
    assert_eq!(dead.len(), 1);
    let original = &bench.log.records("notes")[0];
    assert_eq!(
        (&dead[0].key, &dead[0].value),
        (&original.key, &original.value)
    );
    for (name, value) in original.headers.iter() {
        assert_eq!(dead[0].headers.get(name), value, "{name}");
    }
    let letter = DeadLetter::read(&dead[0].headers).expect("a dead letter");
    (bench, letter)
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_a_dead_letter_after_the_last_attempt() {
    let (bench, letter) = dead_letter_of("down").await;

    assert_eq!(bench.calls.started("down"), 6);
    assert_eq!(letter.kind, ErrorKind::Transient);
    assert_eq!(letter.delivery_count, 6);
    assert_eq!(letter.message, "always");
    assert_eq!((letter.topic.as_str(), letter.offset), ("notes", 0));
    assert_eq!(
        (letter.group.as_str(), letter.handler.as_str()),
        ("echoers", "script")
    );
    assert!(letter.first_failed_at < letter.last_failed_at);
}

#[tokio::test(start_paused = true)]
async fn a_healthy_partition_resets_no_attempts_of_a_failing_one() {
    let bench = Bench::new(2);
    let failing = bench.produce("a", &["down"])[0].partition.clone();
    let healthy = (0..).map(|n| format!("k-{n}"));
    let mut healthy = healthy.filter(|key| {
        let partitions = bench.partitions().len() as i32;
        partition_of_key(key.as_bytes(), partitions) != failing.partition
    });
    let worker = bench.start();
    let mut flowing = 0;
    while bench.log.records("notes.dlq").is_empty() {
        bench.produce(&healthy.next().expect("there are more"), &["x"]);
        flowing += 1;
        bench.until("echoes", flowing).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(bench.calls.started("down") <= 6, "it goes on for ever");
    }

    assert_eq!(bench.calls.started("down"), 6);
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_a_dead_letter_at_once() {
    let (bench, letter) = dead_letter_of("poison").await;
    assert_eq!(bench.calls.started("poison"), 1);
    assert_eq!(letter.kind, ErrorKind::Permanent);
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_the_message_and_not_the_worker() {
    let (_, letter) = dead_letter_of("panic").await;
    assert_eq!(letter.error_type, "Panicked");
    assert_eq!(letter.message, "the handler panicked: as asked");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_returns_is_given_up() {
    let (_, letter) = dead_letter_of("hang").await;
    assert_eq!(letter.error_type, "TimedOut");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_write_harms_only_its_own_message() {
    let (bench, letter) = dead_letter_of("bad write").await;

    assert_eq!(letter.kind, ErrorKind::Permanent);
    let written: Vec<_> = bench
        .store
        .statements()
        .iter()
        .map(|one| one.text.clone())
        .collect();
    assert_eq!(written, ["insert into notes values ($1)"; 2]);
}

fn graves(bench: &Bench) -> usize {
    let statements = bench.store.statements();
    let graves = statements.iter();
    graves
        .filter(|one| one.text == "insert into graves values ($1)")
        .count()
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_says_of_a_message_it_gives_up_comes_with_the_dead_letter() {
    for text in ["poison mourned", "down mourned", "bad write mourned"] {
        let (bench, _) = dead_letter_of(text).await;
        assert_eq!(graves(&bench), 1, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_does_without_what_the_store_rejects() {
    let (bench, letter) = dead_letter_of("poison badly").await;
    assert_eq!(letter.message, "never");
    assert_eq!(graves(&bench), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_event_is_a_dead_letter_of_the_same_bytes() {
    let bench = Bench::new(1);
    let mut odd_headers = Headers::new();
    odd_headers.push("binary", Some(&[0xff, 0xfe]));
    let mut long_header = Headers::new();
    long_header.push("long", Some(&[b'x'; 64 * 1024]));
    let mut version = Note::new("a", "x").outgoing("v");
    version.headers.replace(attribute::TYPE, "note.v9");
    let values = [
        (
            Some(Bytes::from_static(&[0, 159, 146, 150])),
            odd_headers,
            "InvalidJson",
        ),
        (Some(Bytes::new()), Headers::new(), "EmptyValue"),
        (None, Headers::new(), "Tombstone"),
        (
            Some(vec![b'x'; 900 * 1024].into()),
            Headers::new(),
            "LimitExceeded",
        ),
        (Some("{}".into()), long_header, "LimitExceeded"),
        (version.value, version.headers, "UnknownEventVersion"),
    ];
    for (value, headers, _) in &values {
        let record = OutgoingRecord {
            topic: "notes".into(),
            key: Some("a".into()),
            value: value.clone(),
            headers: headers.clone(),
        };
        bench.log.append(record).expect("topic exists");
    }
    bench.produce("a", &["after"]);
    let worker = bench.start();
    bench.until("echoes", 1).await;
    bench.until("notes.dlq", values.len()).await;
    worker.stop().await.expect("left in good order");

    for (dead, (value, headers, reason)) in bench.log.records("notes.dlq").iter().zip(values) {
        assert_eq!(dead.value, value);
        for (name, value) in headers.iter() {
            assert_eq!(dead.headers.get(name), value);
        }
        let letter = DeadLetter::read(&dead.headers).expect("a dead letter");
        assert_eq!(
            (letter.kind, letter.error_type.as_str()),
            (ErrorKind::Undecodable, reason)
        );
        assert_eq!(letter.delivery_count, 0);
    }
}
