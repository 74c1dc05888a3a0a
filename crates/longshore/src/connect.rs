//! From a description to a worker that is ready to run: checks, store, brokers, and what watches it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use longshore_kafka::{KafkaPublisher, KafkaSource, TransactionStrategy};
use longshore_services::ServiceClient;
use longshore_store::{OpenError, SqlStore, StoreUrl};
use longshore_worker::{Handler, Metrics, PlainStrategy, StoreStrategy, Worker};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tracing::warn;

use crate::admin::Admin;
use crate::beside::{Beside, Stopping, Task};
use crate::builder::Strategy;
use crate::connected::AnyWorker;
use crate::error::chain;
use crate::preflight;
use crate::progress::Progress;
use crate::{ConnectedWorker, RunError, WorkerArgs, WorkerBuilder};

/// The wait after the first try to open the store; each later one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait, so that work starts soon after the database does.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

impl<H: Handler> WorkerBuilder<H> {
    /// Checks the topics, opens the store, waiting for it if need be, and joins the consumer group.
    ///
    /// # Errors
    /// [`RunError`], which knows its exit code.
    pub async fn connect(self, args: &WorkerArgs) -> Result<ConnectedWorker<H>, RunError> {
        if let Some(dir) = &args.topics_dir {
            preflight::topics_are_described(dir, &self.reads)?;
        }
        if args.strict && !matches!(self.strategy, Strategy::Store(_)) {
            return Err(RunError::StrictWithoutStore);
        }
        let group = args.group.as_deref().unwrap_or(self.name);
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry, group);
        let services = match self.calls_services {
            true => args.services.client()?,
            false => ServiceClient::none(),
        };
        services.register(&mut registry);
        let registry = Arc::new(registry);
        let admin = Admin::start(args.admin_listen, registry.clone()).await?;

        let connection = args.connection();
        let publisher = KafkaPublisher::connect(&connection).map_err(RunError::Properties)?;
        let publisher = self.bus.around(publisher);
        let in_transactions = matches!(self.strategy, Strategy::Transaction(_));
        let (handler, store) = match self.strategy {
            Strategy::Store(make) => {
                let url = args.store.clone();
                let url = url.unwrap_or_else(|| StoreUrl::sqlite(format!("{group}.db")));
                let store =
                    open_store(&url, || SqlStore::open(&url, group, self.migrations)).await?;
                (make(&store, &services), Some(store))
            }
            Strategy::Plain(handler) | Strategy::Transaction(handler) => (handler, None),
        };
        let reads = preflight::with_redrive_topic(&connection, group, &self.reads).await;
        let source =
            KafkaSource::subscribe(&connection, group, &reads, args.max_in_flight, args.drain)
                .await?;
        preflight::warn_of_missing_topics(&connection, &self.reads, &self.publishes).await;
        // It may take as long as a service is slow, and nothing waits for what it finds.
        tokio::spawn(preflight::warn_of_services_away(services.clone()));

        let settings = args.settings(group);
        let mut routes = match (self.routes, &store) {
            (Some(make), Some(store)) => make(store),
            _ => Router::new(),
        };
        let mut companion = None;
        let worker = match &store {
            Some(store) => {
                let strategy = StoreStrategy::new(
                    Arc::new(store.clone()),
                    publisher,
                    settings.clock.clone(),
                    args.retention(),
                );
                if let Some(start) = self.beside {
                    let stop = watch::Sender::new(false);
                    // The messages have the other half.
                    let drain = args.drain / 2;
                    let started = start(Beside {
                        store: store.clone(),
                        services: services.clone(),
                        bell: strategy.bell(),
                        group: settings.group.clone(),
                        clock: settings.clock.clone(),
                        stop: Stopping::when(stop.subscribe()),
                        drain,
                    });
                    routes = routes.merge(started.routes);
                    let task = started.task;
                    companion = Some(Task { task, stop, drain });
                }
                AnyWorker::Store(Worker::new(handler, source, strategy, settings, metrics))
            }
            None if in_transactions => {
                let timeout = args.transaction_timeout;
                let strategy = TransactionStrategy::new(&connection, &source, timeout)
                    .map_err(RunError::Properties)?;
                AnyWorker::Transaction(Worker::new(handler, source, strategy, settings, metrics))
            }
            None => {
                let strategy = PlainStrategy::new(publisher);
                AnyWorker::Plain(Worker::new(handler, source, strategy, settings, metrics))
            }
        };
        admin.watch(
            worker.status(),
            worker.inspector(),
            store.clone(),
            routes,
            services,
            Progress::new(connection),
        );
        Ok(ConnectedWorker {
            worker,
            store,
            registry,
            drain: args.drain,
            admin,
            companion,
        })
    }
}

/// Opens a store by `attempt`, for ever if it is only not there yet: a database often starts after its clients.
///
/// # Errors
/// [`RunError::Store`] if waiting does not help.
pub async fn open_store<T, F>(url: &StoreUrl, mut attempt: impl FnMut() -> F) -> Result<T, RunError>
where
    F: Future<Output = Result<T, OpenError>>,
{
    let mut wait = FIRST_WAIT;
    loop {
        match attempt().await {
            Ok(store) => return Ok(store),
            Err(error @ OpenError::Unavailable(_)) => {
                warn!(store = %url, error = chain(&error), ?wait, "store not available yet; tried again");
            }
            Err(error) => {
                return Err(RunError::Store {
                    url: url.clone(),
                    source: error,
                });
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}
