//! How a worker under test starts, ends and comes back, and what it is told to do with dead letters.

use std::time::Duration;

use longshore::prelude::*;
use longshore::testing::{TestSetup, TestWorker};

use crate::clerk::{Answer, DAY, Letter, answer, letter, start, start_with};

#[tokio::test]
async fn timers_and_the_inbox_survive_a_stop_and_a_restart() {
    let (mut worker, service) = start().await;
    let sent = worker.send(&letter("ada", "remind me"));
    worker.settle().await;
    worker.stop().await;
    worker.restart().await;
    worker.send_again(&sent);
    worker.advance(DAY).await;

    assert_eq!(service.calls(), 1, "the copy is known");
    worker.expect_published(&[
        answer("ada", "remind me, your letter 1"),
        answer("ada", "remember"),
    ]);
    worker.stop().await;
}

#[tokio::test]
#[should_panic(expected = "stopped with 1 records in flight")]
async fn a_stop_that_leaves_work_behind_is_told() {
    let (mut worker, _) = start_with(|args| args.drain = Duration::from_secs(5)).await;
    worker.send(&letter("ada", "hang on"));
    worker.settle().await;
    worker.stop().await;
}

#[tokio::test]
async fn a_stop_waits_for_what_is_under_way() {
    let (mut worker, service) = start().await;
    service.set_down(true);
    worker.send(&letter("ada", "hello"));
    worker.settle().await;
    assert_eq!(service.calls(), 1, "it waits for its second run");
    service.set_down(false);
    worker.stop().await;

    assert_eq!(worker.published::<Answer>().len(), 1);
}

#[tokio::test]
#[should_panic(expected = "clerk is running: crash or stop it first")]
async fn a_running_worker_is_not_started_twice() {
    let (mut worker, _) = start().await;
    worker.restart().await;
}

#[tokio::test]
#[should_panic(expected = "clerk is not running: restart it first")]
async fn a_worker_that_has_crashed_has_nothing_to_say() {
    let (mut worker, _) = start().await;
    worker.crash().await;
    worker.report();
}

#[tokio::test]
#[should_panic(expected = "migration 1 of `broken` (none)")]
async fn a_migration_that_does_not_run_is_told() {
    const BROKEN: &[Migration] = &[Migration {
        module: "broken",
        version: 1,
        name: "none",
        sql: "create tabel x",
    }];
    let described = || {
        let nothing = |_: &SqlStore| crate::clerk::Echo;
        WorkerBuilder::new("broken", nothing).migrations(BROKEN)
    };
    TestWorker::start(described).await;
}

#[tokio::test]
async fn a_dead_letter_is_edited_redriven_and_handled_once() {
    let (mut worker, _) = start().await;
    worker.send(&letter("ada", "poison one"));
    worker.send(&letter("ada", "two"));
    worker.settle().await;
    worker.expect_dead(Letter::TOPIC, &[("ada", "it is poison")]);

    assert_eq!(worker.redrive(Letter::TOPIC), 1);
    worker.settle().await;
    worker.expect_dead(
        Letter::TOPIC,
        &[("ada", "it is poison"), ("ada", "it is poison")],
    );
    let mended = worker.redrive_edited(|letter: &mut Letter| letter.text = "mended".to_owned());
    assert_eq!(mended, 1, "only the one that came back");
    worker.settle().await;

    worker.expect_published(&[
        answer("ada", "two, your letter 1"),
        answer("ada", "mended, your letter 2"),
    ]);
    worker.stop().await;
}

#[tokio::test]
async fn a_strict_worker_holds_the_key_until_its_letter_is_discarded() {
    let (mut worker, _) = start_with(|args| args.strict = true).await;
    worker.send(&letter("ada", "poison one"));
    worker.send(&letter("ada", "two"));
    worker.advance(DAY).await;
    worker.expect_parked(&["ada"]);
    worker.expect_published::<Answer>(&[]);

    assert_eq!(worker.discard(Letter::TOPIC), 1);
    worker.advance(Duration::from_secs(10)).await;

    worker.expect_parked(&[]);
    worker.expect_published(&[answer("ada", "two, your letter 1")]);
    worker.stop().await;
}

#[tokio::test]
#[should_panic(expected = "clerk has no dead letters in letter.dlq")]
async fn a_redrive_of_nothing_is_told() {
    let (mut worker, _) = start().await;
    worker.redrive(Letter::TOPIC);
}

#[tokio::test]
async fn workers_beside_each_other_share_log_and_time_and_read_each_other() {
    let (mut clerk, _) = start().await;
    let mut second = TestSetup::new(|| {
        let answers = |_: &SqlStore| Answered;
        WorkerBuilder::new("answered", answers).reads(Answer::TOPIC)
    })
    .beside(&clerk)
    .start()
    .await;
    clerk.send(&letter("ada", "hello"));
    clerk.advance(Duration::from_secs(1)).await;
    second.settle().await;

    second.expect_dead(Answer::TOPIC, &[("ada", "hello, your letter 1")]);
    assert_eq!(clerk.now(), second.now());
    for worker in [&mut clerk, &mut second] {
        worker.stop().await;
    }
}

#[tokio::test]
async fn listeners_are_told_of_what_the_worker_has_published() {
    let (tell, told) = std::sync::mpsc::channel();
    let described = move || {
        let tell = std::sync::Mutex::new(tell.clone());
        let worker = crate::clerk::echo();
        worker.on_published(move |published: &longshore::Published<'_, Answer>| {
            let tell = tell.lock().expect("whole");
            tell.send(published.event().text.clone()).expect("heard");
        })
    };
    let mut worker = TestWorker::start(described).await;
    worker.send(&letter("ada", "hello"));
    worker.settle().await;

    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["hello"]);
    worker.stop().await;
}

/// Fails with the answer it was given.
struct Answered;

impl Handler for Answered {
    type Payload = Answer;
    const NAME: &'static str = "answered";

    async fn handle(
        &self,
        message: &Envelope<Answer>,
        _: &mut Context<'_, Answer>,
    ) -> Result<(), Failure> {
        Err(Failure::permanent(message.event().text.clone()))
    }
}
