//! The jobs over HTTP: JSON in, JSON out, errors as problem+json (RFC 9457).

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::options::check_name;
use crate::{JobOptions, JobState, Jobs, JobsError, NewJob, Repeat};

/// Jobs in an answer, if nothing else is asked for.
const LISTED: usize = 50;

/// The routes: `GET /jobs`, `GET /jobs/queues`, `POST /jobs/queues/{queue}/pause|resume`, `GET /jobs/repeats`,
/// `PUT` and `DELETE /jobs/repeats/{name}`, `POST /jobs/{queue}`, `GET` and `DELETE /jobs/{id}`, `POST /jobs/{id}/retry`.
///
/// They know no users: whoever reaches them may do all of it, so they belong behind the admin port, not before the world.
pub fn router(jobs: Jobs) -> Router {
    Router::new()
        .route("/jobs", get(list))
        .route("/jobs/queues", get(queues))
        .route("/jobs/queues/{queue}/pause", post(pause))
        .route("/jobs/queues/{queue}/resume", post(resume))
        .route("/jobs/repeats", get(repeats))
        .route(
            "/jobs/repeats/{name}",
            axum::routing::put(repeat).delete(end_repeat),
        )
        // A job's id to look at it, a queue's name to add to it.
        .route("/jobs/{name}", get(show).delete(remove).post(add))
        .route("/jobs/{name}/retry", post(retry))
        .with_state(jobs)
}

/// The body of `POST /jobs/{queue}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddJob {
    /// The job's id; a fresh one if it is not given. The header `Idempotency-Key` does as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// What to do.
    pub payload: Value,
    /// How.
    #[serde(flatten)]
    pub options: JobOptions,
}

/// Which jobs to list.
#[derive(Debug, Deserialize)]
struct Selection {
    queue: Option<String>,
    state: Option<JobState>,
    limit: Option<usize>,
}

async fn list(
    State(jobs): State<Jobs>,
    Query(selection): Query<Selection>,
) -> Result<Response, Problem> {
    let limit = selection.limit.unwrap_or(LISTED);
    if let Some(queue) = &selection.queue {
        possible("queue", queue)?;
    }
    let listed = jobs.list(selection.queue.as_deref(), selection.state, limit);
    Ok(Json(listed.await.map_err(JobsError::from)?).into_response())
}

async fn show(State(jobs): State<Jobs>, Path(id): Path<String>) -> Result<Response, Problem> {
    possible("job", &id)?;
    match jobs.show(&id).await.map_err(JobsError::from)? {
        Some(job) => Ok(Json(job).into_response()),
        None => Err(JobsError::Unknown {
            what: "job",
            name: id,
        }
        .into()),
    }
}

async fn add(
    State(jobs): State<Jobs>,
    Path(queue): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
    let AddJob {
        job_id,
        payload,
        options,
    } = read(&body)?;
    let job_id = job_id.or_else(|| text("idempotency-key"));
    let job_id = job_id.unwrap_or_else(|| Uuid::now_v7().to_string());
    let correlation_id = text("x-correlation-id");
    let job = NewJob {
        job_id,
        payload,
        options,
    };
    jobs.add(&queue, &job, correlation_id.as_deref()).await?;
    let place = format!("/jobs/{}", job.job_id);
    let body = Json(json!({"jobId": job.job_id, "queue": queue}));
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, place)], body).into_response())
}

async fn retry(State(jobs): State<Jobs>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    possible("job", &id)?;
    jobs.retry(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(State(jobs): State<Jobs>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    possible("job", &id)?;
    jobs.remove(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn queues(State(jobs): State<Jobs>) -> Result<Response, Problem> {
    Ok(Json(jobs.queues().await.map_err(JobsError::from)?).into_response())
}

async fn pause(State(jobs): State<Jobs>, Path(queue): Path<String>) -> Result<StatusCode, Problem> {
    jobs.pause(&queue).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn resume(
    State(jobs): State<Jobs>,
    Path(queue): Path<String>,
) -> Result<StatusCode, Problem> {
    jobs.resume(&queue).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn repeats(State(jobs): State<Jobs>) -> Result<Response, Problem> {
    Ok(Json(jobs.repeats().await.map_err(JobsError::from)?).into_response())
}

/// The name stands in the path; one in the body is passed over.
async fn repeat(
    State(jobs): State<Jobs>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let mut value: Value = read(&body)?;
    if let Some(fields) = value.as_object_mut() {
        fields.insert("name".to_owned(), name.into());
    }
    let repeat: Repeat = serde_json::from_value(value).map_err(|error| invalid(&error))?;
    Ok(Json(jobs.repeat(&repeat).await?).into_response())
}

async fn end_repeat(
    State(jobs): State<Jobs>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    possible("repetition", &name)?;
    jobs.end_repeat(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What cannot be a name is none that is there; PostgreSQL would not even look for some.
fn possible(what: &'static str, name: &str) -> Result<(), Problem> {
    check_name(what, name).map_err(|_| {
        let name = name.to_owned();
        JobsError::Unknown { what, name }.into()
    })
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| invalid(&error))
}

fn invalid(error: &serde_json::Error) -> Problem {
    Problem {
        status: StatusCode::BAD_REQUEST,
        title: "the body is not what is expected",
        detail: error.to_string(),
    }
}

/// An error as RFC 9457 tells it.
#[derive(Debug)]
struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: String,
}

impl From<JobsError> for Problem {
    fn from(error: JobsError) -> Self {
        let (status, title) = match &error {
            JobsError::Unknown { .. } => (StatusCode::NOT_FOUND, "not found"),
            JobsError::Conflict(_) => (StatusCode::CONFLICT, "not in this state"),
            JobsError::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "not valid"),
            JobsError::Store(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the store is not available",
            ),
        };
        if status == StatusCode::SERVICE_UNAVAILABLE {
            tracing::warn!(
                error = longshore_worker::Failure::from(error).message(),
                "a request for jobs failed"
            );
            let detail = "try again later".to_owned();
            return Self {
                status,
                title,
                detail,
            };
        }
        Self {
            status,
            title,
            detail: error.to_string(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": "about:blank",
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let content = [(header::CONTENT_TYPE, "application/problem+json")];
        (self.status, content, body.to_string()).into_response()
    }
}
