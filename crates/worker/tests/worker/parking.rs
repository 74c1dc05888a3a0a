//! Keys that park: what failed waits with everything behind it, other keys flow, and all of it drains in order.

use std::time::Duration;

use longshore_event::{
    DeadLetter, OutgoingRecord, Position, Redrive, RedriveAction, redrive_topic,
};
use longshore_testkit::memory::Note;
use longshore_worker::{Brake, OnDead, Park, ParkedState, Settings};
use tokio::time::timeout;

use crate::bench::{Bench, GROUP, Running, SOON};

#[tokio::test(start_paused = true)]
async fn a_failed_key_parks_its_later_records_and_drains_in_order() {
    let bench = Bench::new(1);
    bench.produce("a", &["late 1", "a 2", "a 3"]);
    bench.produce("b", &["b 1"]);
    let worker = bench.start();

    bench
        .until_true("the offset passes what is parked", |bench| {
            bench.committed() == 4
        })
        .await;
    assert_eq!(bench.store.parked_rows().len(), 3);
    assert_eq!(bench.texts("echoes"), ["b 1"], "another key flows");

    bench.produce("a", &["a 4"]);
    bench.until("echoes", 5).await;
    assert_eq!(
        bench.texts("echoes"),
        ["b 1", "late 1", "a 2", "a 3", "a 4"]
    );
    assert_eq!(bench.store.parked_rows(), []);
    bench.produce("a", &["a 5"]);
    bench.until("echoes", 6).await;
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn other_keys_flow_while_one_is_parked() {
    let bench = Bench::new(1);
    bench.produce("a", &["down 1"]);
    let worker = bench.start();
    bench
        .until_true("it is parked", |bench| bench.store.parked_rows().len() == 1)
        .await;

    bench.produce("b", &["b 1"]);
    bench
        .until_within("echoes", 1, Duration::from_millis(100))
        .await;
    assert_eq!(bench.store.parked_rows().len(), 1, "it is still parked");
    worker.crash().await;
}

#[tokio::test(start_paused = true)]
async fn other_keys_flow_while_many_drain() {
    const KEYS: usize = 200;
    let bench = Bench::new(1);
    bench.calls.service_down(true);
    for n in 0..KEYS {
        let slow = (0..10).map(|m| format!("slow {m}")).collect::<Vec<_>>();
        let mut texts = vec!["service"];
        texts.extend(slow.iter().map(String::as_str));
        bench.produce(&format!("k-{n}"), &texts);
    }
    let worker = bench.start_changed(|settings| {
        settings.brake.share = 1.0;
        settings.park.attempts = 100;
    });
    bench
        .until_true("all is parked", |bench| {
            bench.store.parked_rows().len() == 11 * KEYS
        })
        .await;
    bench.calls.service_down(false);
    bench
        .until_true("they drain, more than there are handlers", |bench| {
            bench.log.records("echoes").len() > KEYS + KEYS / 2
        })
        .await;

    let before = tokio::time::Instant::now();
    bench.produce("healthy", &["x"]);
    bench
        .until_true("it is done", |bench| {
            bench.texts("echoes").iter().any(|text| text == "x")
        })
        .await;
    let waited = before.elapsed();
    assert!(
        !bench.store.parked_rows().is_empty(),
        "the others still drain"
    );
    assert!(
        waited < Duration::from_millis(1_200),
        "no longer than one of them takes: {waited:?}"
    );
    worker.crash().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_parked_has_a_bound_and_the_worker_says_that_it_is_reached() {
    let bench = Bench::new(1);
    bench.calls.service_down(true);
    let mut texts = vec!["service"];
    texts.resize(200, "x");
    bench.produce("a", &texts);
    bench.produce("b", &["b"]);
    let settings = Settings {
        max_in_flight: 5,
        park: Park {
            max_messages: 20,
            attempts: 100,
            first: Duration::from_secs(1),
            ..Park::default()
        },
        ..bench.settings()
    };
    let worker = bench.start_with(settings, bench.group.join(5));
    worker.control.assign(&bench.partitions());
    tokio::time::sleep(Duration::from_secs(3_600)).await;

    let parked = bench.store.parked_rows().len();
    assert!((20..25).contains(&parked), "{parked} are parked");
    let report = worker.inspector.report().await.expect("it runs");
    let paused = report.paused.expect("nothing is taken in");
    assert!(paused.contains("20 messages are parked"), "{paused}");

    bench.calls.service_down(false);
    bench.until_within("echoes", 201, 10 * SOON).await;
    worker.stop().await.expect("left in good order");
    assert_eq!(bench.store.parked_rows(), []);
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_a_parked_message_of_another_partition_goes_on() {
    let bench = Bench::new(2);
    let send = |partition, text| {
        let record = Note::new("a", text).outgoing(text);
        bench.log.append_to(partition, record).expect("appended");
    };
    send(0, "down 1");
    let worker = bench.start();
    bench
        .until_true("it is out", |bench| bench.calls.started("down 1") == 1)
        .await;
    send(1, "other");
    send(0, "a 2");

    bench.until("echoes", 1).await;

    assert_eq!(bench.texts("echoes"), ["other"]);
    bench
        .until_true("the rest is parked", |bench| {
            bench.store.parked_rows().len() == 2
        })
        .await;
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_the_inbox_refuses_does_not_pass_for_the_parked_message() {
    let bench = Bench::new(2);
    let send = |partition, id, text| {
        let record = Note::new("a", text).outgoing(id);
        bench.log.append_to(partition, record).expect("appended");
    };
    bench.calls.service_down(true);
    send(1, "1", "service 1");
    send(1, "2", "2");
    send(1, "3", "slow 3");
    let worker = bench.start();
    bench
        .until_true("they are parked", |bench| {
            bench.store.parked_rows().len() == 3
        })
        .await;
    bench.calls.service_down(false);
    bench
        .until_true("the last of them drains", |bench| {
            bench.calls.started("slow 3") == 1
        })
        .await;

    // A copy in another partition waits in the lane; the message itself is parked, which claims its place in the inbox.
    send(0, "4", "slow 4");
    tokio::time::sleep(Duration::from_millis(10)).await;
    send(1, "4", "slow 4");
    send(1, "5", "5");
    bench.until("echoes", 5).await;
    worker.stop().await.expect("left in good order");

    assert_eq!(
        bench.texts("echoes"),
        ["service 1", "2", "slow 3", "slow 4", "5"]
    );
}

#[tokio::test(start_paused = true)]
async fn attempts_and_order_survive_a_crash_and_a_new_owner() {
    let bench = Bench::new(1);
    bench.produce("a", &["down 1", "a 2"]);
    let worker = bench.start();
    bench
        .until_true("it is parked", |bench| bench.store.parked_rows().len() == 2)
        .await;
    worker.crash().await;

    let worker = bench.start();
    bench.produce("a", &["a 3"]);
    bench.until("notes.dlq", 1).await;
    bench.until("echoes", 2).await;

    assert_eq!(
        bench.calls.started("down 1"),
        6,
        "not one more for the crash"
    );
    assert_eq!(bench.texts("echoes"), ["a 2", "a 3"]);
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_parked_key_leaves_with_its_partition() {
    let bench = Bench::new(2);
    let moving = bench.produce("a", &["late 1", "a 2"])[0].partition.clone();
    let first = bench.start();
    bench
        .until_true("it is parked", |bench| bench.store.parked_rows().len() == 2)
        .await;
    let answered = first
        .control
        .revoke(std::slice::from_ref(&moving), Duration::from_secs(60));
    assert!(answered.await.is_some(), "a parked key holds nothing up");

    let second = bench.start_with(bench.settings(), bench.group.join(100));
    second.control.assign(&[moving]);
    bench.until("echoes", 2).await;

    assert_eq!(bench.texts("echoes"), ["late 1", "a 2"]);
    first.stop().await.expect("left in good order");
    second.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_strict_worker_holds_the_key_of_a_dead_message_until_it_is_redriven() {
    let bench = Bench::new(1).with_redrive();
    let dead = bench.produce("a", &["fixable 1", "a 2"])[0].position();
    bench.produce("b", &["b 1"]);
    let worker = bench.start_changed(|settings| settings.on_dead = OnDead::HoldKey);
    bench.until("notes.dlq", 1).await;
    bench.until("echoes", 1).await;
    bench.produce("a", &["a 3"]);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(bench.texts("echoes"), ["b 1"], "its key waits");
    assert_eq!(bench.store.parked_rows()[0].state, ParkedState::Held);

    redrive(&bench, &dead, RedriveAction::Handle, Some("mended 1"));
    bench.until("echoes", 4).await;
    assert_eq!(bench.texts("echoes"), ["b 1", "mended 1", "a 2", "a 3"]);
    assert_eq!(bench.store.parked_rows(), []);
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn what_holds_a_key_tells_why_its_last_redrive_died() {
    let bench = Bench::new(1).with_redrive();
    let dead = bench.produce("a", &["fixable 1", "a 2"])[0].position();
    let worker = bench.start_changed(|settings| settings.on_dead = OnDead::HoldKey);
    bench.until("notes.dlq", 1).await;

    redrive(&bench, &dead, RedriveAction::Handle, Some("down 1"));
    bench.until("notes.dlq", 2).await;
    let told = async || {
        let report = worker.inspector.report().await.expect("it runs");
        let lane = &report.parked[0];
        (
            lane.held,
            lane.offset,
            lane.last_error.clone(),
            lane.attempts,
        )
    };
    let expected = (true, dead.offset.0, Some("always".to_owned()), 6);
    let seen = async {
        while told().await != expected {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let seen = timeout(SOON, seen).await;
    assert!(seen.is_ok(), "{:?}", told().await);
    assert_eq!(bench.store.parked_rows().len(), 2);
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_discarded_message_frees_its_key() {
    let bench = Bench::new(1).with_redrive();
    let dead = bench.produce("a", &["poison 1", "a 2"])[0].position();
    let worker = bench.start_changed(|settings| settings.on_dead = OnDead::HoldKey);
    bench.until("notes.dlq", 1).await;

    redrive(&bench, &dead, RedriveAction::Discard, None);
    bench.until("echoes", 1).await;
    assert_eq!(bench.texts("echoes"), ["a 2"]);
    assert_eq!(bench.calls.started("poison 1"), 1);
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_holds_its_key_too() {
    let bench = Bench::new(1).with_redrive();
    let dead = bench.produce("a", &["bad write", "a 2", "a 3"])[0].position();
    let worker = bench.start_changed(|settings| settings.on_dead = OnDead::HoldKey);
    bench.until("notes.dlq", 1).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.texts("echoes"), [] as [&str; 0]);

    redrive(&bench, &dead, RedriveAction::Discard, None);
    bench.until("echoes", 2).await;
    assert_eq!(bench.texts("echoes"), ["a 2", "a 3"]);
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_redrive_goes_to_its_group_alone() {
    let bench = Bench::new(1).with_redrive();
    let dead = bench.produce("a", &["fixable 1"])[0].position();
    let worker = bench.start();
    bench.until("notes.dlq", 1).await;

    redrive(&bench, &dead, RedriveAction::Handle, Some("mended 1"));

    assert_eq!(bench.log.records("notes").len(), 1, "every group reads it");
    assert_eq!(bench.log.records(&redrive_topic(GROUP)).len(), 1);
    bench.until("echoes", 1).await;
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_redrive_takes_effect_once_however_often_it_is_sent() {
    let bench = Bench::new(1).with_redrive();
    let dead = bench.produce("a", &["fixable 1"])[0].position();
    let worker = bench.start();
    bench.until("notes.dlq", 1).await;

    redrive(&bench, &dead, RedriveAction::Handle, Some("mended 1"));
    redrive(&bench, &dead, RedriveAction::Handle, Some("mended 1"));
    bench.until("echoes", 1).await;
    bench
        .until_true("both copies are behind the watermark", |bench| {
            let partition = &bench.log.partitions(&redrive_topic(GROUP))[0];
            bench
                .group
                .committed(partition)
                .is_some_and(|next| next.0 == 2)
        })
        .await;
    assert_eq!(bench.texts("echoes"), ["mended 1"]);
    assert_eq!(bench.store.statements().len(), 1);
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_redriven_message_that_dies_again_is_a_dead_letter_of_its_first_topic() {
    let bench = Bench::new(1).with_redrive();
    let dead = bench.produce("a", &["poison 1"])[0].position();
    let worker = bench.start();
    bench.until("notes.dlq", 1).await;

    redrive(&bench, &dead, RedriveAction::Handle, None);
    bench.until("notes.dlq", 2).await;

    let letters: Vec<_> = bench.log.records("notes.dlq");
    let read = |n: usize| DeadLetter::read(&letters[n].headers).expect("a letter");
    assert_eq!((read(0).redrive_count, read(1).redrive_count), (0, 1));
    assert_eq!((read(1).topic.as_str(), read(1).offset), ("notes", 0));
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn the_headers_of_a_redrive_are_believed_on_the_redrive_topic_alone() {
    let bench = Bench::new(1);
    let first = bench.produce("a", &["a 1"])[0].clone();
    let redrive = Redrive {
        origin: first.position(),
        count: 1,
        action: RedriveAction::Discard,
        run: "forged".into(),
        of: None,
    };
    let mut forged = redrive.record(GROUP, &first);
    forged.topic = "notes".into();
    forged.headers.replace("ce_id", "forged-1");
    bench.log.append(forged).expect("there is a topic");
    let worker = bench.start();
    bench.until("echoes", 2).await;
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn the_brake_waits_instead_of_parking_everything() {
    let bench = Bench::new(4);
    for n in 0..300 {
        bench.produce(&format!("k-{n}"), &["service"]);
    }
    bench.calls.service_down(true);
    let worker = bench.start_changed(|settings| {
        settings.brake = Brake {
            window: 20,
            least: 10,
            ..Brake::default()
        };
    });
    tokio::time::sleep(Duration::from_secs(600)).await;
    let parked = bench.store.parked_rows().len();
    assert!(parked < 100, "{parked} of 300 are parked");
    assert_eq!(bench.log.records("notes.dlq"), []);

    bench.calls.service_down(false);
    bench.until("echoes", 300).await;
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn parked_keys_in_memory_are_bounded() {
    let bench = Bench::new(1);
    for n in 0..60 {
        bench.produce(&format!("k-{n}"), &["late", "behind"]);
    }
    let mut settings = bench.settings();
    settings.park.max_keys = 10;
    settings.brake.share = 1.0;
    let worker = bench.start_with(settings, bench.group.join(20));
    worker.control.assign(&bench.partitions());
    let mut most = 0;
    let watch = async {
        while bench.log.records("echoes").len() < 120 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let report = worker.inspector.report().await.expect("it runs");
            most = most.max(report.parked_keys);
        }
    };
    timeout(SOON, watch).await.expect("all drain");

    // Those that were in flight already when the bound was reached may come on top.
    assert!(most <= 10 + 20, "{most} keys in memory");
    worker.crash().await;
    assert_eq!(bench.store.parked_rows(), []);
}

#[tokio::test(start_paused = true)]
async fn a_redrive_is_read_though_held_keys_and_waiting_messages_fill_every_bound() {
    let bench = Bench::new(2).with_redrive();
    let dead = bench.produce("a", &["fixable 1"])[0].position();
    let worker = start_strict_with_one_of_everything(&bench);
    bench.until("notes.dlq", 1).await;
    for n in 0..20 {
        bench.produce(&format!("k-{n}"), &["behind"]);
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.texts("echoes"), [] as [&str; 0], "the bound is kept");

    redrive(&bench, &dead, RedriveAction::Handle, Some("mended 1"));
    bench.until("echoes", 21).await;
    assert_eq!(bench.store.parked_rows(), []);
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_redriven_message_that_is_parked_is_tried_again_though_held_keys_fill_the_bound() {
    let bench = Bench::new(1).with_redrive();
    let first = bench.produce("a", &["fixable 1"])[0].position();
    let worker = start_strict_with_one_of_everything(&bench);
    bench.until("notes.dlq", 1).await;
    bench.calls.service_down(true);
    redrive(&bench, &first, RedriveAction::Handle, Some("service"));
    bench
        .until_true("the redriven one is parked", |bench| {
            bench.store.parked_rows().len() == 2
        })
        .await;
    worker.crash().await;

    bench.calls.service_down(false);
    let worker = start_strict_with_one_of_everything(&bench);
    bench.until("echoes", 1).await;
    assert_eq!(bench.texts("echoes"), ["service"]);
    worker.stop().await.expect("left in good order");
}

/// A strict worker that keeps one parked key of each kind and one message in flight.
fn start_strict_with_one_of_everything(bench: &Bench) -> Running {
    let mut settings = bench.settings();
    settings.on_dead = OnDead::HoldKey;
    settings.park.max_keys = 1;
    settings.brake.share = 1.0;
    let source = bench.group.join(1).redrives(&settings.redrive_topic);
    let running = bench.start_with(settings, source);
    running.control.assign(&bench.partitions());
    running
}

/// Sends a dead letter back as the command line does, with another text if there is one.
fn redrive(bench: &Bench, dead: &Position, action: RedriveAction, text: Option<&str>) {
    let letters = bench.log.records("notes.dlq");
    let letter = letters.iter().find(|letter| {
        let read = DeadLetter::read(&letter.headers).expect("a dead letter");
        read.offset == dead.offset.0
    });
    let letter = letter.expect("it died");
    let redrive = Redrive {
        origin: dead.clone(),
        count: 1,
        action,
        run: "run-1".into(),
        of: Some(letter.position()),
    };
    let mut record: OutgoingRecord = redrive.record(GROUP, letter);
    if let Some(text) = text {
        let note = serde_json::to_vec(&Note::new("a", text)).expect("a note");
        record.value = Some(note.into());
    }
    bench.log.append(record).expect("there is a redrive topic");
}
