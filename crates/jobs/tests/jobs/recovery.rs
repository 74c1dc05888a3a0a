//! What happens to jobs whose process dies or stops.

use std::time::Duration;

use longshore_jobs::{JobState, QueueConfig};

use longshore_testkit::wait::eventually;
use longshore_worker::sql;

use crate::support::{Act, Place, Site, brief_lease, config, job};

pub(crate) async fn a_job_whose_process_died_is_run_again_and_the_run_is_counted(place: &Place) {
    let site = Site::open(place, brief_lease()).await;
    site.add(&job("j-1", Act::Wait)).await;
    let first = site.start();
    site.until_runs(1).await;
    drop(first);

    let second = site.beside(place, brief_lease()).await;
    let _executor = second.start();
    site.until_runs(2).await;
    site.bell.gate.add_permits(1);

    let done = site.until("j-1", JobState::Completed).await;
    assert_eq!(done.attempts_made, 2);
    assert_eq!(site.runs(), [("j-1".to_owned(), 1), ("j-1".to_owned(), 2)]);
}

pub(crate) async fn a_job_whose_process_died_in_its_last_run_has_failed(place: &Place) {
    let site = Site::open(place, brief_lease()).await;
    site.add(&job("j-1", Act::Wait).attempts(1)).await;
    let first = site.start();
    site.until_runs(1).await;
    drop(first);

    let second = site.beside(place, brief_lease()).await;
    let _executor = second.start();

    let failed = site.until("j-1", JobState::Failed).await;
    assert_eq!(failed.attempts_made, 1);
    assert!(
        failed
            .last_error
            .is_some_and(|error| error.contains("lease"))
    );
    assert_eq!(
        site.outgoing_topics().await,
        ["job.failed", "jobs.bell.dlq"]
    );
}

pub(crate) async fn a_lease_is_renewed_while_a_job_runs(place: &Place) {
    let lease = Duration::from_secs(5);
    let config = QueueConfig { lease, ..config() };
    let site = Site::open(place, config.clone()).await;
    site.add(&job("long", Act::Wait)).await;
    let _executor = site.start();
    site.until_runs(1).await;
    let started = site
        .show("long")
        .await
        .expect("there")
        .started_at
        .expect("started");
    let rival = site.beside(place, config).await;
    // On SQLite nobody else can have the store, and a second executor would take the first one's jobs for orphans.
    let _rival = (!site.store.is_exclusive()).then(|| rival.start());

    // Longer than what it was claimed for.
    eventually("time passes", Duration::from_secs(20), async || {
        let passed = jiff::Timestamp::now().duration_since(started);
        if passed.unsigned_abs() > lease * 3 / 2 {
            Ok(())
        } else {
            Err(passed)
        }
    })
    .await;

    site.bell.gate.add_permits(1);
    let done = site.until("long", JobState::Completed).await;
    assert_eq!((done.attempts_made, site.runs().len()), (1, 1));
}

pub(crate) async fn a_stopping_worker_finishes_what_runs_and_gives_back_the_rest(place: &Place) {
    let site = Site::open(place, config()).await;
    site.add(&job("finishes", Act::Wait)).await;
    let executor = site.start();
    site.until_runs(1).await;
    site.bell.gate.add_permits(1);
    executor.stop().await;
    let finished = site.show("finishes").await.expect("there");
    assert_eq!(finished.state, JobState::Completed);

    site.add(&job("hangs", Act::Wait)).await;
    let executor = site.start_with(Duration::from_millis(50));
    site.until_runs(2).await;
    executor.stop().await;
    let given_back = site.show("hangs").await.expect("there");
    assert_eq!(
        (given_back.state, given_back.attempts_made),
        (JobState::Waiting, 0)
    );

    site.bell.gate.add_permits(1);
    let _executor = site.start();
    site.until("hangs", JobState::Completed).await;
    let log = site.show("hangs").await.and_then(|job| job.log);
    let lines: Vec<_> = log.into_iter().flatten().collect();
    let lines: Vec<_> = lines
        .iter()
        .map(|line| (line.attempt, &*line.line))
        .collect();
    assert_eq!(
        lines,
        [(1, "at the gate"), (1, "at the gate")],
        "both runs have their say"
    );
}

pub(crate) async fn a_run_is_dropped_as_its_lease_ends_though_the_store_does_not_answer(
    place: &Place,
) {
    let site = Site::open(place, brief_lease()).await;
    site.add(&job("cut-off", Act::Wait)).await;
    let _executor = site.start();
    site.until_runs(1).await;
    assert_eq!(site.bell.waiting(), 1);

    // Much longer than the lease: the store itself gives up after 10 s.
    let rival = site.beside(place, brief_lease()).await.store;
    let mut held = rival.begin().await.expect("begun");
    if !rival.is_exclusive() {
        let lock = sql("lock table jobs in access exclusive mode");
        held.execute(&lock).await.expect("locked");
    }
    eventually(
        "the run is dropped",
        Duration::from_secs(9),
        async || match site.bell.waiting() {
            0 => Ok(()),
            waiting => Err(waiting),
        },
    )
    .await;
    drop(held);
}
