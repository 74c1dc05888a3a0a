//! Work beside the messages in the same process: a task over the worker's store, with routes of its own on the admin port.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use longshore_services::ServiceClient;
use longshore_store::SqlStore;
use longshore_worker::{Clock, OutboxBell};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, warn};

use crate::RunError;

/// What the work beside the messages is given.
#[derive(Debug)]
#[non_exhaustive]
pub struct Beside {
    /// The worker's store.
    pub store: SqlStore,
    /// The services that the worker calls; none unless it was built by [`WorkerBuilder::calling`](crate::WorkerBuilder::calling).
    pub services: ServiceClient,
    /// Rung after records were put into its outbox.
    pub bell: OutboxBell,
    /// The consumer group: a part of derived ids.
    pub group: Arc<str>,
    /// Where the time comes from.
    pub clock: Clock,
    /// Completes when the worker is told to stop.
    pub stop: Stopping,
    /// Time from then on to finish. What is left undone is dropped.
    pub drain: Duration,
}

/// What runs beside the messages.
pub struct Companion {
    /// Served on the admin port, beside `/status` and its like, as long as the worker runs.
    pub routes: Router,
    /// Runs until [`Beside::stop`]. One that ends before ends the worker.
    pub task: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Tells that the worker is to stop.
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// By hand, for tests: true is to stop.
    pub fn when(stop: watch::Receiver<bool>) -> Self {
        Self(stop)
    }

    /// Completes when the worker is told to stop. Safe to cancel.
    pub async fn wait(&mut self) {
        // Whoever could tell is gone: so is the worker.
        self.0.wait_for(|stop| *stop).await.ok();
    }

    /// Whether it was told.
    pub fn is_told(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

impl std::fmt::Debug for Companion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Companion").finish_non_exhaustive()
    }
}

/// What a builder was told to run beside.
pub(crate) type Start = Box<dyn FnOnce(Beside) -> Companion + Send>;

/// A companion's task with what stops it, if there is one.
pub(crate) struct Task {
    pub(crate) task: Pin<Box<dyn Future<Output = ()> + Send>>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) drain: Duration,
}

/// A companion at work. Dropping it aborts its task.
pub(crate) struct Running {
    _tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    /// Closed when the task has ended, however it did.
    ended: watch::Receiver<()>,
    drain: Duration,
}

impl Task {
    pub(crate) fn start(self) -> Running {
        let (alive, ended) = watch::channel(());
        let mut tasks = JoinSet::new();
        let task = self.task;
        tasks.spawn(async move {
            let _alive = alive;
            task.await;
        });
        Running {
            _tasks: tasks,
            stop: self.stop,
            ended,
            drain: self.drain,
        }
    }
}

impl Running {
    /// Tells it to stop, and waits as long as it may take.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(self.drain, self.ended())
            .await
            .is_err()
        {
            warn!("the work beside the messages did not finish in time; it is dropped");
        }
    }

    /// Waits for an end that nobody asked for.
    pub(crate) async fn failed(&self) -> RunError {
        self.ended().await;
        if *self.stop.borrow() {
            std::future::pending::<()>().await;
        }
        error!("the work beside the messages has ended by itself");
        RunError::Beside
    }

    async fn ended(&self) {
        let mut ended = self.ended.clone();
        // Nothing is ever sent: it changes by being closed.
        while ended.changed().await.is_ok() {}
    }
}
