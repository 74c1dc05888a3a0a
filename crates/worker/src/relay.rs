//! The outbox relay: publishes what was committed, in order or when it is due, and takes it out of the store once it is
//! acknowledged.
//!
//! The table is the queue; what is kept in memory is only its front, a bounded number of rows a topic. A topic that
//! cannot be written holds back its own rows and no others.

mod backlog;
mod load;
mod queue;
mod refusals;
mod send;
mod sending;
mod task;
mod timer_queue;
mod timers;

use std::sync::Arc;

use jiff::Timestamp;
use longshore_event::TopicPartition;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::error;

use crate::report::UnwrittenTopic;
use crate::{Clock, OutboxRow, Publisher, Store, StoreError};
use backlog::Backlog;
use refusals::Refusals;
use task::Task;

/// Requests waiting for the relay. At the bound, commits wait.
const REQUESTS: usize = 64;

/// The handle of a relay. The relay ends when it is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Relay {
    requests: mpsc::Sender<Request>,
    backlog: watch::Receiver<u64>,
    refusals: Refusals,
}

/// What a relay is asked for.
enum Request {
    /// These rows were committed.
    Publish(Vec<OutboxRow>),
    /// A timer was set for then.
    Timer(Timestamp),
    /// Somebody beside the messages has put a timer for then into the store.
    Rung(Timestamp),
    /// These partitions are this worker's: their rows are its to publish.
    Own(Vec<TopicPartition>),
    /// The store may have rows that this relay was not told of.
    Look,
    /// Queue the rows that the store has of these partitions.
    Load {
        partitions: Vec<TopicPartition>,
        done: oneshot::Sender<Result<Option<i64>, StoreError>>,
    },
    /// Say when the queued rows of these partitions are published and taken out of the store.
    Settle {
        partitions: Vec<TopicPartition>,
        done: oneshot::Sender<()>,
    },
    /// As `Settle`; afterwards the partitions are somebody else's.
    HandOver {
        partitions: Vec<TopicPartition>,
        done: oneshot::Sender<()>,
    },
}

/// Tells the relay of records that somebody beside the messages has put into the outbox, as timers. It does not keep the
/// relay alive.
#[derive(Clone, Debug)]
pub struct OutboxBell(mpsc::WeakSender<Request>);

impl OutboxBell {
    /// Something is due at `due_at`. What is rung for once the worker has ended leaves when it, or another instance, runs
    /// again.
    pub async fn ring(&self, due_at: Timestamp) {
        if let Some(requests) = self.0.upgrade() {
            // A relay that has just ended leaves the rows to the next.
            requests.send(Request::Rung(due_at)).await.ok();
        }
    }
}

impl Relay {
    pub(crate) fn bell(&self) -> OutboxBell {
        OutboxBell(self.requests.downgrade())
    }

    pub(crate) fn spawn(store: Arc<impl Store>, publisher: impl Publisher, clock: Clock) -> Self {
        let (sender, requests) = mpsc::channel(REQUESTS);
        let (rows, backlog) = watch::channel(0);
        let refusals = Refusals::new(clock.clone());
        let told = (Backlog::new(rows), refusals.clone());
        tokio::spawn(Task::new(store, publisher, clock, requests, told).run());
        Self {
            requests: sender,
            backlog,
            refusals,
        }
    }

    /// How many rows wait in the store, counted now and then while they do not all fit into memory; 0 while they do.
    pub(crate) fn backlog(&self) -> watch::Receiver<u64> {
        self.backlog.clone()
    }

    /// The topics that refuse what waits for them.
    pub(crate) fn unwritten(&self) -> Vec<UnwrittenTopic> {
        self.refusals.told()
    }

    /// Publishes rows that are committed. Waits only while the relay has too many requests before it.
    pub(crate) async fn publish(&self, rows: Vec<OutboxRow>) {
        if !rows.is_empty() {
            self.request(Request::Publish(rows)).await;
        }
    }

    /// A timer is committed: it is published when it is due.
    pub(crate) async fn timer(&self, due_at: Timestamp) {
        self.request(Request::Timer(due_at)).await;
    }

    /// The rows of these partitions are this relay's to publish from now on.
    pub(crate) async fn own(&self, partitions: Vec<TopicPartition>) {
        self.request(Request::Own(partitions)).await;
    }

    /// Queues what the store has of its partitions, some time soon.
    pub(crate) async fn look(&self) {
        self.request(Request::Look).await;
    }

    /// Queues what the store has of these partitions, before anything that is published later. Returns the highest
    /// sequence of it.
    pub(crate) async fn load(
        &self,
        partitions: Vec<TopicPartition>,
    ) -> Result<Option<i64>, StoreError> {
        let (done, loaded) = oneshot::channel();
        self.request(Request::Load { partitions, done }).await;
        loaded
            .await
            .unwrap_or_else(|_| Err(StoreError::Unavailable("the outbox relay has ended".into())))
    }

    /// Waits until the rows of these partitions are published, but for topics that cannot be written or do not answer:
    /// whatever comes later for such a topic queues behind them.
    pub(crate) async fn settle(&self, partitions: Vec<TopicPartition>) {
        let (done, settled) = oneshot::channel();
        self.request(Request::Settle { partitions, done }).await;
        // The relay that ended has nothing left to wait for; its rows are in the store.
        settled.await.unwrap_or_default();
    }

    /// As [`Relay::settle`], and lets the partitions go. It waits for topics that do not answer too: what they have been
    /// sent would be sent again by the next owner.
    pub(crate) async fn hand_over(&self, partitions: Vec<TopicPartition>) {
        let (done, settled) = oneshot::channel();
        self.request(Request::HandOver { partitions, done }).await;
        settled.await.unwrap_or_default();
    }

    async fn request(&self, request: Request) {
        if self.requests.send(request).await.is_err() {
            error!(
                "the outbox relay has ended; committed events stay in the store until the worker is restarted"
            );
        }
    }
}
