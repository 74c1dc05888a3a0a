//! Health, status and metrics over HTTP, beside the worker: `/healthz`, `/readyz`, `/status`, `/metrics`, and what the
//! worker adds.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use longshore_services::{ServiceClient, ServiceReport};
use longshore_store::SqlStore;
use longshore_worker::{Inspector, Report, Status, Store, StoreCounts};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;
use tracing::{error, info};

use crate::RunError;
use crate::progress::Progress;

/// Time for the store to answer a readiness check: shorter than the time-outs of those who ask.
const PING: Duration = Duration::from_secs(2);

const STARTING: &str = "starting: not connected to store and brokers yet";

/// The body of `/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusPage {
    /// What the worker says; of partitions of which it has committed nothing yet, with what the group had before.
    #[serde(flatten)]
    pub report: Report,
    /// What its store holds; `None` if it has none, or it does not answer.
    pub store: Option<StoreCounts>,
    /// What is known of the services that it calls.
    #[serde(default)]
    pub services: Vec<ServiceReport>,
}

/// The endpoints, if they were asked for. Dropping it takes them away.
pub(crate) struct Admin {
    view: Arc<View>,
    serving: Option<Serving>,
}

struct Serving {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// What the endpoints look at.
struct View {
    registry: Arc<Registry>,
    /// Empty until the worker is connected.
    worker: OnceLock<Watched>,
}

struct Watched {
    status: watch::Receiver<Status>,
    inspector: Inspector,
    store: Option<SqlStore>,
    /// The worker's own; without any it is empty, and nothing is found there.
    routes: Router,
    services: ServiceClient,
    progress: Progress,
}

impl Admin {
    /// Serves from now on: alive, and not ready before [`Admin::watch`].
    pub(crate) async fn start(
        listen: Option<SocketAddr>,
        registry: Arc<Registry>,
    ) -> Result<Self, RunError> {
        let view = Arc::new(View {
            registry,
            worker: OnceLock::new(),
        });
        let serving = match listen {
            None => None,
            Some(address) => Some(serve(address, view.clone()).await?),
        };
        Ok(Self { view, serving })
    }

    /// The worker to tell about.
    pub(crate) fn watch(
        &self,
        status: watch::Receiver<Status>,
        inspector: Inspector,
        store: Option<SqlStore>,
        routes: Router,
        services: ServiceClient,
        progress: Progress,
    ) {
        let watched = Watched {
            status,
            inspector,
            store,
            routes,
            services,
            progress,
        };
        // It is called once; a second worker would not be this one.
        drop(self.view.worker.set(watched));
    }

    /// Where it serves, with the port that was found free.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.serving.as_ref().map(|serving| serving.address)
    }

    pub(crate) async fn stop(mut self) {
        if let Some(mut serving) = self.serving.take() {
            serving.task.abort();
            // Cancelled is what it should be; a panic was told by the runtime.
            (&mut serving.task).await.ok();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(address: SocketAddr, view: Arc<View>) -> Result<Serving, RunError> {
    let bind_error = |source| RunError::AdminListen { address, source };
    let listener = TcpListener::bind(address).await.map_err(bind_error)?;
    let address = listener.local_addr().map_err(bind_error)?;
    let router = Router::new()
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .fallback(further)
        .with_state(view);
    info!(%address, "serving /healthz, /readyz, /status and /metrics");
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            error!(%error, "health and metrics are no longer served");
        }
    });
    Ok(Serving { address, task })
}

/// The worker's own routes, which there are once its store is open.
async fn further(State(view): State<Arc<View>>, request: Request) -> Response {
    let Some(watched) = view.worker.get() else {
        return (StatusCode::SERVICE_UNAVAILABLE, STARTING).into_response();
    };
    match watched.routes.clone().oneshot(request).await {
        Ok(response) => response,
    }
}

async fn ready(State(view): State<Arc<View>>) -> (StatusCode, String) {
    match reason_not_ready(&view).await {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n"),
    }
}

async fn reason_not_ready(view: &View) -> Option<String> {
    let Some(watched) = view.worker.get() else {
        return Some(STARTING.into());
    };
    let status = watched.status.borrow().clone();
    if status.stopping {
        return Some("stopping".into());
    }
    if let Some(reason) = status.broker_unavailable {
        return Some(format!("brokers not reachable: {reason}"));
    }
    if let Some(reason) = status.commits_unavailable {
        return Some(format!("effects cannot be committed: {reason}"));
    }
    if status.assigned.is_empty() {
        return Some("no partitions assigned".into());
    }
    match tokio::time::timeout(PING, watched.store.as_ref()?.ping()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(crate::error::chain(&error)),
        Err(_) => Some(format!("the store did not answer within {PING:?}")),
    }
}

/// What the worker explains of itself, as JSON.
async fn status(State(view): State<Arc<View>>) -> Response {
    let Some(watched) = view.worker.get() else {
        return (StatusCode::SERVICE_UNAVAILABLE, STARTING).into_response();
    };
    // A worker that is being connected does not answer yet.
    let report = tokio::time::timeout(PING, watched.inspector.report()).await;
    let Ok(Some(mut report)) = report else {
        return (StatusCode::SERVICE_UNAVAILABLE, "the worker does not run\n").into_response();
    };
    let counts = async {
        let counts = tokio::time::timeout(PING, watched.store.as_ref()?.counts());
        counts.await.ok()?.ok()
    };
    let (store, ()) = tokio::join!(counts, watched.progress.complete(&mut report));
    Json(StatusPage {
        report,
        store,
        services: watched.services.report(),
    })
    .into_response()
}

async fn metrics(State(view): State<Arc<View>>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let mut text = String::new();
    match encode(&mut text, &view.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
