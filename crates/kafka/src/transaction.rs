//! The `transaction` strategy: follow-on records, dead letters and source offsets are one Kafka transaction (KIP-447).
//! [`TransactionalPublisher`] makes transactions that came from no messages.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use longshore_event::{Identity, TopicPartition};
use longshore_worker::{CommitError, CommitStrategy, Finished, Refused, Window};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::{Connection, KafkaError, KafkaSource};

mod session;
use session::Session;

mod publisher;
pub use publisher::{NotPublished, TransactionalPublisher};

mod producers;

mod id;

mod attempt;
mod obstacle;
use obstacle::Obstacle;

/// How long the offsets of skipped messages wait for a transaction that takes them along.
const LEFT_OVER: Duration = Duration::from_secs(1);

/// Commits to Kafka alone: what a batch publishes becomes visible to readers of committed records together with the
/// offsets of its messages, or never. Statements are refused, for there is no store.
///
/// - Batches are completed prefixes of their partitions, since one offset stands for all messages below it.
/// - Who lost a partition is fenced, by the source that let it go and by the group's generation.
/// - While a record cannot be published, nothing else is committed: a follow-on or a dead letter is never given up.
/// - When the answer to a commit is lost, the next producer of the same transactional id ends that transaction one way
///   or the other, and the group's offsets tell which.
///
/// The transactional id is `<group>/<instance>`: `group.instance.id` if there is one, otherwise new with each process. A
/// `/` or `%` in either is written as `%2F` or `%25`, so no two instances share an id, and an access rule for what begins
/// with `<group>/` is about that group alone.
///
/// What a killed process left open blocks the readers of its topics, and the next owner of its partitions, until its
/// transaction's time is over; a process that comes back under the same `group.instance.id` ends it at once.
///
/// Of repetitions by a producer those within a window in memory are skipped. Their offsets go with the next
/// transaction, with one of their own if there is none within a second, or by themselves when the partition moves.
#[derive(Debug)]
pub struct TransactionStrategy {
    jobs: mpsc::Sender<Job>,
    window: Mutex<Window>,
}

/// What the thread that makes the transactions is asked for. It finishes what it has begun, whether or not anybody
/// still waits for the answer, so that no transaction stays open behind a worker that was dropped.
#[derive(Debug)]
struct Job {
    /// `None` asks it to be ready: to end what an earlier process left open.
    batch: Option<Arc<Vec<Finished>>>,
    answer: oneshot::Sender<Result<(), CommitError>>,
}

impl TransactionStrategy {
    /// Commits what comes from `source`, which leaves its offsets to this strategy from now on. A transaction that takes
    /// longer than `timeout` is aborted by the broker.
    ///
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// About properties that are not accepted, among them an `isolation.level` that reads uncommitted records.
    pub fn new(
        connection: &Connection,
        source: &KafkaSource,
        timeout: Duration,
    ) -> Result<Self, KafkaError> {
        let session = Session::new(connection, source.membership()?, timeout)?;
        // The run loop commits one batch at a time.
        let (jobs, waiting) = mpsc::channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| connection.unusable(error.to_string()))?;
        thread::Builder::new()
            .name("kafka-transactions".to_owned())
            .spawn(move || runtime.block_on(serve(session, waiting)))
            .map_err(|error| connection.unusable(error.to_string()))?;
        Ok(Self {
            jobs,
            window: Mutex::default(),
        })
    }

    async fn ask(&self, batch: Option<Arc<Vec<Finished>>>) -> Result<(), CommitError> {
        let ended = || CommitError::Unavailable(Obstacle::Ended.into());
        let (answer, answered) = oneshot::channel();
        let asked = self.jobs.send(Job { batch, answer }).await;
        asked.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        // The window is whole after every operation, so a panic elsewhere does not spoil it.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does the jobs, on a thread of its own since most calls block.
async fn serve(mut session: Session, mut jobs: mpsc::Receiver<Job>) {
    loop {
        let Ok(job) = timeout(LEFT_OVER, jobs.recv()).await else {
            session.commit_left_over().await;
            continue;
        };
        let Some(Job { batch, answer }) = job else {
            return;
        };
        let outcome = match batch {
            None => session.ready(),
            Some(batch) => session.commit(&batch).await,
        };
        // Whoever asked may be gone.
        answer.send(outcome).ok();
    }
}

impl CommitStrategy for TransactionStrategy {
    async fn take_over(&self, _: &[TopicPartition]) -> Result<Option<i64>, CommitError> {
        self.ask(None).await?;
        Ok(None)
    }

    async fn seen(&self, messages: &[&Identity]) -> Result<Vec<bool>, CommitError> {
        let window = self.window();
        Ok(messages.iter().map(|id| window.contains(id)).collect())
    }

    async fn commit(&self, batch: Vec<Finished>) -> Result<(), Refused> {
        let batch = Refused::if_it_needs_a_store(batch, "transaction")?;
        let batch = Arc::new(batch);
        let outcome = self.ask(Some(Arc::clone(&batch))).await;
        // The thread has let go of it before it answers.
        let batch = Arc::unwrap_or_clone(batch);
        if let Err(reason) = outcome {
            return Err(Refused { batch, reason });
        }
        let mut window = self.window();
        for finished in batch {
            window.remember(finished.identity);
        }
        Ok(())
    }

    fn in_log_order(&self) -> bool {
        true
    }

    async fn hand_over(&self, _: &[TopicPartition]) {}
}
