//! The way of a request: its origin, its count, its bounds, its route.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::{from_fn, from_fn_with_state};

use super::endpoint::endpoints;
use super::problem::{Kind, Problem};
use super::{Health, body, limit, origin};
use crate::command::Commands;
use crate::query::Queries;
use crate::{CommandBus, Metrics, QueryBus};

/// What requests are served with.
#[derive(Debug)]
pub struct Server {
    /// What changes something.
    pub commands: CommandBus<Commands>,
    /// What tells something.
    pub queries: QueryBus<Queries>,
    /// Whether all is well.
    pub health: Health,
    /// What is counted.
    pub metrics: Metrics,
}

/// How much is done at once, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests that are answered at once; beyond that they are refused.
    pub concurrency: usize,
    /// Time for one request.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 256,
            timeout: Duration::from_secs(10),
        }
    }
}

/// All routes, as a service.
pub fn router(server: Arc<Server>, limits: Limits) -> Router {
    let (mut bounded, mut unbounded) = (Router::new(), Router::new());
    for endpoint in endpoints() {
        let router = match endpoint.is_bounded {
            true => &mut bounded,
            false => &mut unbounded,
        };
        *router = std::mem::take(router).route(endpoint.path, endpoint.route);
    }
    let bound = from_fn_with_state(limit::Bound::new(limits), limit::bound);
    bounded
        .layer(bound)
        .layer(DefaultBodyLimit::max(body::MAX_BYTES))
        .merge(unbounded)
        .method_not_allowed_fallback(not_allowed)
        .fallback(unknown)
        .layer(from_fn_with_state(server.metrics.clone(), limit::count))
        .layer(from_fn(origin::find))
        .with_state(server)
}

async fn unknown(uri: Uri) -> Problem {
    Problem::not_found("resource at", uri.path())
}

async fn not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}", uri.path());
    Problem::new(Kind::MethodNotAllowed, detail)
}
