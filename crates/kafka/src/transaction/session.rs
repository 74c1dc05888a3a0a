//! The producer of one transactional id after another, and what is still to be found out about the last transaction.

use std::error::Error;
use std::time::Duration;

use longshore_event::{NextOffset, OutgoingRecord, TopicPartition};
use longshore_worker::{CommitError, Finished};
use rdkafka::types::RDKafkaErrorCode;

use super::Obstacle;
use super::attempt::{Attempt, Failure, Next, Sending};
use super::id::transactional_id;
use crate::admin::REQUEST;
use crate::native::admin::Committed;
use crate::native::{GroupMetadata, PartitionList, Remedy};
use crate::producer::Producer;
use crate::source::{Enlisted, Membership, Span, Spans};
use crate::{Connection, KafkaError};

/// How long a topic that is not known may take to answer whether it exists by now.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

type Offsets = Vec<(TopicPartition, NextOffset)>;

/// Makes transactions under one transactional id.
#[derive(Debug)]
pub(super) struct Session {
    connection: Connection,
    membership: Membership,
    id: String,
    timeout: Duration,
    producer: State,
    /// The offsets of a transaction that may or may not have been committed.
    unsettled: Option<Offsets>,
}

#[derive(Debug)]
enum State {
    /// There is none, or the last one is useless.
    None,
    /// What earlier ones left open has not been ended yet.
    Starting(Producer),
    Ready(Producer),
}

impl Session {
    pub(super) fn new(
        connection: &Connection,
        membership: Membership,
        timeout: Duration,
    ) -> Result<Self, KafkaError> {
        let id = match membership.instance() {
            Some(instance) => transactional_id(membership.group(), instance),
            None => transactional_id(membership.group(), &uuid::Uuid::new_v4().to_string()),
        };
        // Properties that are not accepted are told now.
        let producer = Producer::transactional(connection, &id, timeout)?;
        Ok(Self {
            connection: connection.clone(),
            membership,
            id,
            timeout,
            producer: State::Starting(producer),
            unsettled: None,
        })
    }

    /// Ends what earlier producers left open, and finds out what became of it.
    pub(super) fn ready(&mut self) -> Result<(), CommitError> {
        self.start()?;
        self.settle().map(drop)
    }

    /// Commits a batch, or says why nothing of it took effect.
    pub(super) async fn commit(&mut self, batch: &[Finished]) -> Result<(), CommitError> {
        self.ready()?;
        let spans = spans(batch);
        self.find_covered(&spans)?;
        let (member, offsets) = match self.membership.enlist(&spans) {
            Enlisted::As(member, offsets) => (member, offsets),
            Enlisted::Covered => return Ok(()),
            Enlisted::Overlapping => return Err(CommitError::Duplicate),
            Enlisted::Foreign(partition) => {
                return Err(CommitError::Fenced(Obstacle::Foreign(partition).into()));
            }
            Enlisted::Nobody => return Err(unavailable(Obstacle::Nobody)),
        };
        let rows = batch.iter().flat_map(|finished| &finished.outbox);
        let records: Vec<&OutgoingRecord> = rows.map(|row| &row.record).collect();
        let Err(failure) = self.attempt(&records, &member, &offsets).await else {
            self.membership.conclude(&offsets, true);
            return Ok(());
        };
        if failure.next == Next::Settle {
            tracing::warn!(
                transactional_id = self.id,
                error = &*failure.reason,
                "the outcome of a commit is not known; the next producer ends the transaction"
            );
            self.unsettled = Some(offsets);
            self.start()?;
            if self.settle()? {
                return Ok(());
            }
        } else {
            self.membership.conclude(&offsets, false);
        }
        // Fenced by the group, it is the source that tells whether this was for good or only until the next generation.
        Err(match self.membership.foreign(&spans) {
            Some(_) => CommitError::Fenced(failure.reason),
            None => CommitError::Unavailable(failure.reason),
        })
    }

    /// Commits what was skipped and has been taken along by no transaction: as long as nothing else came, the group would
    /// seem to be behind. What fails is tried again, by the next transaction or by this.
    pub(super) async fn commit_left_over(&mut self) {
        if !self.membership.has_left_over() {
            return;
        }
        if let Err(error) = self.commit(&[]).await {
            tracing::debug!(
                transactional_id = self.id,
                error = %error,
                "offsets of skipped messages are not committed yet"
            );
        }
    }

    /// Makes one transaction; after a failure nothing is open, save what is to be settled.
    async fn attempt(
        &mut self,
        records: &[&OutgoingRecord],
        member: &GroupMetadata,
        offsets: &Offsets,
    ) -> Result<(), Failure> {
        let first = self.attempt_by(Sending::Together, records, member, offsets);
        match first.await {
            Err(failure) if failure.next == Next::SendAlone => {
                self.attempt_by(Sending::Alone, records, member, offsets)
                    .await
            }
            outcome => outcome,
        }
    }

    async fn attempt_by(
        &mut self,
        sending: Sending,
        records: &[&OutgoingRecord],
        member: &GroupMetadata,
        offsets: &Offsets,
    ) -> Result<(), Failure> {
        let producer = self.producer().map_err(|reason| Failure {
            reason: reason.into(),
            next: Next::Replace,
        })?;
        let list = PartitionList::of_offsets(offsets.iter().map(|(p, next)| (p, next)));
        let attempt = Attempt {
            producer: &producer,
            records,
            offsets: &list,
            member,
            brokers: &self.connection.brokers,
            timeout: self.timeout,
        };
        let outcome = attempt.run(sending).await;
        let is_usable = match &outcome {
            Ok(()) => true,
            Err(failure) => match &failure.next {
                Next::Abort => self.abort(&producer),
                Next::AbortAndLookUp(topic) => {
                    let aborted = self.abort(&producer);
                    look_up(&producer, topic);
                    aborted
                }
                Next::SendAlone | Next::Replace | Next::Settle => false,
            },
        };
        if is_usable {
            self.producer = State::Ready(producer);
        }
        outcome
    }

    /// Aborts; `false` leaves it to the next producer.
    fn abort(&self, producer: &Producer) -> bool {
        let aborted = producer.client().abort_transaction();
        if let Err(failed) = &aborted {
            tracing::warn!(
                transactional_id = self.id,
                error = %failed.error,
                "a transaction was not aborted; the next producer does it"
            );
        }
        aborted.is_ok()
    }

    /// Makes sure that there is a producer under which nothing earlier is open.
    fn start(&mut self) -> Result<(), CommitError> {
        let producer = self.producer()?;
        self.producer = State::Ready(producer);
        Ok(())
    }

    /// Takes the producer, under which nothing earlier is open; it is put back by whoever finds it usable afterwards.
    fn producer(&mut self) -> Result<Producer, CommitError> {
        let producer = match std::mem::replace(&mut self.producer, State::None) {
            State::Ready(producer) if !producer.has_failed() => return Ok(producer),
            State::Starting(producer) if !producer.has_failed() => producer,
            _ => Producer::transactional(&self.connection, &self.id, self.timeout)
                .map_err(unavailable)?,
        };
        match producer.client().init_transactions(REQUEST) {
            Ok(()) => {
                tracing::info!(transactional_id = self.id, "ready for transactions");
                Ok(producer)
            }
            Err(failed) => {
                if failed.remedy == Remedy::Retry {
                    self.producer = State::Starting(producer);
                }
                Err(self.no_answer("initialise transactions", failed.error))
            }
        }
    }

    /// Finds out whether the last transaction was committed. The producer that is ready has ended it, so that the
    /// group's offsets say so: they cover it, or they never will.
    fn settle(&mut self) -> Result<bool, CommitError> {
        let (Some(offsets), State::Ready(producer)) = (&self.unsettled, &self.producer) else {
            return Ok(false);
        };
        let partitions = offsets.iter().map(|(partition, _)| partition);
        let stable = self.stable_offsets(producer, partitions)?;
        let reached = |(stable, (_, next)): (&(_, Option<NextOffset>), &(_, NextOffset))| {
            stable.1.is_some_and(|stable| stable >= *next)
        };
        let committed = stable.iter().zip(offsets).all(reached);
        tracing::info!(
            transactional_id = self.id,
            committed,
            "the outcome of a commit is known"
        );
        self.membership.conclude(offsets, committed);
        self.unsettled = None;
        Ok(committed)
    }

    /// Finds out, once a stay, what the group had committed of partitions before: what is below has been published. It
    /// is read again nevertheless if librdkafka forgets to ask for the offset again, as it may when a transaction was
    /// open at first and the assignment changed meanwhile; it then starts at the beginning.
    fn find_covered(&self, batch: &Spans) -> Result<(), CommitError> {
        let unknown = self.membership.unknown(batch);
        let State::Ready(producer) = &self.producer else {
            return Ok(());
        };
        if !unknown.is_empty() {
            let stable = self.stable_offsets(producer, unknown.iter())?;
            self.membership.cover(&stable);
        }
        Ok(())
    }

    /// What the group has committed of these partitions, in their order, and no transaction is about to change.
    fn stable_offsets<'a>(
        &self,
        producer: &Producer,
        partitions: impl ExactSizeIterator<Item = &'a TopicPartition> + Clone,
    ) -> Result<Vec<(TopicPartition, Option<NextOffset>)>, CommitError> {
        let asked = PartitionList::of_partitions(partitions.clone());
        let asked = Committed::Stable(&asked);
        let group = self.membership.group();
        let stable = match producer.client().committed_offsets(group, asked, REQUEST) {
            Err(error) if error.code == RDKafkaErrorCode::GroupIdNotFound => Vec::new(),
            stable => stable.map_err(|error| self.no_answer("tell its offsets", error))?,
        };
        let offset_of = |partition: &TopicPartition| {
            let line = stable.iter().find(|line| line.partition == *partition);
            if line.is_some_and(|line| line.error.is_some()) {
                return Err(unavailable(Obstacle::Unstable(partition.clone())));
            }
            let offset = line.map(|line| line.offset).filter(|offset| *offset >= 0);
            Ok((partition.clone(), offset.map(NextOffset)))
        };
        partitions.map(offset_of).collect()
    }

    fn no_answer(&self, action: &str, error: crate::native::ClientError) -> CommitError {
        let brokers = &self.connection.brokers;
        unavailable(KafkaError::of(brokers, action.to_owned(), REQUEST, error))
    }
}

fn unavailable(reason: impl Error + Send + Sync + 'static) -> CommitError {
    CommitError::Unavailable(reason.into())
}

/// Lets the producer learn of a topic that was created since: it would not ask by itself for a minute.
fn look_up(producer: &Producer, topic: &str) {
    if let Err(error) = producer.look_up(topic, LOOK_AGAIN) {
        tracing::debug!(topic, error = %error, "not known whether the topic exists");
    }
}

/// A batch by partition, whose messages may stand in any order.
fn spans(batch: &[Finished]) -> Spans {
    let mut spans = Spans::new();
    for finished in batch {
        let position = &finished.position;
        let (first, next) = (position.offset, position.offset.next());
        let span = spans.entry(position.partition.clone());
        let span = span.or_insert(Span { first, next });
        span.first = span.first.min(first);
        span.next = span.next.max(next);
    }
    spans
}
