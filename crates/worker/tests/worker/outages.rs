//! The store or the broker is away: work waits, nothing is lost, dropped or dead-lettered.

use std::time::Duration;

use longshore_worker::{OldestState, PublishErrorKind, Settings};
use tokio::time::Instant;

use crate::bench::{Bench, Running};

#[tokio::test(start_paused = true)]
async fn work_waits_for_the_store_and_goes_on() {
    let bench = Bench::new(1);
    let worker = bench.start();
    bench.produce("a", &["1"]);
    bench.until("echoes", 1).await;

    bench.store.unavailable();
    bench.produce("a", &["2", "3"]);
    let mut status = worker.status.clone();
    status
        .wait_for(|status| status.commits_unavailable.is_some())
        .await
        .expect("running");
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!(bench.committed() <= 1);
    assert!(bench.log.records("notes.dlq").is_empty());

    bench.store.available();
    bench.until("echoes", 3).await;
    status
        .wait_for(|status| status.ready())
        .await
        .expect("running");
    worker.stop().await.expect("left in good order");
    assert_eq!(bench.texts("echoes"), ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_an_outage_holds_up_frees_no_offset_and_buries_nothing() {
    let bench = Bench::new(1);
    let settings = Settings {
        // That of the first message is committed when the second one is handled.
        offset_interval: Duration::from_secs(10),
        ..bench.settings()
    };
    let worker = bench.start_with(settings, bench.group.join(2_000));
    worker.control.assign(&bench.partitions());
    bench.produce("a", &["1", "slow 2"]);
    bench
        .until_true("it is handled", |bench| bench.calls.started("slow 2") == 1)
        .await;
    bench.store.unavailable();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(bench.calls.started("slow 2."), 1, "it waits for its commit");
    assert_eq!(bench.committed(), 1);

    bench.store.available();
    bench.until("echoes", 2).await;
    worker.stop().await.expect("left in good order");
    assert_eq!(bench.texts("echoes"), ["1", "slow 2"]);
    assert!(bench.log.records("notes.dlq").is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_topic_has_a_bound_and_the_worker_says_that_it_is_reached() {
    const MESSAGES: usize = 15_000;
    let bench = Bench::new(1);
    bench.publisher.unavailable();
    // So that what is committed within a second is a bounded number too.
    bench.store.set_latency(Duration::from_millis(100));
    for n in 0..MESSAGES {
        bench.produce(&format!("k-{}", n % 500), &["x"]);
    }
    let settings = Settings {
        max_unpublished: 3_000,
        max_in_flight: 500,
        ..bench.settings()
    };
    let worker = bench.start_with(settings, bench.group.join(500));
    worker.control.assign(&bench.partitions());
    tokio::time::sleep(Duration::from_secs(3_600)).await;

    let waiting = bench.store.outbox_rows().len();
    assert!((3_000..8_000).contains(&waiting), "{waiting} wait");
    let report = worker.inspector.report().await.expect("it runs");
    let paused = report.paused.expect("nothing is taken in");
    assert!(
        paused.contains("3000 records wait to be published"),
        "{paused}"
    );

    bench.publisher.available();
    bench.until("echoes", MESSAGES).await;
    bench.until_published().await;
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_needs_the_store_waits_for_it() {
    let bench = Bench::new(1);
    bench.produce("a", &["slow 1"]);
    bench.produce("b", &["ask 2"]);
    // So that the second one is known to be new, and starts when the store is down.
    let worker = bench.start_changed(|settings| settings.concurrency = 1);
    bench
        .until_true("it is handled", |bench| bench.calls.started("slow 1") == 1)
        .await;
    bench.store.unavailable();
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let asked = bench.calls.started("ask 2");
    assert!(asked > 100, "it asked {asked} times");

    bench.store.available();
    bench.until("echoes", 2).await;
    worker.stop().await.expect("left in good order");

    assert!(bench.log.records("notes.dlq").is_empty());
    let finished = bench.store.finished();
    assert!(
        finished.iter().all(|one| one.parked.is_none()),
        "it waits in its lane, and its runs do not count"
    );
}

/// A worker with two hands, and twenty keys that need a service which is down.
async fn out_of_reach(bench: &Bench) -> Running {
    bench.calls.service_down(true);
    for n in 1..=20 {
        let (first, second) = (format!("unasked {n}"), format!("unasked {n} again"));
        bench.produce(&format!("k-{n}"), &[&first, &second]);
    }
    let worker = bench.start_changed(|settings| settings.concurrency = 2);
    bench
        .until_true("the last one waits", |bench| {
            bench.calls.started("unasked 20") > 0
        })
        .await;
    worker
}

#[tokio::test(start_paused = true)]
async fn keys_that_do_not_need_what_is_away_go_on() {
    let bench = Bench::new(1);
    let worker = out_of_reach(&bench).await;
    bench.produce("other", &["1", "2"]);
    bench.until("echoes", 2).await;
    assert_eq!(bench.texts("echoes"), ["1", "2"]);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let report = worker.inspector.report().await.expect("it runs");
    let oldest = report.partitions[0].oldest.as_ref().expect("it waits");
    assert_eq!(oldest.state, OldestState::Handling);
    assert_eq!(oldest.last_error.as_deref(), Some("not asked"));
    assert_eq!(oldest.attempts, 0);
    assert!(oldest.next_try > Some(report.at));
    let since = report
        .at
        .duration_since(oldest.since.expect("it was started"));
    assert!(since.as_secs() >= 3_600, "{since}");

    bench.calls.service_down(false);
    bench.until("echoes", 42).await;
    worker.stop().await.expect("left in good order");

    let echoes = bench.texts("echoes");
    for n in 1..=20 {
        let of_key: Vec<_> = echoes
            .iter()
            .filter(|text| text.split(' ').nth(1) == Some(&n.to_string()))
            .collect();
        let (first, second) = (format!("unasked {n}"), format!("unasked {n} again"));
        assert_eq!(of_key, [&first, &second]);
    }
    assert!(bench.log.records("notes.dlq").is_empty());
    let finished = bench.store.finished();
    assert!(finished.iter().all(|one| one.parked.is_none()));
}

#[tokio::test(start_paused = true)]
async fn parked_keys_that_do_not_need_what_is_away_are_tried_again() {
    let bench = Bench::new(1);
    bench.calls.service_down(true);
    for n in 1..=3 {
        bench.produce(&format!("k-{n}"), &["cut off"]);
    }
    bench.produce("other", &["late 1"]);
    let worker = bench.start_changed(|settings| settings.concurrency = 2);
    // When it is parked for the second time, the others are out of the store already.
    bench.until("echoes", 1).await;
    assert_eq!(bench.texts("echoes"), ["late 1"]);

    bench.calls.service_down(false);
    bench.until("echoes", 4).await;
    worker.stop().await.expect("left in good order");
    assert_eq!(bench.store.parked_rows(), []);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_an_outage_to_end_is_left_to_the_next_owner_at_once() {
    let bench = Bench::new(1);
    let worker = out_of_reach(&bench).await;
    // Until each waits for seconds.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let began = Instant::now();
    worker.stop().await.expect("left in good order");
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(bench.committed(), 0);

    bench.calls.service_down(false);
    let worker = bench.start();
    bench.until("echoes", 40).await;
    worker.stop().await.expect("left in good order");
    assert_eq!(bench.committed(), 40);
}

#[tokio::test(start_paused = true)]
async fn taking_over_does_not_wait_for_ever_for_a_topic_that_does_not_answer() {
    let bench = Bench::new(1);
    bench.publisher.unavailable();
    bench.produce("a", &["1"]);
    let first = bench.start();
    bench.until_unpublished().await;
    first.crash().await;
    bench.produce("a", &["2"]);

    let second = bench.start();
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(bench.calls.started("2"), 0, "it may answer yet");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.calls.started("2"), 1, "it goes on without it");

    bench.publisher.available();
    bench.until("echoes", 2).await;
    second.stop().await.expect("left in good order");
    assert_eq!(
        bench.texts("echoes"),
        ["1", "2"],
        "what came later is behind"
    );
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_answer_is_lost_takes_effect_once_and_is_published() {
    let bench = Bench::new(1);
    bench.store.lose_answer_of_commit(1);
    bench.produce("a", &["1", "2"]);
    bench.produce("b", &["3"]);
    let worker = bench.start();
    bench.until("echoes", 3).await;
    bench
        .until_true("all is finished", |bench| bench.committed() == 3)
        .await;
    worker.stop().await.expect("left in good order");

    let echoes = bench.texts("echoes");
    assert_eq!(echoes.len(), 3);
    let place = |text| echoes.iter().position(|echo| echo == text);
    assert!(place("1") < place("2"), "{echoes:?}");
    assert_eq!(bench.store.finished().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_missing_dead_letter_topic_holds_back_dead_letters_and_nothing_else() {
    let bench = Bench::new(1);
    bench
        .publisher
        .refuse_topic("notes.dlq", PublishErrorKind::UnknownTopic);
    bench.produce("a", &["poison 1", "2", "poison 3"]);
    let worker = bench.start();
    bench.until("echoes", 1).await;
    bench
        .until_true("all is finished", |bench| bench.committed() == 3)
        .await;
    assert_eq!(bench.store.outbox_rows().len(), 2);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let report = worker.inspector.report().await.expect("it runs");
    let [refused] = report.unwritten.as_slice() else {
        panic!("{report:?}");
    };
    assert_eq!(refused.topic, "notes.dlq");
    assert!(refused.last_error.contains("notes.dlq"), "{refused:?}");
    let since = report.at.duration_since(refused.since);
    assert!((59..=60).contains(&since.as_secs()), "{since}");

    bench.publisher.accept_topic("notes.dlq");
    bench.until("notes.dlq", 2).await;
    bench.until_published().await;
    let report = worker.inspector.report().await.expect("it runs");
    assert_eq!(report.unwritten, []);
    worker.stop().await.expect("left in good order");
    assert_eq!(bench.texts("notes.dlq"), ["poison 1", "poison 3"]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_starts_and_stops_while_a_dead_letter_topic_is_missing() {
    let bench = Bench::new(1);
    bench
        .publisher
        .refuse_topic("notes.dlq", PublishErrorKind::UnknownTopic);
    bench.produce("a", &["poison"]);
    let first = bench.start();
    bench
        .until_true("it is finished", |bench| bench.committed() == 1)
        .await;
    first.stop().await.expect("left in good order");

    let second = bench.start();
    bench.produce("a", &["next"]);
    bench.until("echoes", 1).await;
    bench.publisher.accept_topic("notes.dlq");
    bench.until("notes.dlq", 1).await;
    bench.until_published().await;
    second.stop().await.expect("left in good order");

    assert_eq!(bench.texts("notes.dlq"), ["poison"]);
}

#[tokio::test(start_paused = true)]
async fn more_dead_letters_than_fit_in_memory_are_published_from_the_store() {
    let bench = Bench::new(1);
    bench
        .publisher
        .refuse_topic("notes.dlq", PublishErrorKind::UnknownTopic);
    for n in 0..5_000 {
        bench.produce(&format!("k-{}", n % 100), &[&format!("poison {n}")]);
    }
    let worker = bench.start();
    bench
        .until_true("all is finished", |bench| bench.committed() == 5_000)
        .await;

    bench.publisher.accept_topic("notes.dlq");
    bench.until("notes.dlq", 5_000).await;
    bench.until_published().await;
    worker.stop().await.expect("left in good order");

    let mut last = [-1; 100];
    for text in bench.texts("notes.dlq") {
        let n: i32 = text["poison ".len()..].parse().expect("a number");
        let key = (n % 100) as usize;
        assert!(last[key] < n, "{n} after {}", last[key]);
        last[key] = n;
    }
    assert_eq!(bench.log.records("notes.dlq").len(), 5_000);
}

#[tokio::test(start_paused = true)]
async fn follow_ons_wait_for_the_broker() {
    let bench = Bench::new(1);
    bench.publisher.unavailable();
    bench.produce("a", &["1", "2"]);
    let worker = bench.start();
    bench
        .until_true("all is finished", |bench| bench.committed() == 2)
        .await;
    assert!(bench.log.records("echoes").is_empty());

    bench.publisher.available();
    bench.until("echoes", 2).await;
    worker.stop().await.expect("left in good order");
    assert_eq!(bench.texts("echoes"), ["1", "2"]);
}
