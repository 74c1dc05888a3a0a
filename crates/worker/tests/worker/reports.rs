//! A worker that is asked what it is doing: what is stuck, on which key, since when, why, and when it is tried next.

use std::time::Duration;

use longshore_worker::{BrakeState, OldestState, Report, Retention};

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
