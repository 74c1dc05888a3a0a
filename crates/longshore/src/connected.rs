//! A worker that has joined its group: watch it, run it, and stop it within a deadline.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use longshore_kafka::{KafkaPublisher, KafkaSource, TransactionStrategy};
use longshore_store::SqlStore;
use longshore_worker::{
    Handler, Inspector, PlainStrategy, SourceError, Status, StoreStrategy, Worker,
};
use prometheus_client::registry::Registry;
use tokio::sync::{oneshot, watch};
use tracing::info;

use crate::admin::Admin;
use crate::beside::Task;
use crate::{Announcing, RunError};

/// Time to leave the group and close connections after the time to drain is over.
pub(crate) const LEAVE: Duration = Duration::from_secs(10);

/// A worker with everything it needs. Dropping it leaves the group.
pub struct ConnectedWorker<H> {
    pub(crate) worker: AnyWorker<H>,
    pub(crate) store: Option<SqlStore>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) drain: Duration,
    pub(crate) admin: Admin,
    pub(crate) companion: Option<Task>,
}

pub(crate) enum AnyWorker<H> {
    Store(Worker<H, KafkaSource, StoreStrategy<SqlStore>>),
    Plain(Worker<H, KafkaSource, PlainStrategy<Announcing<KafkaPublisher>>>),
    Transaction(Worker<H, KafkaSource, TransactionStrategy>),
}

impl<H: Handler> ConnectedWorker<H> {
    /// What the worker says of itself from now on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.worker.status()
    }

    /// Its metrics, as `/metrics` serves them.
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.clone()
    }

    /// Its store, if it has one: for who reads what the worker writes within the same process.
    pub fn store(&self) -> Option<&SqlStore> {
        self.store.as_ref()
    }

    /// Where health and metrics are served, if they are.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.address()
    }

    /// Processes messages until `stop` completes, then finishes what is in flight and leaves the group.
    ///
    /// # Errors
    /// [`RunError::Source`] if the consumer fails for good, [`RunError::Overrun`] if stopping takes far longer than it
    /// may. Nothing is lost then; what was in flight is handled again.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<(), RunError> {
        let Self {
            worker,
            registry: _registry,
            store: _store,
            drain,
            admin,
            companion,
        } = self;
        let companion = companion.map(Task::start);
        let companion = companion.as_ref();
        info!("running");
        let (begin, begun) = oneshot::channel();
        let stop = async move {
            stop.await;
            // Nobody waits for it if the worker has ended by itself.
            begin.send(()).ok();
            // First, since what it still does may be published by the worker.
            if let Some(companion) = companion {
                companion.stop().await;
            }
        };
        let failed = async {
            match companion {
                Some(companion) => companion.failed().await,
                None => std::future::pending().await,
            }
        };
        let overrun = async move {
            match begun.await {
                Ok(()) => tokio::time::sleep(drain + LEAVE).await,
                Err(_) => std::future::pending().await,
            }
        };
        let result = tokio::select! {
            biased;
            result = worker.run(stop) => result.map_err(RunError::from),
            error = failed => Err(error),
            () = overrun => Err(RunError::Overrun { within: drain + LEAVE }),
        };
        admin.stop().await;
        if result.is_ok() {
            info!("stopped");
        }
        result
    }
}

impl<H: Handler> AnyWorker<H> {
    pub(crate) fn status(&self) -> watch::Receiver<Status> {
        match self {
            Self::Store(worker) => worker.status(),
            Self::Plain(worker) => worker.status(),
            Self::Transaction(worker) => worker.status(),
        }
    }

    pub(crate) fn inspector(&self) -> Inspector {
        match self {
            Self::Store(worker) => worker.inspector(),
            Self::Transaction(worker) => worker.inspector(),
            Self::Plain(worker) => worker.inspector(),
        }
    }

    async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<(), SourceError> {
        match self {
            Self::Store(worker) => worker.run(stop).await,
            Self::Plain(worker) => worker.run(stop).await,
            Self::Transaction(worker) => worker.run(stop).await,
        }
    }
}

impl<H> std::fmt::Debug for ConnectedWorker<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectedWorker").finish_non_exhaustive()
    }
}
