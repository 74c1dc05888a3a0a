//! The jobs over HTTP.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use longshore_jobs::{JobState, JobView, router};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{Act, Place, Site, config, job};

async fn ask(
    site: &Site,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> (StatusCode, String, Value) {
    let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(body)
        .expect("a request");
    let response = router(site.jobs.clone())
        .oneshot(request)
        .await
        .expect("answered");
    let status = response.status();
    let content = response.headers().get(header::CONTENT_TYPE);
    let content = content
        .map_or("", |kind| kind.to_str().expect("text"))
        .to_owned();
    let body = to_bytes(response.into_body(), 1 << 20)
        .await
        .expect("a body");
    (
        status,
        content,
        serde_json::from_slice(&body).unwrap_or(Value::Null),
    )
}

pub(crate) async fn jobs_can_be_added_looked_at_and_removed(place: &Place) {
    let site = Site::open(place, config()).await;
    let add = json!({"payload": {"act": "Succeed"}, "priority": 4});
    let (status, _, added) = ask(&site, "POST", "/jobs/bell", Some(add)).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let record = site.outgoing().await.remove(0);
    let id = added["jobId"].as_str().expect("an id");
    assert_eq!(record.key.as_deref(), Some(id.as_bytes()));
    site.take_in(1, record.value.expect("a value").to_vec(), record.headers)
        .await;

    let (status, _, shown) = ask(&site, "GET", &format!("/jobs/{id}"), None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(shown["payload"], json!({"act": "Succeed"}));
    let shown: JobView = serde_json::from_value(shown).expect("a job");
    assert_eq!((shown.state, shown.priority), (JobState::Waiting, 4));
    let (_, _, listed) = ask(&site, "GET", "/jobs?queue=bell&state=waiting&limit=5", None).await;
    assert_eq!(listed[0]["id"], id);
    let (_, _, queues) = ask(&site, "GET", "/jobs/queues", None).await;
    assert_eq!(queues[0]["jobs"], json!({"waiting": 1}));
    for (method, path) in [
        ("POST", "/jobs/queues/bell/pause".to_owned()),
        ("POST", "/jobs/queues/bell/resume".to_owned()),
        ("DELETE", format!("/jobs/{id}")),
    ] {
        let (status, ..) = ask(&site, method, &path, None).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{path}");
    }
    let repeat = json!({"queue": "bell", "cron": "0 4 * * *", "payload": {"act": "Succeed"}});
    let (status, _, set) = ask(&site, "PUT", "/jobs/repeats/nightly", Some(repeat)).await;
    assert_eq!((status, &set["name"]), (StatusCode::OK, &json!("nightly")));
    let (status, ..) = ask(&site, "DELETE", "/jobs/repeats/nightly", None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
}

pub(crate) async fn problems_are_told_as_problems(place: &Place) {
    let site = Site::open(place, config()).await;
    site.add(&job("waits", Act::Succeed)).await;
    let ring = |act: &str| Some(json!({"payload": {"act": act}}));
    for (method, path, body, status) in [
        ("GET", "/jobs/nothing", None, 404),
        ("GET", "/jobs/no%00thing", None, 404),
        ("GET", "/jobs?queue=no%00thing", None, 404),
        ("DELETE", "/jobs/no%00thing", None, 404),
        ("POST", "/jobs/no%00thing/retry", None, 404),
        ("DELETE", "/jobs/repeats/no%00thing", None, 404),
        ("POST", "/jobs/nothing", ring("Succeed"), 404),
        ("POST", "/jobs/bell", ring("Dance"), 422),
        (
            "POST",
            "/jobs/bell",
            Some(json!({"payload": {"act": "Succeed"}, "attempts": 0})),
            422,
        ),
        ("POST", "/jobs/bell", Some(json!([])), 400),
        ("POST", "/jobs/waits/retry", None, 409),
        (
            "PUT",
            "/jobs/repeats/x",
            Some(json!({"queue": "bell", "cron": "x", "payload": {"act": "Succeed"}})),
            422,
        ),
    ] {
        let (found, content, problem) = ask(&site, method, path, body).await;
        assert_eq!(found.as_u16(), status, "{method} {path}: {problem}");
        assert_eq!(content, "application/problem+json", "{method} {path}");
        assert_eq!(problem["status"], status);
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty())
        );
    }
}
