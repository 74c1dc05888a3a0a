//! Users: made, changed and deleted with their events, and read through a cache that hears of changes.

use axum::http::StatusCode;
use longshore_worker::sql;
use serde_json::{Value, json};

use crate::support::Fixture;

fn ada() -> Value {
    json!({"email": "Ada@Example.org", "name": "Ada", "password": "correct horse"})
}

async fn made(api: &Fixture, body: &Value) -> Value {
    let answer = api.post("/users", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.body
}

fn path_of(user: &Value) -> String {
    format!("/users/{}", user["userId"].as_str().expect("an id"))
}

#[tokio::test]
async fn a_user_is_made_with_its_event_and_without_showing_the_password() {
    let api = Fixture::start().await;

    let user = made(&api, &ada()).await;

    assert_eq!(
        (&user["email"], &user["role"]),
        (&json!("Ada@Example.org"), &json!("customer"))
    );
    assert!(!user.to_string().contains("horse"));
    let events = api.published("user.created", 1).await;
    let text = String::from_utf8(events[0].value.clone().expect("a value").to_vec()).expect("text");
    assert!(
        text.contains("Ada@Example.org") && !text.contains("horse"),
        "{text}"
    );
    assert_eq!(api.get(&path_of(&user)).await.body, user);
    let kept = sql("select password_hash from users");
    let row = api
        .server
        .health
        .store
        .fetch_optional(&kept)
        .await
        .expect("read");
    let row = row.expect("a user");
    assert!(
        row.text(0)
            .is_some_and(|hash| hash.starts_with("$argon2id$"))
    );
}

#[tokio::test]
async fn no_two_users_share_an_address_whatever_its_case() {
    let api = Fixture::start().await;
    made(&api, &ada()).await;
    let other = made(
        &api,
        &json!({"email": "b@example.org", "name": "B", "password": "12345678"}),
    )
    .await;

    let second = api
        .post(
            "/users",
            &json!({"email": "ada@example.ORG", "name": "A", "password": "12345678"}),
        )
        .await;
    let changed = api
        .patch(&path_of(&other), &json!({"email": "ADA@example.org"}))
        .await;

    for answer in [second, changed] {
        assert_eq!(answer.status, StatusCode::CONFLICT);
        assert_eq!(answer.body["type"], "urn:longshore:problem:email-taken");
    }
    api.published("user.created", 2).await;
    assert!(api.log.records("user.updated").is_empty());
}

#[tokio::test]
async fn a_change_is_read_at_once_and_published_and_one_that_changes_nothing_is_not() {
    let api = Fixture::start().await;
    api.cache.set_open(true);
    let user = made(&api, &ada()).await;
    api.get(&path_of(&user)).await;

    let changed = api
        .patch(
            &path_of(&user),
            &json!({"name": "Countess", "role": "admin"}),
        )
        .await;
    let unchanged = api
        .patch(&path_of(&user), &json!({"name": "Countess"}))
        .await;

    assert_eq!(
        (changed.status, &changed.body["name"]),
        (StatusCode::OK, &json!("Countess"))
    );
    assert_eq!(unchanged.body, changed.body);
    assert_eq!(api.get(&path_of(&user)).await.body, changed.body);
    api.published("user.updated", 1).await;
}

#[tokio::test]
async fn changes_at_once_all_take_effect_one_after_the_other() {
    let api = Fixture::start().await;
    let user = made(&api, &ada()).await;
    let path = path_of(&user);
    let name = json!({"name": "Countess"});
    let role = json!({"role": "admin"});

    let (one, two) = tokio::join!(api.patch(&path, &name), api.patch(&path, &role));

    assert_eq!((one.status, two.status), (StatusCode::OK, StatusCode::OK));
    let found = api.get(&path).await.body;
    assert_eq!(
        (&found["name"], &found["role"]),
        (&json!("Countess"), &json!("admin"))
    );
    api.published("user.updated", 2).await;
}

#[tokio::test]
async fn a_deleted_user_is_gone_and_its_address_is_free() {
    let api = Fixture::start().await;
    api.cache.set_open(true);
    let user = made(&api, &ada()).await;
    api.get(&path_of(&user)).await;

    let deleted = api.delete(&path_of(&user)).await;

    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_eq!(api.get(&path_of(&user)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        api.delete(&path_of(&user)).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        api.patch(&path_of(&user), &json!({})).await.status,
        StatusCode::NOT_FOUND
    );
    api.published("user.deleted", 1).await;
    made(&api, &ada()).await;
}

#[tokio::test]
async fn a_cached_user_is_not_read_from_the_store_until_it_is_forgotten() {
    let api = Fixture::start().await;
    api.cache.set_open(true);
    let user = made(&api, &ada()).await;
    let path = path_of(&user);
    api.get(&path).await;
    // As another instance would.
    let renamed = sql("update users set name = 'Countess'");
    api.server
        .health
        .store
        .execute(&renamed)
        .await
        .expect("written");

    let cached = api.get(&path).await.body;
    api.cache.forget(user["userId"].as_str().expect("an id"));
    let read = api.get(&path).await.body;

    assert_eq!(
        (&cached["name"], &read["name"]),
        (&json!("Ada"), &json!("Countess"))
    );
}

#[tokio::test]
async fn users_are_listed_by_page_limit_and_role() {
    let api = Fixture::start().await;
    for number in 0..5 {
        let role = if number == 0 { "admin" } else { "customer" };
        made(&api, &json!({"email": format!("{number}@x"), "name": "N", "role": role, "password": "12345678"})).await;
    }

    let first = api.get("/users?role=customer&limit=3").await.body;
    let second = api.get("/users?role=customer&limit=3&page=2").await.body;

    let count = |page: &Value| page["items"].as_array().map(Vec::len);
    assert_eq!((count(&first), count(&second)), (Some(3), Some(1)));
    assert_eq!((&first["total"], &second["page"]), (&json!(4), &json!(2)));
    assert_eq!(api.get("/users?role=admin").await.body["total"], 1);
}
