//! The `plain` strategy: published before the offset is free, at least once, without a store.

use longshore_event::DeadLetter;
use longshore_testkit::memory::Note;
use longshore_worker::{Metrics, PlainStrategy, PublishErrorKind, Worker};
use prometheus_client::registry::Registry;

use crate::bench::{Bench, GROUP, Silent};

/// Runs a worker without a store until `done`.
async fn run(bench: &Bench, done: impl Future<Output = ()>) {
    let source = bench.group.join(100);
    source.control().assign(&bench.partitions());
    let strategy = PlainStrategy::new(bench.publisher.clone());
    let metrics = Metrics::register(&mut Registry::default(), GROUP);
    let handler = Silent(bench.calls.clone());
    let worker = Worker::new(handler, source, strategy, bench.settings(), metrics);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(worker.run(async { stopped.await.unwrap_or_default() }));
    done.await;
    stop.send(()).expect("running");
    task.await.expect("no panic").expect("left in good order");
}

#[tokio::test(start_paused = true)]
async fn an_offset_is_free_once_the_follow_ons_are_acknowledged() {
    let bench = Bench::new(1);
    bench
        .publisher
        .fail_record(1, PublishErrorKind::Unavailable);
    bench.produce("a", &["1", "2"]);

    run(&bench, async {
        bench.until("echoes", 2).await;
        bench
            .until_true("both are finished", |bench| bench.committed() == 2)
            .await;
    })
    .await;

    assert_eq!(bench.texts("echoes"), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_repetition_within_the_window_is_skipped() {
    let bench = Bench::new(1);
    for _ in 0..3 {
        bench.log.produce("same", &Note::new("a", "once"));
    }

    run(
        &bench,
        bench.until_true("all are finished", |bench| bench.committed() == 3),
    )
    .await;

    assert_eq!(bench.texts("echoes"), ["once"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_past_a_dead_letter_that_cannot_be_written() {
    let bench = Bench::new(1);
    bench
        .publisher
        .refuse_topic("notes.dlq", PublishErrorKind::UnknownTopic);
    bench.produce("a", &["poison"]);

    run(&bench, async {
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        assert_eq!(bench.committed(), 0);
        bench.publisher.accept_topic("notes.dlq");
        bench.until("notes.dlq", 1).await;
        bench
            .until_true("it is finished", |bench| bench.committed() == 1)
            .await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_statement_is_refused_with_the_way_out() {
    let bench = Bench::new(1);
    bench.produce("a", &["write"]);

    run(&bench, bench.until("notes.dlq", 1)).await;

    let dead = &bench.log.records("notes.dlq")[0];
    let letter = DeadLetter::read(&dead.headers).expect("a dead letter");
    assert!(
        letter.message.contains("store strategy"),
        "{}",
        letter.message
    );
}
