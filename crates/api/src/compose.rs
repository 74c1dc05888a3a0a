//! The API put together: stores, outbox, handlers, what keeps the projection, and what hears of users.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use longshore::{ConnectedWorker, RunError, WorkerBuilder, open_store};
use longshore_kafka::{Connection, KafkaPublisher};
use longshore_orders::OrderEvent;
use longshore_store::SqlStore;
use longshore_worker::Clock;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinError;
use tracing::{info, warn};

use crate::http::{Server, router};
use crate::user_events::forget_changed_users;
use crate::{ApiArgs, MIGRATIONS, OrderView, OrderViewHandler, Parts, UserCache, VIEW_MIGRATIONS};

/// The name of the API: of its store, and as the source of its events.
pub const GROUP: &str = "api";
/// The consumer group that keeps the projection, and so the name of its store.
pub const VIEW_GROUP: &str = "order-view";

/// Keeps the projection of orders: within the API, or as a worker of its own.
pub fn order_view() -> WorkerBuilder<OrderViewHandler> {
    let worker = WorkerBuilder::new(VIEW_GROUP, |_store| OrderViewHandler)
        .about("Keeps what the API is asked about orders")
        .migrations(VIEW_MIGRATIONS);
    let topics = OrderEvent::TOPICS.into_iter();
    topics.fold(worker, WorkerBuilder::reads)
}

/// The API with everything it needs, listening.
#[derive(Debug)]
pub struct Api {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    server: Arc<Server>,
    projection: Option<ConnectedWorker<OrderViewHandler>>,
    hearing: (Connection, Arc<UserCache>),
    drain: Duration,
}

impl Api {
    /// Opens the stores, waiting for them if need be, joins the group of the projection unless others keep it, and listens.
    ///
    /// # Errors
    /// [`RunError`], which knows its exit code.
    pub async fn connect(args: &ApiArgs) -> Result<Self, RunError> {
        let listen_error = |source| RunError::Listen {
            address: args.listen,
            source,
        };
        let listener = TcpListener::bind(args.listen).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;
        let connection = args.connection();
        let publisher = KafkaPublisher::connect(&connection).map_err(RunError::Properties)?;
        let url = args.store();
        let store = open_store(&url, || SqlStore::open(&url, GROUP, MIGRATIONS)).await?;
        let projection = match args.no_projection {
            true => None,
            false => Some(order_view().connect(&args.worker()).await?),
        };
        let view = open_view(args, projection.as_ref()).await?;
        let cache = Arc::new(UserCache::default());
        let parts = Parts {
            store,
            view,
            cache: cache.clone(),
            analytics: args.analytics()?,
            clock: Clock::system(),
            registries: projection.iter().map(ConnectedWorker::registry).collect(),
        };
        let server = parts.assemble(publisher);
        Ok(Self {
            router: router(server.clone(), args.limits()),
            listener,
            address,
            server,
            projection,
            hearing: (connection, cache),
            drain: args.drain,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The worker that keeps the projection, if it runs in this process.
    pub fn projection(&self) -> Option<&ConnectedWorker<OrderViewHandler>> {
        self.projection.as_ref()
    }

    /// Serves until `stop` completes, then finishes what is in flight.
    ///
    /// # Errors
    /// [`RunError`] if the worker of the projection fails, or does not stop in time.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<(), RunError> {
        info!(address = %self.address, "serving the API");
        let (stopping, stopped) = watch::channel(false);
        let serving =
            axum::serve(self.listener, self.router).with_graceful_shutdown(wish(stopped.clone()));
        let mut serving = tokio::spawn(serving.into_future());
        let (connection, cache) = self.hearing;
        let hearing = tokio::spawn(forget_changed_users(connection, cache));
        let mut projecting = tokio::spawn(async move {
            match self.projection {
                Some(worker) => worker.run(wish(stopped)).await,
                None => {
                    wish(stopped).await;
                    Ok(())
                }
            }
        });
        let mut result = Ok(());
        let mut ended = false;
        tokio::select! {
            biased;
            () = stop => {}
            projected = &mut projecting => (result, ended) = (told(projected), true),
        }
        stopping.send_replace(true);
        hearing.abort();
        if tokio::time::timeout(self.drain, &mut serving)
            .await
            .is_err()
        {
            serving.abort();
            warn!("requests were cut off; their clients may send them again");
        }
        self.server
            .commands
            .handlers()
            .outbox
            .close(self.drain)
            .await;
        if !ended {
            result = told(projecting.await);
        }
        result
    }
}

/// Completes once it is time to stop.
async fn wish(mut stopped: watch::Receiver<bool>) {
    // Its sender is gone when all is over.
    stopped.wait_for(|stopped| *stopped).await.ok();
}

fn told(ended: Result<Result<(), RunError>, JoinError>) -> Result<(), RunError> {
    match ended {
        Ok(result) => result,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// Where queries about orders read: a replica, what the worker in this process writes, or what others write.
async fn open_view(
    args: &ApiArgs,
    projection: Option<&ConnectedWorker<OrderViewHandler>>,
) -> Result<OrderView, RunError> {
    let written_here = projection.and_then(ConnectedWorker::store);
    let store = match (&args.read_store, written_here) {
        (Some(url), _) => open_store(url, || SqlStore::open_replica(url, VIEW_GROUP)).await?,
        (None, Some(store)) => store.clone(),
        (None, None) => {
            let url = args.view_store();
            open_store(&url, || SqlStore::open(&url, VIEW_GROUP, VIEW_MIGRATIONS)).await?
        }
    };
    Ok(OrderView::new(store))
}
