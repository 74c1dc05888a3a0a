//! Timers: each fires once, not before its time and hardly after it, whatever happens to the worker that set it.

use std::collections::HashSet;
use std::time::Duration;

use longshore_event::{Record, attribute};
use tokio::time::{Instant, sleep};

use crate::bench::Bench;

/// What a timer may be late by here: the rest between two claims, and the time a publisher takes.
const TOLERANCE: Duration = Duration::from_millis(200);

async fn set(bench: &Bench, count: usize) {
    bench
        .until_true("the timers are set", |bench| {
            bench.store.timers().len() == count
        })
        .await;
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
    bench
        .until_true("it is out of the store", |bench| {
            bench.store.timers().is_empty()
        })
        .await;
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
    bench
        .until_true("they are out of the store", |bench| {
            bench.store.timers().is_empty()
        })
        .await;
    assert_eq!(bench.log.records("echoes").len(), TIMERS);
    worker.stop().await.expect("left in good order");
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

fn ids(records: &[Record]) -> HashSet<String> {
    let id = |record: &Record| record.headers.get_str(attribute::ID).map(str::to_owned);
    records.iter().filter_map(id).collect()
}
