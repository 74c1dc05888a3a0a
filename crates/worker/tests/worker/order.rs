//! Order per key, concurrency across keys, and offsets that wait for the slowest.

use std::time::Duration;

use longshore_worker::Settings;
use tokio::time::Instant;

use crate::bench::Bench;

#[tokio::test(start_paused = true)]
async fn keys_run_side_by_side_and_each_key_in_order() {
    let bench = Bench::new(1);
    for n in 0..20 {
        let key = format!("k-{n}");
        bench.produce(&key, &[&format!("slow {n}a"), &format!("slow {n}b")]);
    }
    let started = Instant::now();
    let worker = bench.start();
    bench.until("echoes", 40).await;
    let took = started.elapsed();
    worker.stop().await.expect("left in good order");

    assert!(
        took < Duration::from_secs(3),
        "20 keys of 2 s took {took:?} on one partition"
    );
    let calls = bench.calls.all();
    let place = |call: String| {
        calls
            .iter()
            .position(|other| *other == call)
            .expect("called")
    };
    for n in 0..20 {
        assert!(
            place(format!("slow {n}a.")) < place(format!("slow {n}b")),
            "key {n}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn concurrency_is_bounded() {
    let bench = Bench::new(1);
    for n in 0..10 {
        bench.produce(&format!("k-{n}"), &["slow"]);
    }
    let settings = Settings {
        concurrency: 2,
        ..bench.settings()
    };
    let started = Instant::now();
    let worker = bench.start_with(settings, bench.group.join(2_000));
    worker.control.assign(&bench.partitions());
    bench.until("echoes", 10).await;

    assert!(started.elapsed() >= Duration::from_secs(5));
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_transaction_is_bounded() {
    let bench = Bench::new(1);
    for n in 0..50 {
        bench.produce(&format!("k-{n}"), &["x"]);
    }
    let settings = Settings {
        max_batch: 7,
        ..bench.settings()
    };
    let worker = bench.start_with(settings, bench.group.join(2_000));
    worker.control.assign(&bench.partitions());
    bench.until("echoes", 50).await;
    worker.stop().await.expect("left in good order");

    let sizes: Vec<usize> = bench.store.commits().iter().map(Vec::len).collect();
    assert!(sizes.iter().all(|size| *size <= 7), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn the_offset_waits_for_the_slowest_message_below_it() {
    let bench = Bench::new(1);
    bench.produce("a", &["hang"]);
    bench.produce("b", &["1", "2", "3"]);
    let worker = bench.start();
    bench.until("echoes", 3).await;
    tokio::time::sleep(Duration::from_secs(5)).await;

    assert_eq!(bench.committed(), 0);
    worker.crash().await;
}

#[tokio::test(start_paused = true)]
async fn a_key_goes_on_in_order_behind_a_flaky_message() {
    let bench = Bench::new(1);
    bench.produce("a", &["flaky 1", "2", "flaky 3", "4"]);
    bench.produce("b", &["other"]);
    let worker = bench.start();
    bench.until("echoes", 5).await;
    worker.stop().await.expect("left in good order");

    let echoes = bench.texts("echoes");
    assert_eq!(echoes[0], "other");
    assert_eq!(echoes[1..], ["flaky 1", "2", "flaky 3", "4"]);
    assert_eq!(bench.calls.started("flaky 1"), 3);
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_by_the_budget() {
    let bench = Bench::new(1);
    for n in 0..50 {
        bench.produce(&format!("k-{n}"), &["slow"]);
    }
    let worker = bench.start_with(bench.settings(), bench.group.join(10));
    worker.control.assign(&bench.partitions());
    bench
        .until_true("the budget is spent", |_| worker.control.in_flight() == 10)
        .await;

    bench.until("echoes", 50).await;
    bench
        .until_true("the budget is back", |_| worker.control.in_flight() == 0)
        .await;
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn messages_without_a_key_keep_the_order_of_their_partition() {
    let bench = Bench::new(1);
    for n in 0..5 {
        let note = longshore_testkit::memory::Note::new("a", &format!("slow {n}"));
        let mut record = note.outgoing(&format!("n-{n}"));
        record.key = None;
        bench.log.append(record).expect("topic exists");
    }
    let worker = bench.start();
    bench.until("echoes", 5).await;
    worker.stop().await.expect("left in good order");

    let expected: Vec<_> = (0..5).map(|n| format!("slow {n}")).collect();
    assert_eq!(bench.texts("echoes"), expected);
}
