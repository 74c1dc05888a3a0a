//! Timers: each fires once, not before its time and hardly after it, whatever happens to the worker that set it.

use std::collections::HashSet;
use std::time::Duration;

use longshore_event::{Record, attribute};
use longshore_worker::PublishErrorKind;
use tokio::time::{Instant, sleep, timeout};

use crate::bench::{Bench, SOON};

/// More timers than one process claims.
const MANY: usize = 5_000;
/// What a timer may be late by here: the rest between two claims, and the time a publisher takes.
const TOLERANCE: Duration = Duration::from_millis(200);

/// Waits until so many timers are in the store.
async fn set(bench: &Bench, count: usize) {
    let set = bench
        .store
        .wait_until(|store| store.timers().len() == count);
    timeout(SOON, set)
        .await
        .expect("so many timers are in the store");
}

#[tokio::test(start_paused = true)]
async fn a_timer_fires_once_and_at_its_time() {
    let bench = Bench::new(1);
    bench.produce("a", &["later 3600"]);
    let worker = bench.start();
    set(&bench, 1).await;
    let began = Instant::now();

    bench
        .until_within("echoes", 1, Duration::from_secs(4_000))
        .await;
    let took = began.elapsed();
    assert!(took <= Duration::from_secs(3_600) + TOLERANCE, "{took:?}");
    assert!(took >= Duration::from_secs(3_599), "{took:?}");
    set(&bench, 0).await;
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(bench.texts("echoes"), ["later 3600"]);
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_timer_survives_a_crash_and_fires_late_only_if_nobody_was_there() {
    let bench = Bench::new(1);
    bench.produce("a", &["later 60"]);
    bench.produce("b", &["later 600"]);
    let worker = bench.start();
    set(&bench, 2).await;
    worker.crash().await;
    sleep(Duration::from_secs(120)).await;

    let worker = bench.start();
    let began = Instant::now();
    bench.until("echoes", 1).await;
    assert!(
        began.elapsed() <= TOLERANCE,
        "what is overdue fires at once"
    );
    bench.until("echoes", 2).await;
    assert_eq!(bench.texts("echoes"), ["later 60", "later 600"]);
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_timer_of_a_partition_that_moved_fires_at_its_time() {
    let bench = Bench::new(1);
    bench.produce("a", &["later 60"]);
    let first = bench.start();
    set(&bench, 1).await;
    let began = Instant::now();
    let partitions = bench.partitions();
    let moved = first.control.revoke(&partitions, Duration::from_secs(10));
    moved.await.expect("a timer holds nothing up");
    first.crash().await;

    let second = bench.start();
    bench.until("echoes", 1).await;
    assert!(began.elapsed() <= Duration::from_secs(60) + TOLERANCE);
    second.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_claimed_timer_of_a_dead_instance_is_published_by_the_new_owner_at_once() {
    let bench = Bench::new(1);
    bench.produce("a", &["later 10"]);
    let worker = bench.start();
    set(&bench, 1).await;
    bench.publisher.unavailable();
    sleep(Duration::from_secs(11)).await;
    worker.crash().await;
    bench.publisher.available();

    let worker = bench.start();
    let began = Instant::now();
    bench.until("echoes", 1).await;
    assert!(began.elapsed() <= TOLERANCE, "{:?}", began.elapsed());
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_timer_does_not_fire() {
    let bench = Bench::new(1);
    bench.produce("a", &["later 60", "cancel"]);
    bench.produce("b", &["later 60"]);
    let worker = bench.start();
    bench.until("echoes", 1).await;
    sleep(Duration::from_secs(120)).await;

    let echoes = bench.log.records("echoes");
    assert_eq!(echoes.len(), 1);
    assert_eq!(
        echoes[0].key.as_deref(),
        Some(&b"b"[..]),
        "a name is its key's own"
    );
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_timer_of_the_same_name_is_replaced() {
    let bench = Bench::new(1);
    bench.produce("a", &["later 60", "later 30"]);
    let worker = bench.start();
    bench.until("echoes", 1).await;
    sleep(Duration::from_secs(120)).await;
    assert_eq!(bench.texts("echoes"), ["later 30"]);
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn two_instances_share_the_timers_and_none_fires_twice() {
    let bench = Bench::new(2);
    for n in 0..500 {
        bench.produce(&format!("k-{n}"), &["nameless"]);
    }
    let (a, b) = (
        bench.start_with(bench.settings(), bench.group.join(500)),
        bench.start_with(bench.settings(), bench.group.join(500)),
    );
    a.control.assign(&bench.partitions()[..1]);
    b.control.assign(&bench.partitions()[1..]);
    bench.until("echoes", 500).await;
    sleep(Duration::from_secs(120)).await;
    assert_eq!(ids(&bench.log.records("echoes")).len(), 500);
    assert_eq!(bench.log.records("echoes").len(), 500);
    a.stop().await.expect("left in good order");
    b.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn many_timers_due_at_once_all_fire_once() {
    const TIMERS: usize = 10_000;
    let bench = Bench::new(4);
    for n in 0..TIMERS {
        bench.produce(&format!("k-{n}"), &["nameless"]);
    }
    let worker = bench.start();
    bench.until("echoes", TIMERS).await;
    set(&bench, 0).await;
    assert_eq!(bench.log.records("echoes").len(), TIMERS);
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_stops_repeats_no_timer_of_a_partition_that_left_before() {
    let bench = Bench::new(2);
    let left = bench.produce("a", &["later 10"])[0].partition.clone();
    let first = bench.start();
    set(&bench, 1).await;
    let moved = first
        .control
        .revoke(std::slice::from_ref(&left), Duration::from_secs(5));
    moved.await.expect("a timer holds nothing up");
    bench.until("echoes", 1).await;
    // It is published, and not taken out of the store yet.
    bench.store.set_latency(Duration::from_millis(500));
    first.stop().await.expect("left in good order");

    let second = bench.start();
    sleep(Duration::from_secs(120)).await;
    assert_eq!(bench.texts("echoes"), ["later 10"]);
    second.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_store_delays_timers_and_nothing_else() {
    let bench = Bench::new(1);
    bench.produce("a", &["later 10"]);
    let worker = bench.start();
    set(&bench, 1).await;
    bench.store.unavailable();
    sleep(Duration::from_secs(300)).await;
    bench.store.available();
    bench.until("echoes", 1).await;
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_broker_longer_than_a_lease_publishes_no_timer_twice() {
    let bench = Bench::new(1);
    bench.produce("a", &["later 10"]);
    let worker = bench.start();
    set(&bench, 1).await;
    bench.publisher.unavailable();
    sleep(Duration::from_secs(300)).await;
    bench.publisher.available();
    bench.until("echoes", 1).await;
    sleep(Duration::from_secs(300)).await;
    assert_eq!(bench.texts("echoes"), ["later 10"]);
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_timer_whose_commit_did_not_say_that_it_took_effect_fires_at_its_time() {
    let bench = Bench::new(1);
    bench.store.lose_answer_of_commit(1);
    bench.produce("a", &["later 5"]);
    let worker = bench.start();
    set(&bench, 1).await;
    let began = Instant::now();

    bench.until("echoes", 1).await;
    assert!(
        began.elapsed() <= Duration::from_secs(5) + TOLERANCE,
        "{:?}",
        began.elapsed()
    );
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_partition_moves_at_once_while_many_timers_fire() {
    let bench = many_due_soon(MANY);
    let worker = bench.start();
    set(&bench, MANY).await;
    bench.publisher.set_latency(Duration::from_secs(1));
    bench.until("echoes", 1).await;
    // The first ones are cleared by then, the next ones being sent, and those behind them claimed.
    sleep(Duration::from_millis(200)).await;

    let began = Instant::now();
    let moving = bench.partitions();
    let moved = worker.control.revoke(&moving, Duration::from_secs(60));
    moved.await.expect("answered");
    assert!(
        began.elapsed() <= Duration::from_millis(1_500),
        "only what is being sent is waited for: {:?}",
        began.elapsed()
    );

    let next = bench.start();
    set(&bench, 0).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bench.log.records("echoes").len(), MANY, "each fired once");
    next.stop().await.expect("left in good order");
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_partition_is_handled_while_its_overdue_timers_fire() {
    let bench = many_due_soon(MANY);
    let worker = bench.start();
    set(&bench, MANY).await;
    worker.crash().await;
    sleep(Duration::from_secs(60)).await;

    bench.publisher.set_latency(Duration::from_secs(1));
    bench.produce("a", &["new"]);
    let worker = bench.start();
    let began = Instant::now();
    bench
        .until_true("it is handled", |bench| bench.calls.started("new") == 1)
        .await;
    assert!(
        began.elapsed() <= Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn follow_ons_do_not_wait_behind_timers_of_their_topic() {
    let bench = many_due_soon(MANY);
    let worker = bench.start();
    set(&bench, MANY).await;
    bench.publisher.set_latency(Duration::from_secs(1));
    bench.until("echoes", 1_000).await;

    bench.produce("a", &["new"]);
    sleep(Duration::from_secs(2)).await;
    assert!(bench.texts("echoes").iter().any(|text| text == "new"));
    assert_ne!(bench.store.timers().len(), 0, "timers are still firing");
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_cannot_be_written_holds_back_its_own_timers_and_no_others() {
    const BLOCKED: usize = MANY;
    let bench = Bench::new(4);
    bench
        .publisher
        .refuse_topic("echoes", PublishErrorKind::UnknownTopic);
    for n in 0..BLOCKED {
        bench.produce(&format!("k-{n}"), &["nameless"]);
    }
    bench.produce("a", &["remind 10"]);
    let worker = bench.start();
    set(&bench, BLOCKED + 1).await;
    let began = Instant::now();
    bench.until("notes", BLOCKED + 2).await;
    assert!(
        began.elapsed() <= Duration::from_secs(11),
        "{:?}",
        began.elapsed()
    );

    bench.publisher.accept_topic("echoes");
    bench.until("echoes", BLOCKED).await;
    set(&bench, 0).await;
    worker.stop().await.expect("left in good order");
    let echoes = bench.log.records("echoes");
    let (all, distinct) = (echoes.len(), ids(&echoes).len());
    // The reminder that came back as a note is echoed as well.
    assert_eq!((all, distinct), (BLOCKED + 1, BLOCKED + 1));
}

/// Notes, each of its own key, that set a timer for ten seconds later.
fn many_due_soon(count: usize) -> Bench {
    let bench = Bench::new(1);
    for n in 0..count {
        bench.produce(&format!("k-{n}"), &["nameless"]);
    }
    bench
}

fn ids(records: &[Record]) -> HashSet<String> {
    let id = |record: &Record| record.headers.get_str(attribute::ID).map(str::to_owned);
    records.iter().filter_map(id).collect()
}
