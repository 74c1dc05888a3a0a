//! Partitions that move: finished before they go, left alone once they are gone, taken over in order.

use std::time::Duration;

use longshore_event::{NextOffset, TopicPartition};
use longshore_testkit::memory::Note;

use crate::bench::Bench;

const LONG: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn a_revoked_partition_goes_after_its_in_flight_messages_are_finished() {
    let bench = Bench::new(1);
    bench.publisher.set_latency(Duration::from_millis(100));
    bench.produce("a", &["slow 1", "slow 2"]);
    let worker = bench.start();
    bench
        .until_true("the first is being handled", |bench| {
            bench.calls.started("slow 1") == 1
        })
        .await;

    let answered = worker.control.revoke(&bench.partitions(), LONG).await;

    assert_eq!(
        answered,
        Some(vec![(bench.partitions()[0].clone(), NextOffset(1))])
    );
    assert_eq!(
        bench.texts("echoes"),
        ["slow 1"],
        "published before it goes"
    );
    assert_eq!(bench.calls.started("slow 2"), 0);
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn other_partitions_flow_while_one_is_being_revoked() {
    let bench = Bench::new(8);
    let slow = bench.produce("a", &["slow 1"])[0].partition.clone();
    let worker = bench.start();
    bench
        .until_true("it is being handled", |bench| {
            bench.calls.started("slow 1") == 1
        })
        .await;

    let revoking = tokio::spawn({
        let control = worker.control.clone();
        let slow = slow.clone();
        async move { control.revoke(&[slow], LONG).await }
    });
    assert!(revoking.await.expect("no panic").is_some());
    for n in 0..20 {
        bench.produce(&format!("k-{n}"), &["x"]);
    }
    let elsewhere = bench.log.records("notes");
    let elsewhere = elsewhere
        .iter()
        .filter(|record| record.partition != slow)
        .count();
    bench.until("echoes", 1 + elsewhere).await;
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_finished_in_time_takes_no_effect_here() {
    let bench = Bench::new(1);
    bench.produce("a", &["slow 1"]);
    let first = bench.start();
    bench
        .until_true("it is being handled", |bench| {
            bench.calls.started("slow 1") == 1
        })
        .await;

    let answered = first
        .control
        .revoke(&bench.partitions(), Duration::from_millis(10))
        .await;
    let second = bench.start();
    bench.until("echoes", 1).await;
    tokio::time::sleep(Duration::from_secs(5)).await;

    assert!(answered.is_none_or(|offsets| offsets.is_empty()));
    assert_eq!(bench.calls.started("slow 1"), 2);
    assert_eq!(bench.texts("echoes"), ["slow 1"]);
    assert_eq!(bench.store.finished().len(), 1);
    first.stop().await.expect("left in good order");
    second.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_committed_of_a_lost_partition() {
    let bench = Bench::new(1);
    bench.produce("a", &["slow 1", "slow 2"]);
    let worker = bench.start();
    bench
        .until_true("it is being handled", |bench| {
            bench.calls.started("slow 1") == 1
        })
        .await;

    worker.control.lose(&bench.partitions());
    tokio::time::sleep(Duration::from_secs(5)).await;

    assert!(bench.store.finished().is_empty());
    assert_eq!(bench.committed(), 0);
    assert_eq!(worker.control.stale_commits(), 0);
    assert_eq!(worker.control.in_flight(), 0);
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_handler_of_a_lost_partition_is_not_run_again() {
    let bench = Bench::new(1);
    bench.produce("a", &["down 1"]);
    let worker = bench.start();
    bench
        .until_true("it has failed once", |bench| {
            bench.calls.started("down 1") == 1
        })
        .await;

    worker.control.lose(&bench.partitions());
    tokio::time::sleep(Duration::from_secs(60)).await;

    assert_eq!(bench.calls.started("down 1"), 1);
    assert_eq!(worker.control.in_flight(), 0);
    worker.stop().await.expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_a_revocation_did_not_wait_for_holds_up_nobody() {
    let bench = Bench::new(1);
    bench.produce("a", &["hang 1"]);
    let worker = bench.start();
    bench
        .until_true("it hangs", |bench| bench.calls.started("hang 1") == 1)
        .await;

    let partitions = bench.partitions();
    let answered = worker.control.revoke(&partitions, Duration::from_secs(1));
    answered.await.unwrap_or_default();
    worker.control.assign(&bench.partitions());
    tokio::time::sleep(Duration::from_secs(5)).await;

    assert_eq!(
        bench.calls.started("hang 1"),
        2,
        "its lane is free for the new stay, long before its time is over"
    );
    worker.crash().await;
}

#[tokio::test(start_paused = true)]
async fn a_stay_that_follows_at_once_knows_what_the_one_before_still_parked() {
    let bench = Bench::new(1);
    bench.calls.service_down(true);
    bench.store.set_latency(Duration::from_secs(2));
    bench.produce("c", &["slow 0"]);
    let worker = bench.start();
    bench
        .until_true("one message is being handled", |bench| {
            bench.calls.started("slow 0") == 1
        })
        .await;
    // These gather while it is committed. Their commit is refused, and goes on one by one, when the next stay could have
    // begun long since.
    bench.produce("b", &["bad write"]);
    bench.produce("a", &["service 1", "2"]);
    bench
        .until_true("the first message is committed", |bench| {
            bench.store.finished().len() == 1
        })
        .await;
    assert_eq!(bench.calls.started("service 1"), 4, "it is about to park");

    worker.control.lose(&bench.partitions());
    bench.store.set_latency(Duration::from_millis(1));
    worker.control.assign(&bench.partitions());
    bench
        .until_true("it is tried again", |bench| {
            bench.calls.started("service 1") > 4
        })
        .await;
    bench.calls.service_down(false);
    bench.until("echoes", 3).await;
    worker.stop().await.expect("left in good order");

    assert_eq!(bench.texts("echoes"), ["slow 0", "service 1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_stay_has_read_of_a_parked_key_is_not_drained_before_the_next_begins() {
    let bench = Bench::new(2);
    bench.calls.service_down(true);
    for (partition, text) in [(0, "service 1"), (1, "service 2")] {
        let record = Note::new("a", text).outgoing(text);
        bench.log.append_to(partition, record).expect("appended");
    }
    let worker = bench.start();
    bench
        .until_true("both are parked", |bench| {
            bench.store.parked_rows().len() == 2
        })
        .await;
    bench.calls.service_down(false);
    let report = worker.inspector.report().await.expect("it runs");
    let next_try = report.parked[0].next_try.expect("it waits");
    let wait = Duration::try_from(next_try.duration_since(report.at)).expect("ahead");
    tokio::time::sleep(wait - Duration::from_millis(1)).await;
    bench.store.set_latency(Duration::from_secs(5));
    tokio::time::sleep(Duration::from_secs(1)).await;

    // The key is being read by now, of both partitions.
    let first = [TopicPartition::new("notes", 0)];
    worker.control.lose(&first);
    worker.control.assign(&first);

    bench.until("echoes", 2).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    worker.stop().await.expect("it has all its partitions");
}

#[tokio::test(start_paused = true)]
async fn a_new_owner_publishes_what_the_previous_one_left_before_anything_new() {
    let bench = Bench::new(1);
    bench.publisher.unavailable();
    bench.produce("a", &["1", "2"]);
    let first = bench.start();
    bench
        .until_true("both are committed", |bench| {
            bench.store.finished().len() == 2
        })
        .await;
    first.crash().await;
    bench.produce("a", &["3"]);

    let second = bench.start();
    // No longer than a topic is given to answer.
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(bench.calls.started("3"), 0, "handled before the take-over");
    bench.publisher.available();
    bench.until("echoes", 3).await;
    second.stop().await.expect("left in good order");

    let echoes = bench.texts("echoes");
    assert_eq!(echoes.last().map(String::as_str), Some("3"), "{echoes:?}");
    assert_eq!(echoes.iter().filter(|echo| *echo == "1").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_partition_is_let_go_only_when_a_slow_topic_has_answered() {
    let bench = Bench::new(1);
    // Longer than a take-over would wait.
    bench.publisher.set_latency(Duration::from_secs(15));
    bench.produce("a", &["1"]);
    let worker = bench.start();
    bench.until_unpublished().await;

    let answered = worker.control.revoke(&bench.partitions(), LONG).await;

    assert!(answered.is_some(), "in time");
    assert_eq!(bench.texts("echoes"), ["1"], "published by its old owner");
    assert_eq!(bench.store.outbox_rows().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_comes_back_starts_afresh() {
    let bench = Bench::new(1);
    bench.produce("a", &["1"]);
    let worker = bench.start();
    bench.until("echoes", 1).await;
    for round in 2..6 {
        worker
            .control
            .revoke(&bench.partitions(), LONG)
            .await
            .expect("answered");
        bench.produce("a", &[&round.to_string()]);
        worker.control.assign(&bench.partitions());
        bench.until("echoes", round).await;
    }
    worker.stop().await.expect("left in good order");

    assert_eq!(bench.texts("echoes"), ["1", "2", "3", "4", "5"]);
    assert_eq!(bench.committed(), 5);
}
