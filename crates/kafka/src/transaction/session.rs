//! The transactions of one member of a group, and what is still to be found out about the last of them.

use std::error::Error;
use std::time::Duration;

use longshore_event::{NextOffset, OutgoingRecord, TopicPartition};
use longshore_worker::{CommitError, Finished};
use rdkafka::types::RDKafkaErrorCode;

use super::Obstacle;
use super::attempt::{Failure, Next, Sending, SourceOffsets};
use super::id::transactional_id;
use super::producers::Producers;
use crate::admin::REQUEST;
use crate::native::admin::Committed;
use crate::native::{GroupMetadata, PartitionList};
use crate::producer::Producer;
use crate::source::{Enlisted, Membership, Span, Spans};
use crate::{Connection, KafkaError};

type Offsets = Vec<(TopicPartition, NextOffset)>;

/// Makes transactions under one transactional id.
#[derive(Debug)]
pub(super) struct Session {
    membership: Membership,
    producers: Producers,
    /// The offsets of a transaction that may or may not have been committed.
    unsettled: Option<Offsets>,
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
        Ok(Self {
            membership,
            producers: Producers::new(connection, id, timeout)?,
            unsettled: None,
        })
    }

    /// Ends what earlier producers left open, and finds out what became of it.
    pub(super) fn ready(&mut self) -> Result<(), CommitError> {
        self.producers.start().map_err(unavailable)?;
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
                transactional_id = self.producers.id(),
                error = &*failure.reason,
                "the outcome of a commit is not known; the next producer ends the transaction"
            );
            self.unsettled = Some(offsets);
            self.producers.start().map_err(unavailable)?;
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
                transactional_id = self.producers.id(),
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
        let producer = self.producers.started().map_err(|reason| Failure {
            reason: reason.into(),
            next: Next::Replace,
        })?;
        let list = PartitionList::of_offsets(offsets.iter().map(|(p, next)| (p, next)));
        let offsets = Some(SourceOffsets {
            list: &list,
            member,
        });
        let attempt =
            self.producers
                .attempt(producer, sending, records, offsets, std::future::pending());
        attempt.await
    }

    /// Finds out whether the last transaction was committed. The producer that is ready has ended it, so that the
    /// group's offsets say so: they cover it, or they never will.
    fn settle(&mut self) -> Result<bool, CommitError> {
        let (Some(offsets), Some(producer)) = (&self.unsettled, self.producers.ready()) else {
            return Ok(false);
        };
        let partitions = offsets.iter().map(|(partition, _)| partition);
        let stable = self.stable_offsets(producer, partitions)?;
        let reached = |(stable, (_, next)): (&(_, Option<NextOffset>), &(_, NextOffset))| {
            stable.1.is_some_and(|stable| stable >= *next)
        };
        let committed = stable.iter().zip(offsets).all(reached);
        tracing::info!(
            transactional_id = self.producers.id(),
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
        let Some(producer) = self.producers.ready() else {
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
            stable => stable.map_err(|error| {
                unavailable(self.producers.no_answer("tell its offsets", error))
            })?,
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
}

fn unavailable(reason: impl Error + Send + Sync + 'static) -> CommitError {
    CommitError::Unavailable(reason.into())
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
