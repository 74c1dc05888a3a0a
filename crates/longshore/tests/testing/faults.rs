//! What each fault does to a worker, and that it is over when it is mended.

use std::time::Duration;

use longshore::prelude::*;
use longshore::testing::{PublishErrorKind, TestWorker};

use crate::clerk::{Answer, Echo, Letter, answer, echo, letter, start};

const MINUTE: Duration = Duration::from_secs(60);

async fn notes(worker: &TestWorker) -> Vec<String> {
    let notes = sql("select sender, text from letters order by rowid");
    worker.rows(notes).await
}

/// One letter of ada's was answered, once, and noted, once.
async fn expect_one_effect(worker: &TestWorker) {
    worker.expect_all_done();
    worker.expect_published(&[answer("ada", "hello, your letter 1")]);
    assert_eq!(notes(worker).await, ["ada | hello"]);
}

#[tokio::test]
async fn a_store_that_is_down_is_waited_for() {
    let (mut worker, _) = start().await;
    worker.store_down();
    worker.send(&letter("ada", "hello"));
    worker.advance(60 * MINUTE).await;

    assert_eq!(worker.lag(), 1);
    assert!(worker.status().commits_unavailable.is_some());
    worker.expect_published::<Answer>(&[]);
    assert!(notes(&worker).await.is_empty(), "the test may still look");
    worker.store_up();
    worker.advance(MINUTE).await;

    expect_one_effect(&worker).await;
    assert_eq!(worker.status().commits_unavailable, None);
    worker.stop().await;
}

#[tokio::test]
async fn calls_of_the_store_fail_as_often_as_was_said() {
    let (mut worker, _) = start().await;
    worker.store_fails(3);
    worker.send(&letter("ada", "hello"));
    worker.settle().await;
    assert_eq!(worker.lag(), 1);

    worker.advance(MINUTE).await;

    expect_one_effect(&worker).await;
    worker.stop().await;
}

#[tokio::test]
async fn the_store_of_a_handler_fails_too_and_that_is_no_attempt() {
    let (mut worker, _) = start().await;
    worker.send(&letter("ada", "wait"));
    worker.settle().await;
    worker.store_down();
    worker.advance(MINUTE).await;

    let partitions = worker.report().partitions.iter();
    let oldest = partitions.filter_map(|one| one.oldest.as_ref()).next();
    let oldest = oldest.expect("it is being handled");
    assert_eq!(oldest.attempts, 0);
    let said = "the store is not available: a fault of the test";
    assert_eq!(oldest.last_error.as_deref(), Some(said));
    worker.store_up();
    worker.advance(MINUTE).await;

    worker.expect_all_done();
    assert_eq!(worker.published::<Answer>().len(), 1);
    worker.stop().await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_takes_effect_once() {
    let (mut worker, _) = start().await;
    worker.store_loses_answers(1);
    worker.send(&letter("ada", "hello"));
    worker.settle().await;
    assert_eq!(worker.lag(), 1, "the worker cannot know");
    assert_eq!(notes(&worker).await, ["ada | hello"], "but it was written");

    worker.crash().await;
    worker.restart().await;
    worker.advance(MINUTE).await;

    expect_one_effect(&worker).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_crash_before_the_acknowledgement_publishes_again_under_the_same_id() {
    let (mut worker, _) = start().await;
    worker.brokers_lose_answers();
    worker.send(&letter("ada", "hello"));
    worker.advance(MINUTE).await;
    assert_eq!(worker.records(Answer::TOPIC).len(), 1);
    worker.crash().await;
    worker.brokers_up();
    worker.restart().await;
    worker.advance(MINUTE).await;

    let published = worker.records(Answer::TOPIC);
    assert_eq!(published.len(), 2);
    let id =
        |record: &longshore::testing::Record| record.headers.get_str("ce_id").map(str::to_owned);
    assert_eq!(id(&published[0]), id(&published[1]));
    assert_eq!(notes(&worker).await, ["ada | hello"]);
    worker.stop().await;
}

#[tokio::test]
async fn brokers_that_are_down_are_waited_for() {
    let (mut worker, _) = start().await;
    worker.brokers_down();
    worker.send(&letter("ada", "hello"));
    worker.advance(MINUTE).await;
    assert_eq!(worker.lag(), 1);
    assert!(worker.status().broker_unavailable.is_some());

    // A restart does not mend them.
    worker.crash().await;
    worker.restart().await;
    assert!(worker.status().broker_unavailable.is_some());
    worker.brokers_up();
    worker.settle().await;

    expect_one_effect(&worker).await;
    worker.stop().await;
}

#[tokio::test]
async fn what_is_not_published_is_tried_again() {
    let (mut worker, _) = start().await;
    worker.publishing_fails(2);
    worker.send(&letter("ada", "hello"));
    worker.settle().await;
    worker.expect_published::<Answer>(&[]);

    worker.advance(MINUTE).await;

    expect_one_effect(&worker).await;
    worker.stop().await;
}

#[tokio::test]
async fn what_is_for_a_topic_that_refuses_waits_in_the_outbox() {
    let (mut worker, _) = start().await;
    worker.topic_refuses(Answer::TOPIC, PublishErrorKind::TooLarge);
    worker.send(&letter("ada", "hello"));
    worker.advance(MINUTE).await;
    worker.expect_published::<Answer>(&[]);
    assert_eq!(worker.counts().await.outbox, 1);

    worker.topic_accepts(Answer::TOPIC);
    worker.advance(MINUTE).await;

    expect_one_effect(&worker).await;
    assert_eq!(worker.counts().await.outbox, 0);
    worker.stop().await;
}

#[tokio::test]
async fn what_is_under_way_in_lost_partitions_is_handled_again_with_one_effect() {
    let (mut worker, _) = start().await;
    worker.send(&letter("ada", "wait"));
    worker.advance(Duration::from_millis(500)).await;
    worker.lose_partitions().await;
    worker.advance(MINUTE).await;

    let at = worker.rows(sql("select at from letters")).await;
    assert_eq!(at.len(), 1);
    assert_ne!(at, ["2026-01-01T00:00:00Z"], "it is the second run's");
    worker.expect_published(&[answer("ada", "wait, your letter 1")]);
    worker.expect_all_done();
    worker.stop().await;
}

#[tokio::test]
async fn a_rebalance_waits_for_what_is_under_way() {
    let (mut worker, service) = start().await;
    worker.send(&letter("ada", "wait"));
    worker.settle().await;
    worker.rebalance().await;

    assert_eq!(service.calls(), 1);
    worker.expect_published(&[answer("ada", "wait, your letter 1")]);
    worker.expect_all_done();
    worker.stop().await;
}

#[tokio::test]
async fn a_parked_key_keeps_its_order_through_a_rebalance_and_a_crash() {
    let (mut worker, service) = start().await;
    service.set_down(true);
    worker.send(&letter("ada", "one"));
    worker.send(&letter("ada", "two"));
    worker.advance(Duration::from_secs(2)).await;
    worker.expect_parked(&["ada"]);

    worker.rebalance().await;
    worker.expect_parked(&["ada"]);
    worker.crash().await;
    worker.restart().await;
    worker.expect_parked(&["ada"]);
    service.set_down(false);
    worker.send(&letter("ada", "three"));
    worker.advance(MINUTE).await;

    worker.expect_published(&[
        answer("ada", "one, your letter 1"),
        answer("ada", "two, your letter 2"),
        answer("ada", "three, your letter 3"),
    ]);
    worker.stop().await;
}

#[tokio::test]
async fn a_plain_worker_runs_too() {
    let mut worker = TestWorker::start(echo).await;
    worker.publishing_fails(1);
    worker.send(&letter("ada", "hello"));
    worker.settle().await;
    worker.expect_published::<Answer>(&[]);
    worker.advance(MINUTE).await;

    worker.expect_published(&[answer("ada", "hello")]);
    worker.expect_all_done();
    worker.stop().await;
}

#[tokio::test]
#[should_panic(expected = "echo has no store: it is built with")]
async fn a_plain_worker_has_no_store_to_fail() {
    let worker = TestWorker::start(echo).await;
    worker.store_fails(1);
}

/// As `echo`, in transactions.
fn transactional_echo() -> WorkerBuilder<Echo> {
    WorkerBuilder::transactional("echo", Echo)
        .reads(Letter::TOPIC)
        .publishes(Answer::TOPIC)
}

#[tokio::test]
async fn a_worker_in_transactions_publishes_all_of_a_batch_or_nothing() {
    let mut worker = TestWorker::start(transactional_echo).await;
    worker.publishing_fails(1);
    worker.send(&letter("ada", "one"));
    worker.send(&letter("bob", "two"));
    worker.settle().await;
    worker.expect_published::<Answer>(&[]);
    assert_eq!(worker.lag(), 2, "neither is lost, nor passed over");

    worker.advance(MINUTE).await;
    worker.expect_published(&[answer("ada", "one"), answer("bob", "two")]);
    worker.expect_all_done();
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_in_transactions_finishes_what_is_under_way_before_partitions_move() {
    let mut worker = TestWorker::start(transactional_echo).await;
    worker.send(&letter("ada", "one"));
    worker.rebalance().await;
    worker.settle().await;

    worker.expect_published(&[answer("ada", "one")]);
    worker.expect_all_done();
    worker.stop().await;
}

#[tokio::test]
async fn a_transaction_that_a_crash_leaves_without_an_answer_is_not_made_again() {
    let mut worker = TestWorker::start(transactional_echo).await;
    worker.send(&letter("ada", "zero"));
    worker.settle().await;
    worker.brokers_lose_answers();
    worker.send(&letter("ada", "one"));
    // The offset of the first letter is told to the group meanwhile.
    worker.advance(MINUTE).await;
    worker.crash().await;
    worker.brokers_up();
    worker.restart().await;
    worker.send(&letter("ada", "two"));
    worker.settle().await;

    worker.expect_published(&[
        answer("ada", "zero"),
        answer("ada", "one"),
        answer("ada", "two"),
    ]);
    worker.expect_all_done();
    worker.stop().await;
}
