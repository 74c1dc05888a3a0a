//! One transaction, from its begin to its commit.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore_event::OutgoingRecord;
use longshore_worker::{PublishError, PublishErrorKind};

use crate::KafkaError;
use crate::native::{ClientError, GroupMetadata, PartitionList, Remedy, TransactionError};
use crate::producer::Producer;
use crate::publisher::kind_of;

/// The wait before a call is made again that asks for it.
const AGAIN: Duration = Duration::from_millis(100);

/// What one transaction is made of.
pub(super) struct Attempt<'a> {
    pub(super) producer: &'a Producer,
    pub(super) records: &'a [&'a OutgoingRecord],
    /// `None` if nothing was read for it.
    pub(super) offsets: Option<SourceOffsets<'a>>,
    /// The brokers, for errors.
    pub(super) brokers: &'a str,
    /// How long the broker waits before it aborts the transaction.
    pub(super) timeout: Duration,
}

/// What becomes of the messages that a transaction came from.
#[derive(Clone, Copy)]
pub(super) struct SourceOffsets<'a> {
    pub(super) list: &'a PartitionList,
    pub(super) member: &'a GroupMetadata,
}

/// How records go to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    /// As fast as they can.
    Together,
    /// One a request: a topic's `max.message.bytes` also bounds what goes together.
    Alone,
}

/// A transaction that was not committed, as far as is known.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: Box<dyn Error + Send + Sync>,
    pub(super) next: Next,
}

/// What follows a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Abort.
    Abort,
    /// Abort, and ask for a topic that may be created meanwhile.
    AbortAndLookUp(String),
    /// Send alone what may have been too large together, by the next producer: this one might still purge from its queue
    /// what is sent right after an abort.
    SendAlone,
    /// Replace the producer; the next one of its transactional id aborts.
    Replace,
    /// It may have been committed. Replace the producer, and let the group's offsets tell.
    Settle,
}

impl Attempt<'_> {
    /// Makes the transaction. Unless its commit has begun, it is left to be aborted when `give_up` is ready.
    pub(super) async fn run(
        &self,
        sending: Sending,
        give_up: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let client = self.producer.client();
        let deadline = Instant::now() + self.timeout;
        let begun = client.begin_transaction();
        begun.map_err(|failed| self.failure("begin a transaction", failed))?;
        tokio::select! {
            biased;
            filled = self.fill(sending, deadline) => filled?,
            () = give_up => return Err(given_up()),
        }
        // Whatever goes wrong from here on, the broker may have committed.
        let committed = persist(deadline, |_| client.commit_transaction());
        committed.await.map_err(|failed| Failure {
            next: Next::Settle,
            ..self.failure("commit a transaction", failed)
        })
    }

    /// The records are on their way while the offsets are; all are acknowledged when this returns.
    async fn fill(&self, sending: Sending, deadline: Instant) -> Result<(), Failure> {
        let client = self.producer.client();
        let mut together = self.records;
        if sending == Sending::Alone {
            for record in self.records {
                self.send(std::slice::from_ref(record)).await?;
            }
            together = &[];
        }
        let sent = self.producer.queue(together.iter().copied()).await;
        if let Some(offsets) = self.offsets {
            let added = persist(deadline, |left| {
                client.send_offsets(offsets.list, offsets.member, left)
            });
            let added = added.await;
            added.map_err(|failed| self.failure("add offsets to a transaction", failed))?;
        }
        self.delivered(together, sent.wait().await)
    }

    async fn send(&self, records: &[&OutgoingRecord]) -> Result<(), Failure> {
        let sent = self.producer.queue(records.iter().copied()).await;
        self.delivered(records, sent.wait().await)
    }

    /// Looks at what was not delivered. The first refusal counts: after it the client gives up all the others.
    fn delivered(
        &self,
        records: &[&OutgoingRecord],
        mut failures: Vec<(usize, ClientError)>,
    ) -> Result<(), Failure> {
        if let Some(error) = self.producer.client().fatal_error() {
            return Err(self.broken(error));
        }
        let refused = |(_, error): &_| kind_of(error) != PublishErrorKind::Unavailable;
        let index = failures.iter().position(refused).unwrap_or(0);
        if failures.is_empty() {
            return Ok(());
        }
        let (index, error) = failures.swap_remove(index);
        if kind_of(&error) == PublishErrorKind::Unavailable
            && let Some(failed) = self.producer.client().transaction_error()
        {
            return Err(self.refusal(failed));
        }
        let (topic, kind) = (records[index].topic.clone(), kind_of(&error));
        let next = match kind {
            PublishErrorKind::UnknownTopic => Next::AbortAndLookUp(topic.to_string()),
            PublishErrorKind::TooLarge if records.len() > 1 => Next::SendAlone,
            _ => Next::Abort,
        };
        let source = error.into();
        let reason = Box::new(PublishError {
            topic,
            kind,
            source,
        });
        Err(Failure { reason, next })
    }

    /// The broker does not let records into the transaction. They were given up then, and do not know why.
    fn refusal(&self, failed: TransactionError) -> Failure {
        let kind = kind_of(&failed.error);
        let mut topics = self.records.iter().map(|record| &record.topic);
        let first = topics.next();
        let (Some(topic), true, PublishErrorKind::Refused) =
            (first, topics.all(|topic| Some(topic) == first), kind)
        else {
            return self.failure("send in a transaction", failed);
        };
        let reason = Box::new(PublishError {
            topic: Arc::clone(topic),
            kind,
            source: failed.error.into(),
        });
        Failure {
            reason,
            next: Next::Abort,
        }
    }

    fn failure(&self, action: &str, failed: TransactionError) -> Failure {
        let next = match failed.remedy {
            // Retried until the transaction's time was over.
            Remedy::Retry | Remedy::Abort => Next::Abort,
            Remedy::Replace => Next::Replace,
        };
        let action = action.to_owned();
        let reason = KafkaError::of(self.brokers, action, self.timeout, failed.error);
        let reason = Box::new(reason);
        Failure { reason, next }
    }

    fn broken(&self, error: ClientError) -> Failure {
        let action = "go on with a transaction".to_owned();
        let reason = KafkaError::of(self.brokers, action, self.timeout, error);
        Failure {
            reason: Box::new(reason),
            next: Next::Replace,
        }
    }
}

fn given_up() -> Failure {
    Failure {
        reason: "it was given up".into(),
        next: Next::Abort,
    }
}

/// Makes a call again for as long as it asks for it and there is time.
async fn persist(
    deadline: Instant,
    mut call: impl FnMut(Duration) -> Result<(), TransactionError>,
) -> Result<(), TransactionError> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match call(left) {
            Err(failed) if failed.remedy == Remedy::Retry && !left.is_zero() => {}
            outcome => return outcome,
        }
        tokio::time::sleep(AGAIN).await;
    }
}
