//! A worker that is asked what it is doing: what is stuck, on which key, since when, why, and when it is tried next.

use std::time::Duration;

use longshore_worker::{BrakeState, OldestState, Report, Retention, Settings};

use crate::bench::{Bench, Running};

async fn report(worker: &Running) -> Report {
    worker.inspector.report().await.expect("it runs")
}

#[tokio::test(start_paused = true)]
async fn the_oldest_unfinished_message_is_named_with_its_last_error() {
    let bench = Bench::new(1);
    bench.produce("o-1", &["down 1", "x"]);
    let worker = bench.start();
    bench
        .until_true("it failed", |bench| bench.calls.started("down 1") == 1)
        .await;

    let report = report(&worker).await;
    let oldest = report.partitions[0]
        .oldest
        .as_ref()
        .expect("one is unfinished");
    assert_eq!(oldest.offset, 0);
    assert_eq!(oldest.key.as_deref(), Some("o-1"));
    assert_eq!(oldest.state, OldestState::Handling);
    assert_eq!(
        (oldest.attempts, oldest.last_error.as_deref()),
        (1, Some("always"))
    );
    assert!(oldest.next_try > Some(report.at));
    assert!(oldest.since <= Some(report.at));
    assert_eq!(report.in_flight, 2);
    assert_eq!(report.partitions[0].watermark, Some(0));
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_told_with_the_time_at_which_it_was_written() {
    let bench = Bench::new(2);
    let busy = bench.produce("o-1", &["hang 1"]).remove(0);
    let waiting = (2..)
        .map(|n| bench.produce(&format!("o-{n}"), &["x"]).remove(0))
        .find(|record| record.partition != busy.partition)
        .expect("there are two partitions");
    let worker = bench.start_changed(|settings| settings.concurrency = 1);
    bench
        .until_true("it hangs", |bench| bench.calls.started("hang 1") == 1)
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;

    let report = report(&worker).await;
    let place = usize::try_from(waiting.partition.partition).expect("small");
    let oldest = report.partitions[place].oldest.as_ref().expect("it waits");
    assert_eq!(oldest.state, OldestState::Waiting);
    assert_eq!(oldest.since, waiting.timestamp);
    assert!(oldest.since.is_some());
    assert_eq!(report.paused, None);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_full_says_so() {
    let bench = Bench::new(1);
    bench.produce("o-1", &["hang 1", "2", "3"]);
    let settings = Settings {
        max_in_flight: 2,
        ..bench.settings()
    };
    let worker = bench.start_with(settings, bench.group.join(2));
    worker.control.assign(&bench.partitions());
    bench
        .until_true("it hangs", |bench| bench.calls.started("hang 1") == 1)
        .await;

    let paused = report(&worker).await.paused.expect("nothing more is read");
    assert!(paused.contains("2 messages are in flight"), "{paused}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_takes_over_says_so() {
    let bench = Bench::new(1);
    bench.publisher.unavailable();
    bench.produce("a", &["1"]);
    let first = bench.start();
    bench.until_unpublished().await;
    bench
        .until_true("its offset is committed", |bench| bench.committed() == 1)
        .await;
    first.crash().await;
    bench.produce("o-2", &["2"]);
    let second = bench.start();
    tokio::time::sleep(Duration::from_secs(1)).await;

    let report = report(&second).await;
    let paused = report.paused.expect("nothing is handled");
    assert!(paused.contains("taking over"), "{paused}");
    let oldest = report.partitions[0].oldest.as_ref().expect("it waits");
    assert_eq!((oldest.offset, oldest.state), (1, OldestState::Arriving));
    assert_eq!(oldest.key.as_deref(), Some("o-2"));
    assert!(oldest.since <= Some(report.at) && oldest.since.is_some());
    assert_eq!(report.partitions[0].watermark, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_looked_up_is_told_with_its_key() {
    let bench = Bench::new(1);
    bench.produce("o-1", &["1"]);
    let worker = bench.start();
    bench.until("echoes", 1).await;
    bench.store.unavailable();
    let written = bench.produce("o-2", &["2", "3"]).remove(0).timestamp;
    tokio::time::sleep(Duration::from_secs(60)).await;

    let report = report(&worker).await;
    assert!(report.commits_unavailable.is_some());
    let oldest = report.partitions[0].oldest.as_ref().expect("it arrives");
    assert_eq!((oldest.offset, oldest.state), (1, OldestState::Arriving));
    assert_eq!(oldest.key.as_deref(), Some("o-2"));
    assert_eq!((oldest.since, written.is_some()), (written, true));

    bench.store.available();
    bench.until("echoes", 3).await;
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_parked_key_is_told_with_its_next_try() {
    let bench = Bench::new(1);
    bench.produce("o-1", &["down 1", "x"]);
    let worker = bench.start();
    bench
        .until_true("it is parked", |bench| bench.committed() == 2)
        .await;

    let report = report(&worker).await;
    assert_eq!((report.parked_keys, report.in_flight), (1, 0));
    let parked = &report.parked[0];
    assert_eq!(parked.key.as_deref(), Some("o-1"));
    assert_eq!(
        (parked.attempts, parked.messages, parked.held),
        (4, 2, false)
    );
    assert_eq!(parked.last_error.as_deref(), Some("always"));
    assert!(parked.next_try > Some(report.at));
    let partition = &report.partitions[0];
    assert_eq!(
        (partition.watermark, partition.committed, partition.end),
        (Some(2), Some(2), Some(2))
    );
    assert_eq!(partition.oldest, None);
}

#[tokio::test(start_paused = true)]
async fn a_brake_that_is_on_is_told_as_the_reason_of_a_pause() {
    let bench = Bench::new(1);
    bench.calls.service_down(true);
    for n in 0..40 {
        bench.produce(&format!("k-{n}"), &["service"]);
    }
    let worker = bench.start();
    tokio::time::sleep(Duration::from_secs(30)).await;

    let report = report(&worker).await;
    assert_ne!(report.brake.state, BrakeState::Closed);
    assert!(report.paused.expect("paused").contains("brake"));
}

#[tokio::test(start_paused = true)]
async fn the_inbox_is_pruned_by_age() {
    let bench = Bench::new(1);
    let record = bench.produce("a", &["x"])[0].clone();
    let worker = bench.start();
    bench.until("echoes", 1).await;
    let id = crate::bench::identity(record.headers.get_str("ce_id").expect("an id"));
    assert!(bench.store.has_seen(&id));

    let retention = Retention::default();
    tokio::time::sleep(retention.inbox - Duration::from_secs(3_600)).await;
    assert!(bench.store.has_seen(&id), "not before its time");
    tokio::time::sleep(Duration::from_secs(2 * 3_600)).await;
    assert!(!bench.store.has_seen(&id));
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn lag_is_told_though_nothing_moves() {
    const LAG: &str = "longshore_consumer_lag_messages";
    let bench = Bench::new(1);
    let worker = bench.start();
    let until_lag = async |lag| {
        let what = format!("a lag of {lag}");
        let told = |_: &Bench| worker.gauge(LAG) == Some(lag);
        bench.until_true(&what, told).await;
    };

    bench.store.unavailable();
    bench.produce("a", &["1"]);
    until_lag(1).await;
    bench.store.available();
    until_lag(0).await;

    bench.store.unavailable();
    bench.produce("a", &["2"]);
    until_lag(1).await;
    bench.produce("a", &["3", "4"]);
    until_lag(3).await;
    bench.store.available();
    until_lag(0).await;
}
