//! Several instances of the API on one PostgreSQL.

use std::collections::HashSet;

use axum::http::StatusCode;
use futures_util::future::join_all;
use longshore_api::http::Limits;
use longshore_store::StoreUrl;
use longshore_testkit::memory::MemoryLog;
use longshore_testkit::postgres::Postgres;
use longshore_testkit::wait::eventually;
use longshore_worker::sql;
use serde_json::{Value, json};

use crate::orders::order;
use crate::support::{Fixture, LIMIT, log};

fn database(postgres: &Postgres) -> StoreUrl {
    let name = format!("longshore_{}", uuid::Uuid::new_v4().simple());
    postgres.create_database(&name).parse().expect("a URL")
}

/// Two instances on a database of their own, whose events go to one log.
async fn two(postgres: &Postgres) -> [Fixture; 2] {
    let url = database(postgres);
    let log = log();
    [
        Fixture::on(&url, &url, log.clone(), Limits::default()).await,
        Fixture::on(&url, &url, log, Limits::default()).await,
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_key_sent_a_hundred_times_at_once_is_one_order() {
    let Some(postgres) = Postgres::start().await else {
        return;
    };
    let apis = two(&postgres).await;
    let body = order();

    let requests = (0..100).map(async |number: usize| {
        loop {
            let answer = apis[number % 2].order("the-key", &body).await;
            // The queue for the database may be too long; a client asks again.
            if answer.status != StatusCode::SERVICE_UNAVAILABLE {
                return answer;
            }
        }
    });
    let answers = join_all(requests).await;

    let mut bodies = HashSet::new();
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        bodies.insert(answer.body.to_string());
    }
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    let count = sql("select count(*) from orders");
    let store = &apis[0].server.health.store;
    let row = store.fetch_optional(&count).await.expect("read");
    assert_eq!(row.and_then(|row| row.integer(0)), Some(1));
    apis[0].published("order.created", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn events_of_one_user_are_published_in_the_order_of_its_changes_whichever_instance_made_them()
{
    let Some(postgres) = Postgres::start().await else {
        return;
    };
    let apis = two(&postgres).await;
    let created = apis[0]
        .post(
            "/users",
            &json!({"email": "a@b", "name": "0", "password": "12345678"}),
        )
        .await;
    let path = format!("/users/{}", created.body["userId"].as_str().expect("an id"));

    for number in 1..=40_usize {
        let body = json!({"name": number.to_string()});
        let changed = apis[number % 2].patch(&path, &body).await;
        assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    }

    let records = apis[0].published("user.updated", 40).await;
    let name = |value: &[u8]| -> Value {
        let event: Value = serde_json::from_slice(value).expect("JSON");
        event["name"].clone()
    };
    let names: Vec<Value> = records
        .iter()
        .map(|record| name(record.value.as_deref().expect("a value")))
        .collect();
    let expected: Vec<Value> = (1..=40).map(|number| json!(number.to_string())).collect();
    assert_eq!(names, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_instance_publishes_what_one_that_is_gone_has_left() {
    let Some(postgres) = Postgres::start().await else {
        return;
    };
    let [first, second] = two(&postgres).await;
    // It gives its lease back, so that this need not wait until that is over.
    first.server.commands.handlers().outbox.close(LIMIT).await;
    let placed = first.post("/orders", &order()).await;
    assert_eq!(placed.status, StatusCode::CREATED);
    second.published("order.created", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_instance_publishes_what_one_that_crashed_has_left() {
    let Some(postgres) = Postgres::start().await else {
        return;
    };
    let url = database(&postgres);
    // Nothing can be published yet.
    let log = MemoryLog::new();
    let first = Fixture::on(&url, &url, log.clone(), Limits::default()).await;
    let leases = sql("select count(*) from leases");
    eventually("it has the lease", LIMIT, async || {
        let row = first.server.health.store.fetch_optional(&leases).await;
        let held = row.expect("read").and_then(|row| row.integer(0));
        (held == Some(1)).then_some(()).ok_or("nobody has")
    })
    .await;
    let placed = first.post("/orders", &order()).await;
    assert_eq!(placed.status, StatusCode::CREATED);
    drop(first);

    log.create_topic("order.created", 1);
    let second = Fixture::on(&url, &url, log, Limits::default()).await;

    // The lease outlives its holder by ten seconds.
    second.published("order.created", 1).await;
}
