//! The server: a store, the services over it, and the knobs beside them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use longshore_orders::Sandbox;
use longshore_orders::sandbox::{Books, MIGRATIONS};
use longshore_services::Service;
use longshore_store::{OpenError, SqlStore, StoreUrl};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{error, info};

use crate::answer::{self, Problem};
use crate::knobs::{Knobs, ServiceKnobs};
use crate::{ledger, service};

/// Bytes of a request.
const MAX_REQUEST: usize = 1024 * 1024;

/// Time to answer what is under way at the end.
const STOP: Duration = Duration::from_secs(5);

/// A sandbox that serves. Dropping it ends it.
#[derive(Debug)]
pub struct SandboxServer {
    address: SocketAddr,
    knobs: Knobs,
    task: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
}

/// Why a sandbox does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its ledger cannot be opened.
    #[error("cannot open the sandbox's ledger {url}")]
    Store {
        /// Where it is.
        url: StoreUrl,
        /// Why.
        source: OpenError,
    },
    /// Nothing can be served at the address.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
}

impl SandboxServer {
    /// Serves at `address`, with the ledger in the store at `ledger`. Port 0 takes a free one.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        address: SocketAddr,
        ledger: StoreUrl,
        knobs: Knobs,
    ) -> Result<Self, StartError> {
        let cannot_listen = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(cannot_listen)?;
        let address = listener.local_addr().map_err(cannot_listen)?;
        let store = SqlStore::open(&ledger, "sandbox", MIGRATIONS).await;
        let store = store.map_err(|source| StartError::Store {
            url: ledger,
            source,
        })?;
        let router = router(&store, &knobs);
        let (stop, stopped) = oneshot::channel::<()>();
        info!(%address, "sandbox services");
        let task = tokio::spawn(async move {
            let server = axum::serve(listener, router).with_graceful_shutdown(async {
                // A dropped sender stops it as well.
                stopped.await.ok();
            });
            if let Err(error) = server.await {
                error!(%error, "the sandbox services are gone");
            }
        });
        Ok(Self {
            address,
            knobs,
            task,
            stop: Some(stop),
        })
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What goes wrong with it.
    pub fn knobs(&self) -> &Knobs {
        &self.knobs
    }

    /// The base URL of one of its services.
    pub fn url(&self, service: Service) -> String {
        format!("http://{}/{service}", self.address)
    }

    /// Answers what is under way, for five seconds at most, and ends.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            // It has ended by itself otherwise.
            stop.send(()).ok();
        }
        // What takes longer is cut off by the drop; a panic was told by the runtime.
        timeout(STOP, &mut self.task).await.ok();
    }
}

impl Drop for SandboxServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn router(store: &SqlStore, knobs: &Knobs) -> Router {
    let sandbox = Sandbox::open(store);
    let knob_routes = Router::new()
        .route("/knobs", get(all_knobs))
        .route("/knobs/{service}", put(turn_knobs))
        .with_state(knobs.clone());
    let ledger_routes = Router::new()
        .route("/ledger/summary", get(ledger::summary))
        .with_state(Books::new(store));
    service::all(&sandbox, knobs)
        .merge(knob_routes)
        .merge(ledger_routes)
        .fallback(nothing_here)
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
}

async fn all_knobs(State(knobs): State<Knobs>) -> Json<impl serde::Serialize> {
    Json(knobs.all())
}

/// What is not named goes right again.
async fn turn_knobs(
    State(knobs): State<Knobs>,
    Path(service): Path<String>,
    body: Bytes,
) -> Result<Json<ServiceKnobs>, Problem> {
    let service = Knobs::service(&service).map_err(|error| {
        Problem::new(StatusCode::NOT_FOUND, "No such service", error.to_string())
    })?;
    let turned: ServiceKnobs = answer::body(&body)?;
    let checked = turned.check();
    checked.map_err(|reason| Problem::new(StatusCode::BAD_REQUEST, "No such setting", reason))?;
    info!(%service, ?turned, "knobs turned");
    knobs.turn(service, |knobs| *knobs = turned);
    Ok(Json(turned))
}

async fn nothing_here() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "Nothing here",
        "the services are /product, /payment, /notification and /carrier; see also /knobs and /ledger/summary",
    )
}
