//! One message from the log to its effects, and many at once.

use longshore_event::{NextOffset, attribute, derived_id};
use longshore_testkit::memory::Note;

use crate::bench::{Bench, identity};

#[tokio::test(start_paused = true)]
async fn a_message_is_handled_committed_published_and_its_offset_freed() {
    let bench = Bench::new(1);
    let worker = bench.start();

    bench.log.produce("n-1", &Note::new("a", "hello"));
    bench.until("echoes", 1).await;
    bench
        .until_true("the offset is committed", |bench| bench.committed() == 1)
        .await;

    assert!(bench.store.has_seen(&identity("n-1")));
    assert_eq!(bench.store.statements().len(), 1);
    let echo = &bench.log.records("echoes")[0];
    assert_eq!(echo.headers.get_str(attribute::CAUSATION_ID), Some("n-1"));
    assert_eq!(echo.headers.get_str(attribute::CORRELATION_ID), Some("n-1"));
    assert_eq!(echo.headers.get_str(attribute::SOURCE), Some("echoers"));
    let derived = derived_id("echoers", &identity("n-1"), 0).to_string();
    assert_eq!(echo.headers.get_str(attribute::ID), Some(derived.as_str()));
    bench.until_published().await;
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn what_is_ready_together_commits_together() {
    let bench = Bench::new(4);
    for n in 0..1_000 {
        let key = format!("k-{n}");
        bench.produce(&key, &["x"]);
    }
    let worker = bench.start();
    bench.until("echoes", 1_000).await;
    worker.stop().await.expect("left in good order");

    let batches = bench.store.commits();
    assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), 1_000);
    assert!(batches.len() < 100, "{} transactions", batches.len());
}

#[tokio::test(start_paused = true)]
async fn a_repeated_message_takes_effect_once() {
    let bench = Bench::new(1);
    for _ in 0..5 {
        bench.log.produce("same", &Note::new("a", "once"));
    }
    let worker = bench.start();
    bench
        .until_true("all five are finished", |bench| bench.committed() == 5)
        .await;
    worker.stop().await.expect("left in good order");

    let again = bench.start();
    bench.log.produce("same", &Note::new("a", "once"));
    bench
        .until_true("the sixth is finished", |bench| bench.committed() == 6)
        .await;
    again.stop().await.expect("left in good order");

    assert_eq!(bench.calls.started("once"), 1);
    assert_eq!(bench.texts("echoes"), ["once"]);
}

#[tokio::test(start_paused = true)]
async fn copies_under_different_keys_take_effect_once() {
    let bench = Bench::new(2);
    bench.log.produce("same", &Note::new("a", "x"));
    bench.log.produce("same", &Note::new("b", "x"));
    let worker = bench.start();
    bench
        .until_true("both are finished", |bench| bench.committed() == 2)
        .await;
    worker.stop().await.expect("left in good order");

    assert_eq!(bench.store.finished().len(), 1);
    assert_eq!(bench.texts("echoes"), ["x"]);
}

#[tokio::test(start_paused = true)]
async fn stopping_finishes_what_is_in_flight_and_leaves_the_rest() {
    let bench = Bench::new(1);
    bench.produce("a", &["slow 1", "slow 2"]);
    let worker = bench.start();
    bench
        .until_true("the first is being handled", |bench| {
            bench.calls.started("slow 1") == 1
        })
        .await;

    worker.stop().await.expect("left in good order");

    assert_eq!(bench.texts("echoes"), ["slow 1"]);
    assert_eq!(bench.calls.started("slow 2"), 0);
    let partition = &bench.partitions()[0];
    assert_eq!(bench.group.committed(partition), Some(NextOffset(1)));
}

#[tokio::test(start_paused = true)]
async fn a_status_says_when_the_worker_is_ready() {
    let bench = Bench::new(2);
    let worker = bench.start();
    let mut status = worker.status.clone();

    let ready = status
        .wait_for(|status| status.ready())
        .await
        .expect("running");
    assert_eq!(ready.assigned, bench.partitions());
    drop(ready);
    worker.stop().await.expect("left in good order");
    assert!(!status.borrow().ready());
}
