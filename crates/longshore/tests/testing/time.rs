//! Time stands still while anything is done, and passes exactly as the test says.

use std::time::Duration;

use longshore::prelude::*;
use longshore::testing::now;

use crate::clerk::{Answer, DAY, answer, letter, start};

const NOTES: &str = "select sender, text, at from letters order by rowid";
const START: &str = "2026-01-01T00:00:00Z";

#[tokio::test]
async fn handling_takes_no_time() {
    let (mut worker, _) = start().await;
    for n in 0..200 {
        worker.send(&letter(&format!("sender {}", n % 20), "hello"));
    }
    worker.settle().await;

    worker.expect_all_done();
    assert_eq!(worker.published::<Answer>().len(), 200);
    assert_eq!(worker.now(), now());
    let times = sql("select distinct at from letters");
    worker.expect_rows(times, &[START]).await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_query_takes_no_time() {
    let (mut worker, service) = start().await;
    service.set_down(true);
    worker.send(&letter("ada", "slow one"));
    worker.advance(Duration::from_secs(1)).await;
    worker.expect_parked(&["ada"]);
    let tried = service.calls();
    service.set_down(false);

    // Due in the middle: were time to pass meanwhile, the run would use its time limit up, or its key be late.
    worker.advance(Duration::from_secs(7_200)).await;

    worker.expect_all_done();
    assert_eq!(service.calls(), tried + 1);
    let at = worker.rows(sql("select at from letters")).await;
    assert!(at[0].starts_with("2026-01-01T00:00:0"), "{at:?}");
    worker.stop().await;
}

#[tokio::test]
async fn what_the_test_waits_for_itself_takes_no_time() {
    let (mut worker, _) = start().await;
    let asleep = tokio::spawn(tokio::time::sleep(Duration::from_secs(1)));
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || tell.send(()));
    told.await.expect("told");

    assert!(!asleep.is_finished());
    assert_eq!(worker.now(), now());
    worker.advance(Duration::from_secs(1)).await;
    assert!(asleep.is_finished());
    worker.stop().await;
}

#[tokio::test]
async fn handlers_see_the_time_that_has_passed() {
    let (mut worker, _) = start().await;
    worker.send(&letter("ada", "now"));
    worker.advance(DAY).await;
    worker.send(&letter("ada", "tomorrow"));
    worker.settle().await;

    assert_eq!(worker.now(), now() + DAY);
    let notes = [
        "ada | now | 2026-01-01T00:00:00Z",
        "ada | tomorrow | 2026-01-02T00:00:00Z",
    ];
    worker.expect_rows(sql(NOTES), &notes).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_timer_fires_at_its_time_and_not_before() {
    let (mut worker, _) = start().await;
    worker.send(&letter("ada", "remind me"));
    worker.settle().await;
    let timers = worker.timers::<Answer>().await;
    let [(due_at, reminder)] = &timers[..] else {
        panic!("{} timers", timers.len());
    };
    assert_eq!((*due_at, reminder.text.as_str()), (now() + DAY, "remember"));

    let second = Duration::from_secs(1);
    worker.advance(DAY - second).await;
    worker.expect_published(&[answer("ada", "remind me, your letter 1")]);
    worker.advance(second).await;

    worker.expect_published(&[
        answer("ada", "remind me, your letter 1"),
        answer("ada", "remember"),
    ]);
    let fired = worker.records(Answer::TOPIC).pop().expect("fired");
    assert_eq!(fired.timestamp, Some(now() + DAY));
    assert_eq!(worker.timers::<Answer>().await.len(), 0);
    worker.stop().await;
}

#[tokio::test]
async fn a_cancelled_timer_does_not_fire() {
    let (mut worker, _) = start().await;
    worker.send(&letter("ada", "remind me"));
    worker.settle().await;
    worker.send(&letter("ada", "forget it"));
    worker.advance(2 * DAY).await;

    worker.expect_published(&[
        answer("ada", "remind me, your letter 1"),
        answer("ada", "forget it, your letter 2"),
    ]);
    worker.stop().await;
}

/// In a runtime of its own, as a test is. Paused from the start: later it would be in the middle of a millisecond.
fn one_run() -> Vec<String> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().start_paused(true);
    let runtime = runtime.build().expect("runtime");
    runtime.block_on(async {
        let (mut worker, service) = start().await;
        service.set_down(true);
        worker.send(&letter("ada", "hello"));
        worker.advance(Duration::from_secs(60)).await;
        let parked = worker.parked().iter();
        parked.map(|parked| format!("{parked:?}")).collect()
    })
}

#[test]
fn two_runs_with_one_key_wait_for_the_same_times() {
    let run = one_run();
    assert_eq!(run.len(), 1);
    assert_eq!(run, one_run());
}
