//! What operators and programs ask of the API itself: `/openapi.json`, `/healthz`, `/readyz`, `/metrics`.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use longshore_store::SqlStore;
use longshore_worker::{Store, StoreError};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use schemars::JsonSchema;
use serde_json::Value;

use super::endpoint::Endpoint;
use super::operation::Operation;
use super::problem::{Kind, Problem};
use super::{Server, document};
use crate::OrderView;

/// Time for a store to answer a readiness check: shorter than the time-outs of those who ask.
const PING: Duration = Duration::from_secs(2);

const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What health checks and metrics look at.
#[derive(Debug)]
pub struct Health {
    /// Where commands commit.
    pub store: SqlStore,
    /// Where queries read.
    pub view: OrderView,
    /// What is measured, by this process and by the worker within it.
    pub registries: Vec<Arc<Registry>>,
}

/// Any JSON object.
#[derive(JsonSchema)]
#[schemars(rename = "OpenApi")]
struct AnyObject {}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let operation = |id, summary| Operation::new("upkeep", id, summary);
    vec![
        Endpoint::get(
            "/openapi.json",
            openapi,
            operation("getOpenApi", "This document")
                .answers::<AnyObject>(StatusCode::OK, "OpenAPI 3.1"),
        )
        .unbounded(),
        Endpoint::get(
            "/healthz",
            async || ([(header::CONTENT_TYPE, TEXT)], "alive\n"),
            operation("getHealth", "Whether the process lives").answers_text(
                StatusCode::OK,
                TEXT,
                "It does",
            ),
        )
        .unbounded(),
        Endpoint::get(
            "/readyz",
            ready,
            operation("getReadiness", "Whether requests can be answered")
                .answers_text(StatusCode::OK, TEXT, "They can")
                .fails(&[Kind::Unavailable]),
        )
        .unbounded(),
        Endpoint::get(
            "/metrics",
            metrics,
            operation("getMetrics", "What is measured, for Prometheus").answers_text(
                StatusCode::OK,
                OPEN_METRICS,
                "OpenMetrics",
            ),
        )
        .unbounded(),
    ]
}

async fn openapi() -> Response {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(document);
    axum::Json(&*DOCUMENT).into_response()
}

/// Brokers that are away are no reason: commands commit, and their events wait in the store.
async fn ready(State(server): State<Arc<Server>>) -> Response {
    let (store, view) = (server.health.store.ping(), server.health.view.ping());
    for (name, answer) in [
        ("store", within(store).await),
        ("projection", within(view).await),
    ] {
        if let Err(reason) = answer {
            let detail = format!("the {name} is not available: {reason}");
            return Problem::new(Kind::Unavailable, detail).into_response();
        }
    }
    ([(header::CONTENT_TYPE, TEXT)], "ready\n").into_response()
}

async fn within(ping: impl Future<Output = Result<(), StoreError>>) -> Result<(), String> {
    match tokio::time::timeout(PING, ping).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {PING:?}")),
    }
}

async fn metrics(State(server): State<Arc<Server>>) -> Response {
    const END: &str = "# EOF\n";
    let mut text = String::new();
    for registry in &server.health.registries {
        if text.ends_with(END) {
            text.truncate(text.len() - END.len());
        }
        // Writing to a string does not fail.
        if encode(&mut text, registry).is_err() {
            return Problem::new(Kind::Internal, "the metrics cannot be written").into_response();
        }
    }
    ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response()
}
