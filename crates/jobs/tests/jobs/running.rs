//! How jobs are run.

use std::collections::BTreeSet;
use std::time::Duration;

use longshore_event::{DeadLetter, ErrorKind, Headers};
use longshore_jobs::{JobState, QueueConfig, Rate};
use longshore_testkit::wait::eventually;

use crate::support::{Act, Place, Site, WITHIN, config, job};

pub(crate) async fn higher_priorities_run_first_and_within_them_first_come_first_served(
    place: &Place,
) {
    let site = Site::open(place, config()).await;
    for (id, priority) in [("a", 0), ("b", 5), ("c", -1), ("d", 5), ("e", 0), ("f", 9)] {
        site.add(&job(id, Act::Succeed).priority(priority)).await;
    }
    let _executor = site.start();

    site.until("c", JobState::Completed).await;

    assert_eq!(site.ran(), ["f", "b", "d", "a", "e", "c"]);
}

pub(crate) async fn a_job_waits_until_it_is_due(place: &Place) {
    let site = Site::open(place, config()).await;
    let _executor = site.start();
    site.add(
        &job("later", Act::Succeed)
            .priority(9)
            .delay(Duration::from_secs(5)),
    )
    .await;
    site.add(&job("now", Act::Succeed)).await;

    let later = site.until("later", JobState::Completed).await;

    assert_eq!(site.ran(), ["now", "later"]);
    assert!(later.started_at >= later.due_at, "{later:?}");
}

pub(crate) async fn a_job_that_fails_is_tried_again_until_its_attempts_are_used_up(place: &Place) {
    let site = Site::open(place, config()).await;
    let _executor = site.start();
    site.add(&job("recovers", Act::Fail(2))).await;
    site.add(&job("never", Act::Fail(99)).attempts(4)).await;

    let recovered = site.until("recovers", JobState::Completed).await;
    let failed = site.until("never", JobState::Failed).await;

    assert_eq!(recovered.attempts_made, 3);
    assert_eq!(failed.attempts_made, 4);
    assert_eq!(failed.last_error.as_deref(), Some("not yet"));
    let mut of_never: Vec<_> = site
        .runs()
        .into_iter()
        .filter(|(id, _)| id == "never")
        .collect();
    of_never.sort();
    assert_eq!(
        of_never
            .iter()
            .map(|(_, attempt)| *attempt)
            .collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    let records = site.outgoing().await;
    let letter = records
        .iter()
        .find(|record| &*record.topic == "jobs.bell.dlq");
    let letter = DeadLetter::read(&letter.expect("a dead letter").headers).expect("headers");
    assert_eq!(
        (letter.topic.as_str(), letter.group.as_str()),
        ("jobs.bell", "jobs")
    );
    assert_eq!(
        (letter.delivery_count, letter.kind),
        (4, ErrorKind::Transient)
    );
    assert_eq!(
        site.outgoing_topics().await,
        ["job.completed", "job.failed", "jobs.bell.dlq"]
    );
}

pub(crate) async fn a_permanent_failure_a_panic_and_a_wrong_payload_are_told(place: &Place) {
    let site = Site::open(place, config()).await;
    let _executor = site.start();
    site.add(&job("rejected", Act::Reject)).await;
    site.add(&job("panics", Act::Panic).attempts(2)).await;
    let wrong = br#"{"jobId":"wrong","payload":{"act":"Dance"}}"#;
    site.take_in(100, wrong.to_vec(), Headers::new()).await;

    for (id, attempts, error) in [
        ("rejected", 1, "never"),
        ("panics", 2, "panicked: on purpose"),
        ("wrong", 1, "the payload is not what this queue takes"),
    ] {
        let failed = site.until(id, JobState::Failed).await;
        assert_eq!(failed.attempts_made, attempts, "{id}");
        let told = failed.last_error.unwrap_or_default();
        assert!(told.contains(error), "{id}: {told}");
    }
}

pub(crate) async fn a_run_that_takes_too_long_has_failed(place: &Place) {
    let site = Site::open(place, config()).await;
    let _executor = site.start();
    let slow = job("slow", Act::Wait)
        .attempts(1)
        .time_limit(Duration::from_millis(50));
    site.add(&slow).await;

    let failed = site.until("slow", JobState::Failed).await;

    assert!(
        failed
            .last_error
            .is_some_and(|error| error.contains("time limit"))
    );
    let log = failed.log.expect("a log");
    assert_eq!(log[0].line, "at the gate", "what it said is kept");
}

pub(crate) async fn a_job_that_succeeded_is_kept_or_removed(place: &Place) {
    let site = Site::open(place, config()).await;
    let _executor = site.start();
    site.add(&job("kept", Act::Succeed)).await;
    site.add(&job("removed", Act::Succeed).remove_on_complete())
        .await;

    let kept = site.until("kept", JobState::Completed).await;
    eventually("it is gone", WITHIN, async || {
        site.show("removed").await.map_or(Ok(()), Err)
    })
    .await;

    assert_eq!(kept.progress, 100);
    assert_eq!(
        site.outgoing_topics().await,
        ["job.completed", "job.completed"]
    );
}

pub(crate) async fn no_more_jobs_run_at_once_than_the_queue_allows(place: &Place) {
    let config = QueueConfig {
        concurrency: 3,
        ..config()
    };
    let site = Site::open(place, config).await;
    for number in 0..8 {
        site.add(&job(&format!("j-{number}"), Act::Wait)).await;
    }
    let _executor = site.start();
    for ended in 0..=5 {
        site.until_runs(3 + ended).await;
        let active = site
            .jobs
            .list(None, Some(JobState::Active), 10)
            .await
            .expect("listed");
        assert!(active.len() <= 3, "{active:?}");
        assert_eq!(site.runs().len(), 3 + ended);
        site.bell.gate.add_permits(1);
    }
}

pub(crate) async fn several_instances_run_each_job_once_and_by_priority(place: &Place) {
    const JOBS: i32 = 60;
    let config = QueueConfig {
        concurrency: 3,
        ..config()
    };
    let site = Site::open(place, config.clone()).await;
    let rival = site.beside(place, config).await;
    for number in 0..JOBS {
        let job = job(&format!("j-{number}"), Act::Succeed);
        site.add(&job.priority(number * 7 % 5)).await;
    }
    let _executor = site.start();
    // On SQLite there is one process.
    let _rival = (!site.store.is_exclusive()).then(|| rival.start());

    for number in 0..JOBS {
        site.until(&format!("j-{number}"), JobState::Completed)
            .await;
    }

    let runs: BTreeSet<_> = site.ran().into_iter().collect();
    assert_eq!((runs.len(), site.runs().len()), (60, 60));
    let mut jobs = site.jobs.list(None, None, 100).await.expect("listed");
    jobs.sort_by_key(|job| (job.started_at, -job.priority));
    let priorities: Vec<_> = jobs.iter().map(|job| job.priority).collect();
    assert!(priorities.is_sorted_by(|a, b| a >= b), "{priorities:?}");
}

pub(crate) async fn a_rate_limit_is_kept(place: &Place) {
    let per = Duration::from_millis(400);
    let config = QueueConfig {
        concurrency: 10,
        rate: Some(Rate { runs: 2, per }),
        ..config()
    };
    let site = Site::open(place, config).await;
    for number in 0..5 {
        site.add(&job(&format!("j-{number}"), Act::Succeed)).await;
    }
    let _executor = site.start();

    let mut started = Vec::new();
    for number in 0..5 {
        let done = site
            .until(&format!("j-{number}"), JobState::Completed)
            .await;
        started.push(done.started_at.expect("started"));
    }

    started.sort();
    for three in started.windows(3) {
        let apart = three[2].duration_since(three[0]);
        assert!(apart.as_millis() >= 400, "three runs within {apart}");
    }
}

pub(crate) async fn progress_and_log_are_seen_while_a_job_runs(place: &Place) {
    let site = Site::open(place, config()).await;
    let _executor = site.start();
    site.add(&job("slow", Act::Wait)).await;

    eventually("progress and log", WITHIN, async || {
        let job = site.show("slow").await.ok_or(None)?;
        let lines = job.log.iter().flatten().map(|line| line.line.clone());
        let said = lines.collect::<Vec<_>>() == ["at the gate"];
        if said && job.progress == 40 && job.state == JobState::Active {
            return Ok(());
        }
        Err(Some(job))
    })
    .await;
    site.bell.gate.add_permits(1);
    site.until("slow", JobState::Completed).await;
}
