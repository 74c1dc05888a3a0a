//! What a transaction needs of the consumer: as whom it acts, and what it may move at that moment.

use std::sync::{Arc, Weak};

use longshore_event::{NextOffset, TopicPartition};

use super::{Enlisted, Identity, KafkaSource, Shared, Spans};
use crate::KafkaError;
use crate::consumer::Consumer;
use crate::native::GroupMetadata;

/// A member of a consumer group, as a transaction sees it. It may outlive its source, and then owns nothing.
#[derive(Debug)]
pub(crate) struct Membership {
    identity: Identity,
    shared: Arc<Shared>,
    consumer: Weak<Consumer>,
}

impl Membership {
    pub(super) fn of(source: &KafkaSource) -> Result<Self, KafkaError> {
        if source.identity.isolation != "read_committed" {
            return Err(KafkaError::ReservedProperty {
                name: "isolation.level".to_owned(),
                reason: "a worker that commits in transactions has to read committed records only",
            });
        }
        source.shared.ledger.leave_to_transactions();
        Ok(Self {
            identity: source.identity.clone(),
            shared: Arc::clone(&source.shared),
            consumer: Weak::clone(&source.consumer),
        })
    }

    pub(crate) fn group(&self) -> &str {
        &self.identity.group
    }

    /// Its `group.instance.id`, if it is a static member.
    pub(crate) fn instance(&self) -> Option<&str> {
        self.identity.instance.as_deref()
    }

    /// Puts a batch into a transaction.
    pub(crate) fn enlist(&self, batch: &Spans) -> Enlisted<GroupMetadata> {
        let member = || {
            let metadata = self.consumer.upgrade()?.client.group_metadata()?;
            Some((metadata.standing(), metadata))
        };
        self.shared.ledger.enlist(batch, member)
    }

    /// Whether anything is finished that no transaction has.
    pub(crate) fn has_left_over(&self) -> bool {
        self.shared.ledger.has_left_over()
    }

    /// Partitions that a transaction with this batch moves, and of which [`Membership::cover`] has not been told yet.
    pub(crate) fn unknown(&self, batch: &Spans) -> Vec<TopicPartition> {
        self.shared.ledger.unknown(batch)
    }

    /// Takes what the group has committed, so that it is not put into a transaction again.
    pub(crate) fn cover(&self, offsets: &[(TopicPartition, Option<NextOffset>)]) {
        self.shared.ledger.cover(offsets);
    }

    /// A partition of the batch that is not this member's any more.
    pub(crate) fn foreign(&self, batch: &Spans) -> Option<TopicPartition> {
        self.shared.ledger.foreign(batch)
    }

    /// Takes the outcome of a transaction, once it is known.
    pub(crate) fn conclude(&self, offsets: &[(TopicPartition, NextOffset)], committed: bool) {
        self.shared.ledger.conclude(offsets, committed);
    }
}
