//! Jobs: added, looked at, tried again, removed and repeated, over the admin port of their worker.

use std::net::Ipv4Addr;
use std::time::Duration;

use longshore::WorkerArgs;
use longshore_orders::job::{JobsConfig, MailDirectory, jobs};
use longshore_store::StoreUrl;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::support::{Run, Shop};

/// Time for a job to come to its end.
const WITHIN: Duration = Duration::from_secs(40);

const MAIL: &str = r#"{"to":"ada@example.org","subject":"Hello","text":"Hi"}"#;
const LOST: &str = r#"{"to":"nobody","subject":"Hello","text":"Hi"}"#;

struct Office {
    shop: Shop,
    worker: String,
    _stop: oneshot::Sender<()>,
}

impl Office {
    async fn open() -> Self {
        let shop = Shop::open().await;
        let topics = concat!(env!("CARGO_MANIFEST_DIR"), "/../../topics");
        shop.run(&["topics", "apply", "--yes", "--topics-dir", topics])
            .await
            .done();
        let config = JobsConfig {
            mailer: MailDirectory::new(shop.path("mails"), "shop@example.org").expect("a sender"),
            reports: shop.path("reports"),
        };
        let mut args = WorkerArgs::new(shop.brokers());
        args.store = Some(StoreUrl::sqlite(shop.path("jobs.db")));
        args.admin_listen = Some((Ipv4Addr::LOCALHOST, 0).into());
        let connected = jobs(config).connect(&args).await.expect("connected");
        let worker = connected.admin_address().expect("served").to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(connected.run(async move { drop(stopped.await) }));
        Self {
            shop,
            worker,
            _stop: stop,
        }
    }

    async fn jobs(&self, arguments: &[&str]) -> Run {
        let all = [&["jobs"], arguments, &["--worker", &self.worker]].concat();
        self.shop.run(&all).await
    }

    /// Asks for a job until it is in a state.
    async fn until(&self, id: &str, state: &str) -> Value {
        let deadline = Instant::now() + WITHIN;
        loop {
            let shown = self.jobs(&["show", id, "--json"]).await;
            // It may not be there yet: it comes through its topic.
            let job = (shown.code == 0).then(|| shown.clone_json());
            if let Some(job) = &job
                && job["state"] == state
            {
                return job.clone();
            }
            assert!(Instant::now() < deadline, "{id} is not {state}: {job:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Run {
    fn clone_json(&self) -> Value {
        serde_json::from_str(&self.stdout).expect("JSON")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_added_runs_fails_is_tried_again_and_removed() {
    let office = Office::open().await;
    let added = office
        .jobs(&["add", "email", "--payload", MAIL, "--priority", "3"])
        .await
        .done();
    let sent = office.until(added.trim(), "completed").await;
    assert_eq!(
        (&sent["priority"], &sent["attemptsMade"]),
        (&3.into(), &1.into())
    );
    let text = office.jobs(&["show", added.trim()]).await.done();
    assert!(text.contains("sent to ada@example.org"), "{text}");

    office
        .jobs(&["add", "email", "--payload", LOST, "--id", "lost"])
        .await
        .done();
    office.until("lost", "failed").await;
    let failed = office.jobs(&["list", "--state", "failed"]).await.done();
    assert!(
        failed.contains("lost") && failed.contains("rejects"),
        "{failed}"
    );
    office.jobs(&["retry", "lost"]).await.done();
    office.until("lost", "failed").await;
    let conflict = office.jobs(&["retry", added.trim()]).await.failed();
    assert!(conflict.contains("it has not failed"), "{conflict}");
    office.jobs(&["remove", "lost"]).await.done();
    let gone = office.jobs(&["show", "lost"]).await.failed();
    assert!(gone.contains("there is no job"), "{gone}");
    // The outbox sends what both lives have left.
    let deadline = Instant::now() + WITHIN;
    while office.shop.records("jobs.email.dlq").await.len() < 2 {
        assert!(Instant::now() < deadline, "two dead letters");
    }
    let stats = office
        .shop
        .run(&["dlq", "stats", "jobs.email"])
        .await
        .done();
    assert!(stats.contains("ServiceError"), "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_paused_and_jobs_repeated() {
    let office = Office::open().await;
    office.jobs(&["pause", "email"]).await.done();
    office
        .jobs(&["add", "email", "--payload", MAIL, "--id", "waits"])
        .await
        .done();
    office.until("waits", "waiting").await;
    let listed = office.jobs(&["list"]).await.done();
    assert!(listed.contains("email is paused"), "{listed}");
    office.jobs(&["resume", "email"]).await.done();
    office.until("waits", "completed").await;

    let set = [
        "repeat",
        "set",
        "tick",
        "--queue",
        "email",
        "--cron",
        "* * * * * *",
        "--payload",
        MAIL,
    ];
    office.jobs(&set).await.done();
    let repeats = office
        .jobs(&["repeat", "list", "--json"])
        .await
        .clone_json();
    let next = repeats[0]["nextAt"].as_str().expect("a time").to_owned();
    let listed = office.jobs(&["repeat", "list"]).await.done();
    assert!(listed.contains("* * * * * *"), "{listed}");
    office.until(&format!("tick@{next}"), "completed").await;
    office.jobs(&["repeat", "remove", "tick"]).await.done();

    for (arguments, reason) in [
        (&["pause", "nothing"][..], "there is no queue"),
        (&["add", "email", "--payload", "{}"], "missing field"),
        (
            &[
                "repeat",
                "set",
                "x",
                "--queue",
                "email",
                "--cron",
                "often",
                "--payload",
                MAIL,
            ],
            "no cron expression",
        ),
    ] {
        let refused = office.jobs(arguments).await.failed();
        assert!(refused.contains(reason), "{arguments:?}: {refused}");
    }
}

#[tokio::test]
async fn a_worker_that_is_not_there_is_told_with_the_cure() {
    let shop = Shop::open().await;
    let nobody = shop
        .run(&["jobs", "list", "--worker", "127.0.0.1:1"])
        .await
        .failed();
    assert!(nobody.contains("--admin-listen"), "{nobody}");
    let no_up = shop.run(&["jobs", "list"]).await.failed();
    assert!(no_up.contains("--worker HOST:PORT"), "{no_up}");
}
