//! What an operator does with jobs and queues.

use std::collections::BTreeSet;
use std::time::Duration;

use longshore_event::Headers;
use longshore_jobs::{JobOptions, JobState, JobsError, QueueConfig, Repeat};
use longshore_testkit::wait::eventually;
use longshore_worker::sql;
use serde_json::json;

use crate::support::{Act, Place, Site, WITHIN, config, job};

pub(crate) async fn a_paused_queue_starts_nothing_until_it_is_resumed(place: &Place) {
    let site = Site::open(place, config()).await;
    site.jobs.pause("bell").await.expect("paused");
    site.add(&job("j-1", Act::Succeed)).await;
    let executor = site.start();
    // Stopping waits for the executor's first look.
    executor.stop().await;
    assert_eq!(
        site.show("j-1").await.expect("there").state,
        JobState::Waiting
    );
    assert!(site.jobs.queues().await.expect("shown")[0].paused);

    let _executor = site.start();
    site.jobs.resume("bell").await.expect("resumed");

    site.until("j-1", JobState::Completed).await;
    let missing = site.jobs.pause("nothing").await;
    assert!(matches!(
        missing,
        Err(JobsError::Unknown { what: "queue", .. })
    ));
}

pub(crate) async fn a_failed_job_can_be_retried_and_redriven(place: &Place) {
    let site = Site::open(place, config()).await;
    let _executor = site.start();
    site.add(&job("j-1", Act::Reject)).await;
    site.until("j-1", JobState::Failed).await;
    site.jobs.retry("j-1").await.expect("retried");
    site.until_runs(2).await;
    site.until("j-1", JobState::Failed).await;
    assert_eq!(
        site.outgoing_topics().await.len(),
        4,
        "each life has an end of its own"
    );

    // What `longshore dlq redrive --edit` sends back: the same job, mended.
    let mut headers = Headers::new();
    headers.push_str("longshore-redrive-count", "1");
    let mended = serde_json::to_vec(&job("j-1", Act::Succeed)).expect("JSON");
    site.take_in(50, mended, headers).await;

    let done = site.until("j-1", JobState::Completed).await;
    assert_eq!(done.attempts_made, 1);
    let again = site.jobs.retry("j-1").await;
    assert!(matches!(again, Err(JobsError::Conflict(_))), "{again:?}");
}

pub(crate) async fn a_job_can_be_removed_unless_it_runs(place: &Place) {
    let site = Site::open(place, config()).await;
    site.add(&job("runs", Act::Wait)).await;
    let _executor = site.start();
    site.until_runs(1).await;
    site.add(&job("waits", Act::Succeed)).await;

    site.jobs.remove("waits").await.expect("removed");
    let refused = site.jobs.remove("runs").await;

    assert!(
        matches!(refused, Err(JobsError::Conflict(_))),
        "{refused:?}"
    );
    assert_eq!(site.show("waits").await, None);
    let missing = site.jobs.remove("waits").await;
    assert!(matches!(
        missing,
        Err(JobsError::Unknown { what: "job", .. })
    ));
}

pub(crate) async fn occurrences_are_added_once_whoever_runs(place: &Place) {
    let site = Site::open(place, config()).await;
    let rival = site.beside(place, config()).await;
    let every_second = Repeat {
        name: "tick".to_owned(),
        queue: "bell".to_owned(),
        cron: "* * * * * *".to_owned(),
        payload: json!({"act": "Succeed"}),
        options: JobOptions::default(),
        next_at: None,
        last_at: None,
    };
    let set = site.jobs.repeat(&every_second).await.expect("set");
    let first = site.start();
    let _rival = rival.start();

    let ids = async |count: usize| {
        eventually("occurrences", WITHIN, async || {
            let keys: Vec<_> = site
                .outgoing()
                .await
                .into_iter()
                .filter_map(|one| one.key)
                .collect();
            if keys.len() >= count {
                Ok(keys)
            } else {
                Err(keys.len())
            }
        })
        .await
    };
    ids(2).await;
    drop(first);
    let all = ids(4).await;

    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len(), "{all:?}");
    let begins = format!("tick@{}", set.next_at.expect("a time"));
    assert!(
        all.iter().any(|key| key == begins.as_bytes()),
        "{begins}: {all:?}"
    );
    site.jobs.end_repeat("tick").await.expect("ended");
    assert!(site.jobs.repeats().await.expect("listed").is_empty());
    for (wrong, field) in [
        (
            Repeat {
                cron: "often".to_owned(),
                ..every_second.clone()
            },
            "cron",
        ),
        (
            Repeat {
                payload: json!({"act": "Dance"}),
                ..every_second.clone()
            },
            "Dance",
        ),
        (
            // Each occurrence has the time behind it.
            Repeat {
                name: "x".repeat(250),
                ..every_second.clone()
            },
            "jobId",
        ),
    ] {
        let refused = site.jobs.repeat(&wrong).await.expect_err(field).to_string();
        assert!(refused.contains(field), "{refused}");
    }
}

pub(crate) async fn old_jobs_are_forgotten(place: &Place) {
    let config = QueueConfig {
        keep_completed: Duration::ZERO,
        ..config()
    };
    let site = Site::open(place, config).await;
    let executor = site.start();
    site.add(&job("done", Act::Succeed)).await;
    site.add(&job("failed", Act::Reject)).await;
    site.until("failed", JobState::Failed).await;
    site.until("done", JobState::Completed).await;
    drop(executor);
    // More than one statement removes.
    for doubling in 0..10 {
        let copy = sql(format!(
            "insert into jobs (id, queue, state, priority, due_at, added_at, attempts, attempts_made, backoff, \
             time_limit_ms, remove_on_complete, progress, endings, topic, partition, record_offset, headers, value, \
             ended_at) \
             select id || '-{doubling}', queue, state, priority, due_at, added_at, attempts, attempts_made, backoff, \
             time_limit_ms, remove_on_complete, progress, endings, topic, partition, record_offset, headers, value, \
             ended_at from jobs where state = 'completed'"
        ));
        site.store.execute(&copy).await.expect("copied");
    }

    // An executor looks for old jobs as it starts.
    let _executor = site.start();

    eventually("all of them are gone", WITHIN, async || {
        let left = site.jobs.queues().await.expect("counted").remove(0).jobs;
        let left = left.get(&JobState::Completed).copied();
        left.map_or(Ok(()), Err)
    })
    .await;
    assert!(site.show("failed").await.is_some());
}
