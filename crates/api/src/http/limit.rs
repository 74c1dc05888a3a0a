//! How much is done at once, and for how long. Beyond that a request is refused at once, which costs nobody much.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Limits;
use super::problem::{Kind, Problem};
use crate::Metrics;

/// The requests that are being answered.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    turns: Arc<Semaphore>,
    limits: Limits,
}

impl Bound {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(limits.concurrency)),
            limits,
        }
    }
}

/// Answers a request if there is room, within its time; the time covers reading its body.
pub(super) async fn bound(State(bound): State<Bound>, request: Request, next: Next) -> Response {
    let Ok(_turn) = bound.turns.try_acquire() else {
        let detail = format!("{} requests are being answered", bound.limits.concurrency);
        return Problem::new(Kind::Overloaded, detail).into_response();
    };
    let limit = bound.limits.timeout;
    match timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("no answer within {limit:?}; a change may have taken effect");
            Problem::new(Kind::Timeout, detail).into_response()
        }
    }
}

/// Counts the answers.
pub(super) async fn count(
    State(metrics): State<Metrics>,
    request: Request,
    next: Next,
) -> Response {
    let method = request.method().to_string();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(|| "unknown".to_owned(), |path| path.as_str().to_owned());
    let response = next.run(request).await;
    metrics.request(&method, &route, response.status().as_u16());
    response
}
