//! Jobs of mixed priority, delay and failures, in a worker that is killed with -9 again and again: each runs to its right end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use longshore_event::attribute;
use longshore_jobs::{Backoff, JobState, JobView, NewJob, QueueView};
use longshore_orders::Money;
use longshore_orders::job::{ChargeOrder, Email};
use longshore_testkit::wait::eventually;
use serde::Serialize;

use crate::support::client::{self, Sent};
use crate::support::ledger;
use crate::support::observer::Observer;
use crate::support::system::System;
use crate::support::worker::{Kind, Worker};

/// How many, unless `LONGSHORE_TEST_JOBS` says otherwise.
const JOBS: usize = 240;
/// All of them have this long.
const WITHIN: Duration = Duration::from_secs(150);
/// How often the worker is killed while there is something to do.
const KILLS: usize = 12;
/// The topics in which jobs end.
const ENDS: [&str; 4] = [
    "job.completed",
    "job.failed",
    "jobs.payment.dlq",
    "jobs.email.dlq",
];

/// What a job is, and so how it must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Charge,
    /// Takes a second.
    SlowCharge,
    /// Fails twice, then works.
    FlakyCharge,
    /// Would work the third time, and has two.
    TooFewAttempts,
    Declined,
    Mail,
    /// Goes to what is no address.
    LostMail,
}

impl Case {
    fn of(number: usize) -> Self {
        match number % 10 {
            0..=2 => Self::Charge,
            3 | 4 => Self::SlowCharge,
            5 => Self::FlakyCharge,
            6 => Self::TooFewAttempts,
            7 => Self::Declined,
            8 => Self::Mail,
            _ => Self::LostMail,
        }
    }

    fn end(self) -> JobState {
        match self {
            Self::Charge | Self::SlowCharge | Self::FlakyCharge | Self::Mail => JobState::Completed,
            Self::TooFewAttempts | Self::Declined | Self::LostMail => JobState::Failed,
        }
    }

    fn record(self, number: usize, soon: Timestamp) -> (&'static str, Sent) {
        let id = id(number);
        let sku = match self {
            Self::SlowCharge => "TEST-SLOW",
            Self::FlakyCharge | Self::TooFewAttempts => "TEST-FLAKY",
            Self::Declined => "TEST-DECLINED",
            _ => "CD-12",
        };
        let amount: Money =
            serde_json::from_str(r#"{"amount":100,"currency":"USD"}"#).expect("money");
        let item = serde_json::json!({"sku": sku, "quantity": 1, "unitPrice": {"amount": 100, "currency": "USD"}});
        let charge = ChargeOrder {
            order_id: format!("o-{number}"),
            user_id: "u-1".to_owned(),
            amount,
            items: vec![serde_json::from_value(item).expect("an item")],
        };
        let mail = |to: &str| Email {
            to: to.to_owned(),
            subject: "Hello".to_owned(),
            text: "Hello.".to_owned(),
            html: Some("<p>Hello.</p>".to_owned()),
        };
        match self {
            Self::Mail => (
                "jobs.email",
                self.sent(id, number, soon, mail("ada@example.org")),
            ),
            Self::LostMail => ("jobs.email", self.sent(id, number, soon, mail("nobody"))),
            _ => ("jobs.payment", self.sent(id, number, soon, charge)),
        }
    }

    fn sent<P: Serialize>(self, id: String, number: usize, soon: Timestamp, payload: P) -> Sent {
        let priority = i32::try_from(number * 7 % 5).expect("small") - 2;
        // Killed runs are counted, so those that are to succeed may have many.
        let attempts = if self == Self::TooFewAttempts { 2 } else { 60 };
        let mut job = NewJob::with_id(&id, payload)
            .priority(priority)
            .attempts(attempts)
            .backoff(Backoff::Fixed {
                wait_ms: 50,
                jitter: 0.5,
            });
        if number.is_multiple_of(4) {
            let later = i64::try_from(number % 50).expect("small") * 150;
            job = job.run_at(soon + SignedDuration::from_millis(later));
        }
        Sent::new(&id, serde_json::to_vec(&job).expect("JSON"))
    }
}

fn id(number: usize) -> String {
    format!("job-{number}")
}

fn count() -> usize {
    let asked = std::env::var("LONGSHORE_TEST_JOBS");
    asked.map_or(JOBS, |asked| asked.parse().expect("a number of jobs"))
}

async fn counted(worker: &Worker) -> Result<i64, String> {
    let (_, body) = worker
        .get("/jobs/queues")
        .await
        .map_err(|error| error.to_string())?;
    let queues: Vec<QueueView> = serde_json::from_str(&body).map_err(|error| error.to_string())?;
    Ok(queues.iter().flat_map(|queue| queue.jobs.values()).sum())
}

/// All jobs, while none of their queues is started.
async fn fill(system: &System, worker: &Worker, count: usize) {
    for queue in ["payment", "email"] {
        let (status, _) = worker
            .ask("POST", &format!("/jobs/queues/{queue}/pause"))
            .await
            .expect("an answer");
        assert_eq!(status, 204);
    }
    let producer = client::producer(system.broker.bootstrap(), &[]);
    let soon = Timestamp::now() + SignedDuration::from_secs(5);
    let records: Vec<_> = (0..count)
        .map(|number| Case::of(number).record(number, soon))
        .collect();
    let sending = records
        .iter()
        .map(|(topic, sent)| client::send(&producer, topic, sent));
    futures_util::future::try_join_all(sending)
        .await
        .expect("all sent");
    eventually("all jobs are in", WITHIN, async || {
        match counted(worker).await {
            Ok(found) if found == i64::try_from(count).expect("small") => Ok(()),
            other => Err(other),
        }
    })
    .await;
    for queue in ["payment", "email"] {
        let (status, _) = worker
            .ask("POST", &format!("/jobs/queues/{queue}/resume"))
            .await
            .expect("an answer");
        assert_eq!(status, 204);
    }
}

/// Kills the worker again and again, after it has worked for a while; returns how often it was.
async fn kill(mut worker: Worker, kills: &mut usize) -> Worker {
    let mut ticks = tokio::time::interval(Duration::from_millis(350));
    ticks.tick().await;
    while *kills < KILLS {
        for _ in 0..2 + *kills % 4 {
            ticks.tick().await;
        }
        worker.kill();
        *kills += 1;
        worker = worker.launch.start();
        worker.ready().await;
        ticks.reset();
    }
    worker
}

/// The events of each key in a topic; one that was published again under its id is the same event.
fn events(observer: &Observer, topic: &str) -> BTreeMap<String, usize> {
    let records = observer.topic(topic);
    let of = |record: &&longshore_event::Record| {
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
        (key, record.headers.get(attribute::ID).map(<[u8]>::to_vec))
    };
    let distinct: BTreeSet<_> = records.iter().map(of).collect();
    let mut counts = BTreeMap::new();
    for (key, _) in distinct {
        *counts.entry(key).or_insert(0) += 1;
    }
    counts
}

async fn all(worker: &Worker, queue: &str) -> Vec<JobView> {
    let (_, body) = worker
        .get(&format!("/jobs?queue={queue}&limit=1000"))
        .await
        .expect("an answer");
    serde_json::from_str(&body).expect("jobs")
}

async fn show(worker: &Worker, id: &str) -> JobView {
    let (_, body) = worker.get(&format!("/jobs/{id}")).await.expect("an answer");
    serde_json::from_str(&body).expect("a job")
}

/// Of the jobs that ran once: none was started while one of the same queue was claimable that goes before it.
fn started_in_order(jobs: &[JobView]) {
    let once: Vec<_> = jobs.iter().filter(|job| job.attempts_made == 1).collect();
    assert!(once.len() > jobs.len() / 4, "too few ran once to judge");
    for later in &once {
        for earlier in &once {
            let goes_before = earlier.priority > later.priority
                || earlier.priority == later.priority && earlier.due_at < later.due_at;
            let was_claimable =
                earlier.due_at <= later.started_at && later.started_at < earlier.started_at;
            assert!(
                !(goes_before && was_claimable),
                "{later:?} was started while {earlier:?} waited"
            );
        }
    }
}

/// Whether one of its runs has said that it did what it was to do.
fn says_done(job: &JobView) -> bool {
    let mut lines = job.log.iter().flatten();
    lines.any(|line| line.line.starts_with("charged as") || line.line.starts_with("sent to"))
}

async fn judge(worker: &Worker, count: usize) {
    for queue in ["payment", "email"] {
        started_in_order(&all(worker, queue).await);
    }
    for number in 0..count {
        let (case, job) = (Case::of(number), show(worker, &id(number)).await);
        assert_eq!(job.state, case.end(), "{case:?}: {job:?}");
        // A kill costs a job that runs one attempt, and no job more than that.
        let needs = |runs| (runs..=runs + KILLS as i64).contains(&job.attempts_made);
        let right = match case {
            Case::Charge | Case::SlowCharge | Case::Mail => needs(1) && says_done(&job),
            Case::FlakyCharge => needs(3) && says_done(&job),
            Case::TooFewAttempts => job.attempts_made == 2 && !says_done(&job),
            Case::Declined | Case::LostMail => needs(1) && !says_done(&job),
        };
        assert!(right, "{case:?} has the wrong attempts: {job:?}");
    }
}

#[tokio::test]
async fn jobs_run_to_their_ends_in_a_worker_that_is_killed_again_and_again() {
    let system = System::start().await;
    let count = count();
    let worker = system.launch(Kind::Jobs).instance(1).start();
    worker.ready().await;
    let mut observer = Observer::new(&system.broker, &ENDS).await;
    fill(&system, &worker, count).await;

    let mut kills = 0;
    let worker = kill(worker, &mut kills).await;
    observer
        .until("all jobs ended", WITHIN, |observer| {
            let ended = observer.keys("job.completed").len() + observer.keys("job.failed").len();
            if ended >= count { Ok(()) } else { Err(ended) }
        })
        .await;
    observer.catch_up(WITHIN).await;

    let of = |state| (0..count).filter(move |number| Case::of(*number).end() == state);
    let once = |numbers: &mut dyn Iterator<Item = usize>| -> BTreeMap<String, usize> {
        numbers.map(|number| (id(number), 1)).collect()
    };
    assert_eq!(
        events(&observer, "job.completed"),
        once(&mut of(JobState::Completed))
    );
    assert_eq!(
        events(&observer, "job.failed"),
        once(&mut of(JobState::Failed))
    );
    let mut dead = observer.keys("jobs.payment.dlq");
    dead.extend(observer.keys("jobs.email.dlq"));
    assert_eq!(dead, of(JobState::Failed).map(id).collect());
    judge(&worker, count).await;
    let charged = ledger::once(&system.store(Kind::Jobs), Kind::Jobs, "charged").await;
    let to_charge = |number: &usize| {
        matches!(
            Case::of(*number),
            Case::Charge | Case::SlowCharge | Case::FlakyCharge
        )
    };
    assert_eq!(charged.len(), (0..count).filter(to_charge).count());
    let mails = std::fs::read_dir(worker.launch.files().join("mails")).expect("mails");
    let mails = mails.filter(|mail| {
        let path = mail.as_ref().expect("a file").path();
        path.extension().is_some_and(|extension| extension == "eml")
    });
    let to_send = (0..count).filter(|number| Case::of(*number) == Case::Mail);
    assert_eq!(mails.count(), to_send.count());
}
