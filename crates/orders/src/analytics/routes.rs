//! The sums over HTTP, beside health and metrics: `/analytics/summary`, `/analytics/hours`, `/analytics/funnel`.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use longshore_worker::StoreError;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{Analytics, Window};

/// The window, as a request names it.
#[derive(Debug, Deserialize)]
struct Asked {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl From<Asked> for Window {
    fn from(Asked { since, until }: Asked) -> Self {
        Self { since, until }
    }
}

pub(super) fn routes(analytics: Analytics) -> Router {
    Router::new()
        .route("/analytics/summary", get(summary))
        .route("/analytics/hours", get(hours))
        .route("/analytics/funnel", get(funnel))
        .with_state(analytics)
}

async fn summary(State(analytics): State<Analytics>, Query(asked): Query<Asked>) -> Response {
    answer(analytics.summary(asked.into()).await)
}

async fn hours(State(analytics): State<Analytics>, Query(asked): Query<Asked>) -> Response {
    answer(analytics.hours(asked.into()).await)
}

async fn funnel(State(analytics): State<Analytics>, Query(asked): Query<Asked>) -> Response {
    answer(analytics.funnel(asked.into()).await)
}

fn answer(found: Result<impl Serialize, StoreError>) -> Response {
    match found {
        Ok(found) => Json(found).into_response(),
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "analytics cannot be read"
            );
            (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
        }
    }
}
