//! Expectations fail when they should, and tell what was found instead.

use std::time::Duration;

use longshore::prelude::*;
use longshore::testing::{PublishErrorKind, TestWorker};
use serde::{Deserialize, Serialize};

use crate::clerk::{Answer, Letter, answer, letter, start, start_with};

/// One letter answered, one dead, one parked.
async fn three_ends() -> TestWorker {
    let (mut worker, service) = start().await;
    worker.send(&letter("ada", "hello"));
    worker.send(&letter("bob", "poison"));
    worker.settle().await;
    service.set_down(true);
    worker.send(&letter("eve", "hello"));
    worker.advance(Duration::from_secs(2)).await;
    worker
}

const SENDERS: &str = "select sender from letters";

#[tokio::test]
async fn what_is_so_is_accepted() {
    let mut worker = three_ends().await;
    worker.expect_published(&[answer("ada", "hello, your letter 1")]);
    worker.expect_parked(&["eve"]);
    worker.expect_dead(Letter::TOPIC, &[("bob", "poison")]);
    worker.expect_rows(sql(SENDERS), &["ada"]).await;
    assert_eq!(worker.lag(), 0);
    let parked = &worker.parked()[0];
    assert_eq!(parked.last_error.as_deref(), Some("the service is down"));
    worker.stop().await;
}

#[tokio::test]
async fn order_counts_within_a_key_and_not_between_keys() {
    let (mut worker, _) = start().await;
    for (from, text) in [("bob", "one"), ("ada", "one"), ("bob", "two")] {
        worker.send(&letter(from, text));
        worker.settle().await;
    }
    let [ada, bob, again] = [
        answer("ada", "one, your letter 1"),
        answer("bob", "one, your letter 1"),
        answer("bob", "two, your letter 2"),
    ];
    let published = [&ada, &bob, &again].map(|one| answer(&one.to, &one.text));
    worker.expect_published(&published);
    worker.stop().await;

    let reversed = [again, bob, ada];
    let expected = std::panic::AssertUnwindSafe(|| worker.expect_published(&reversed));
    let refused = std::panic::catch_unwind(expected);
    assert!(refused.is_err(), "bob's second answer came first");
}

#[tokio::test]
#[should_panic(expected = "found:    {\"to\":\"ada\",\"text\":\"hello, your letter 1\"}")]
async fn another_event_is_told() {
    let worker = three_ends().await;
    worker.expect_published(&[answer("ada", "goodbye")]);
}

#[tokio::test]
#[should_panic(
    expected = "parked: key \"eve\", 1 messages, 4 failed runs, last error: the service is down"
)]
async fn an_event_that_is_missing_is_told_with_what_is_parked() {
    let worker = three_ends().await;
    let answers = ["ada", "eve"].map(|to| answer(to, "hello, your letter 1"));
    worker.expect_published(&answers);
}

#[tokio::test]
#[should_panic(expected = "last error: it is poison, next try when redriven")]
async fn what_a_held_key_waits_for_is_told() {
    let (mut worker, _) = start_with(|args| args.strict = true).await;
    worker.send(&letter("ada", "poison"));
    worker.settle().await;
    worker.expect_all_done();
}

#[tokio::test]
#[should_panic(expected = "expectations.rs:")]
async fn a_query_that_fails_is_told_with_its_place_in_the_test() {
    let (worker, _) = start().await;
    worker.rows(sql("select nothing from nowhere")).await;
}

#[tokio::test]
#[should_panic(expected = "dead letter in letter.dlq: key \"bob\", it is poison")]
async fn a_key_that_is_not_parked_is_told_with_what_is_dead() {
    three_ends().await.expect_parked(&["bob", "eve"]);
}

#[tokio::test]
#[should_panic(expected = "(\"bob\", \"it is poison\")")]
async fn another_dead_letter_is_told() {
    let worker = three_ends().await;
    worker.expect_dead(Letter::TOPIC, &[("bob", "it is stale")]);
}

#[tokio::test]
#[should_panic(expected = "(\"bob\", \"it is poison\")")]
async fn a_dead_letter_that_should_not_be_is_told() {
    three_ends().await.expect_dead(Letter::TOPIC, &[]);
}

#[tokio::test]
#[should_panic(expected = "0 records to finish, 1 keys parked, 1 dead letters")]
async fn what_is_not_done_is_told() {
    three_ends().await.expect_all_done();
}

#[tokio::test]
#[should_panic(expected = "not published to answer: ")]
async fn what_a_topic_refuses_is_not_done() {
    let (mut worker, _) = start().await;
    worker.topic_refuses(Answer::TOPIC, PublishErrorKind::UnknownTopic);
    worker.send(&letter("ada", "hello"));
    worker.settle().await;
    worker.expect_all_done();
}

#[tokio::test]
#[should_panic(expected = "unfinished: letter/")]
async fn what_is_under_way_is_told() {
    let (mut worker, _) = start().await;
    worker.send(&letter("ada", "hang on"));
    worker.settle().await;
    worker.expect_all_done();
}

#[tokio::test]
#[should_panic(expected = "rows of `select sender from letters`\n  expected: eve\n  found:    ada")]
async fn other_rows_are_told() {
    let worker = three_ends().await;
    worker.expect_rows(sql(SENDERS), &["eve"]).await;
}

#[tokio::test]
#[should_panic(expected = "tests/testing/expectations.rs")]
async fn rows_name_the_line_of_the_test() {
    let worker = three_ends().await;
    worker.expect_rows(sql(SENDERS), &[]).await;
}

#[tokio::test]
#[should_panic(expected = "no such table: lettres")]
async fn a_query_that_fails_is_told() {
    let worker = three_ends().await;
    worker.rows(sql("select * from lettres")).await;
}

#[derive(Serialize, Deserialize)]
struct Undeclared {
    id: String,
}

impl Event for Undeclared {
    const TYPE: &'static str = "undeclared";

    fn key(&self) -> &str {
        &self.id
    }
}

#[tokio::test]
#[should_panic(
    expected = "topic undeclared does not exist in this test; there are answer, clerk.redrive, letter, letter.dlq"
)]
async fn a_topic_that_the_worker_does_not_declare_is_told() {
    let worker = three_ends().await;
    worker.published::<Undeclared>();
}

#[tokio::test]
#[should_panic(expected = "a record for answer is no answer: missing field `to`")]
async fn records_that_are_not_such_events_are_told() {
    #[derive(Serialize, Deserialize)]
    struct Old {
        id: String,
    }

    impl Event for Old {
        const TYPE: &'static str = "answer";

        fn key(&self) -> &str {
            &self.id
        }
    }

    struct Careless;

    impl Handler for Careless {
        type Payload = Letter;
        const NAME: &'static str = "careless";

        async fn handle(
            &self,
            _: &Envelope<Letter>,
            context: &mut Context<'_, Letter>,
        ) -> Result<(), Failure> {
            context.publish(&Old { id: "1".to_owned() })
        }
    }

    let described = || {
        let worker = WorkerBuilder::plain("careless", Careless);
        worker.reads(Letter::TOPIC).publishes(Old::TOPIC)
    };
    let mut worker = TestWorker::start(described).await;
    worker.send(&letter("ada", "hello"));
    worker.settle().await;
    worker.published::<Answer>();
}
