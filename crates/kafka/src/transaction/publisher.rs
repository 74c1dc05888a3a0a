//! A transactional producer for tools: a batch is published as a whole or not at all, by whoever has begun last.

use std::thread;
use std::time::Duration;

use longshore_event::OutgoingRecord;
use longshore_worker::{PublishError, PublishErrorKind};
use tokio::sync::{mpsc, oneshot, watch};

use super::attempt::{Failure, Next, Sending};
use super::id::tool_id;
use super::producers::Producers;
use crate::{Connection, KafkaError};

/// How often a batch is tried again by the same producer, when its transaction was aborted for no fault of a record. An
/// outage takes longer, and so does what only another producer mends.
const TRIES: u32 = 3;

/// The wait before such a try.
const AGAIN: Duration = Duration::from_millis(100);

/// Publishes batches, each in a transaction of its own, to readers of committed records.
///
/// [`begin`](Self::begin) fences every other publisher of the same group and purpose, wherever it runs, and ends what one
/// left open. What is read then, by a reader of committed records, is all that the others have published or ever will:
/// whoever decides by it what to publish publishes nothing twice. This holds for as long as batches are published. A new
/// producer might fence one that has begun since; so none is made but by `begin`, after which the caller has to read again.
///
/// The transactional id is `<group>/<purpose>/longshore`, which no [`TransactionStrategy`](super::TransactionStrategy) has.
///
/// Memory is bounded as by [`KafkaPublisher`](crate::KafkaPublisher), and by what the caller puts into a batch. Dropping it
/// finishes the batch that is under way.
#[derive(Debug)]
pub struct TransactionalPublisher {
    jobs: mpsc::Sender<Job>,
    is_given_up: watch::Sender<bool>,
}

/// Why a batch was not published.
#[derive(Debug, thiserror::Error)]
pub enum NotPublished {
    /// One of its records cannot be written; nothing of the batch was published. The publisher goes on.
    #[error(transparent)]
    Refused(#[from] PublishError),
    /// Another publisher of the id has begun, or the brokers gave the transaction up because it took too long. The batch
    /// was published by now, or never will be. Nothing more is published unless this one begins again.
    #[error("fenced: another producer of transactional id {transactional_id} has begun")]
    Fenced {
        /// The id of both.
        transactional_id: String,
    },
    /// The batch was published or not. [`TransactionalPublisher::begin`] ends its transaction, if it is open still; what is
    /// read then tells. Nothing more is published before.
    #[error("the transaction was interrupted")]
    Interrupted {
        /// What went wrong. A [`PublishError`] if it is about the records: too large together, they are sent one a request
        /// from now on; refused, they will be again until somebody grants what it says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What the thread that makes the transactions is asked for. It finishes what it has begun, whether or not anybody
/// still waits for the answer.
#[derive(Debug)]
enum Job {
    Begin(oneshot::Sender<Result<(), KafkaError>>),
    Publish(
        Vec<OutgoingRecord>,
        oneshot::Sender<Result<(), NotPublished>>,
    ),
}

impl TransactionalPublisher {
    /// A publisher for what `purpose` does to `group`; nothing is sent yet. A transaction that takes longer than `timeout`
    /// is aborted by the broker.
    ///
    /// # Errors
    /// About properties that are not accepted.
    ///
    /// # Panics
    /// In debug builds, if `purpose` has a `/` or `%`.
    pub fn new(
        connection: &Connection,
        group: &str,
        purpose: &str,
        timeout: Duration,
    ) -> Result<Self, KafkaError> {
        debug_assert!(!purpose.contains(['/', '%']), "{purpose}");
        let producers = Producers::new(connection, tool_id(group, purpose), timeout)?;
        let (jobs, waiting) = mpsc::channel(1);
        let (is_given_up, given_up) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| connection.unusable(error.to_string()))?;
        let thread = Thread {
            producers,
            sending: Sending::Together,
            given_up,
        };
        thread::Builder::new()
            .name("kafka-transactions".to_owned())
            .spawn(move || runtime.block_on(thread.serve(waiting)))
            .map_err(|error| connection.unusable(error.to_string()))?;
        Ok(Self { jobs, is_given_up })
    }

    /// Fences the other publishers of the id, and ends what they, or this one, left open.
    ///
    /// # Errors
    /// [`KafkaError::NoAnswer`], after which it may be called again, and [`KafkaError::Refused`], such as for want of a
    /// permission for the transactional id.
    pub async fn begin(&self) -> Result<(), KafkaError> {
        let ended = || KafkaError::Refused {
            action: "initialise transactions".to_owned(),
            source: ENDED.into(),
        };
        let (answer, answered) = oneshot::channel();
        let asked = self.jobs.send(Job::Begin(answer)).await;
        asked.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    /// Publishes all records, in order, or none; none are no transaction. When the future is dropped, the batch may still
    /// be published.
    ///
    /// # Errors
    /// See [`NotPublished`].
    pub async fn publish(&self, records: Vec<OutgoingRecord>) -> Result<(), NotPublished> {
        let (answer, answered) = oneshot::channel();
        let asked = self.jobs.send(Job::Publish(records, answer)).await;
        asked.map_err(|_| interrupted(ENDED))?;
        answered.await.map_err(|_| interrupted(ENDED))?
    }

    /// Aborts the transaction that is under way, unless its commit has begun, and publishes nothing more: at a stop, so that
    /// no transaction stays open.
    pub fn give_up(&self) {
        self.is_given_up.send_replace(true);
    }
}

const ENDED: &str = "the thread of the transactions has ended";

/// The far side of a publisher, on a thread of its own since most calls block.
struct Thread {
    producers: Producers,
    sending: Sending,
    given_up: watch::Receiver<bool>,
}

impl Thread {
    async fn serve(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.recv().await {
            // Whoever asked may be gone.
            match job {
                Job::Begin(answer) => answer.send(self.producers.restart()).ok(),
                Job::Publish(records, answer) => answer.send(self.publish(&records).await).ok(),
            };
        }
    }

    async fn publish(&mut self, records: &[OutgoingRecord]) -> Result<(), NotPublished> {
        let records: Vec<&OutgoingRecord> = records.iter().collect();
        if records.is_empty() {
            return Ok(());
        }
        let mut tries = 0;
        loop {
            if *self.given_up.borrow() {
                return Err(interrupted("it was given up"));
            }
            let failure = match self.attempt(&records).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if self.producers.are_fenced() {
                let transactional_id = self.producers.id().to_owned();
                return Err(NotPublished::Fenced { transactional_id });
            }
            let is_aborted = self.producers.ready().is_some();
            let reason = match failure.reason.downcast::<PublishError>() {
                Ok(error) if is_aborted && error.kind != PublishErrorKind::Unavailable => {
                    return Err(NotPublished::Refused(*error));
                }
                Ok(error) => error,
                Err(reason) => reason,
            };
            tries += 1;
            if !is_aborted || tries == TRIES {
                return Err(NotPublished::Interrupted { source: reason });
            }
            tracing::debug!(error = &*reason, "a transaction was aborted; once more");
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn attempt(&mut self, records: &[&OutgoingRecord]) -> Result<(), Failure> {
        let Some(producer) = self.producers.take_ready() else {
            return Err(Failure {
                reason: "the producer is of no more use".into(),
                next: Next::Replace,
            });
        };
        let mut given_up = self.given_up.clone();
        let give_up = async move {
            // Without a sender nobody gives up any more.
            if given_up.wait_for(|given_up| *given_up).await.is_err() {
                std::future::pending().await
            }
        };
        let attempt = self
            .producers
            .attempt(producer, self.sending, records, None, give_up);
        let outcome = attempt.await;
        if outcome
            .as_ref()
            .is_err_and(|failure| failure.next == Next::SendAlone)
        {
            // For good: a topic that takes little at once would otherwise cost a producer a batch.
            self.sending = Sending::Alone;
        }
        outcome
    }
}

fn interrupted(reason: &'static str) -> NotPublished {
    NotPublished::Interrupted {
        source: reason.into(),
    }
}
