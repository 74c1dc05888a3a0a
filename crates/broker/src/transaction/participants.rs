//! Telling everybody whom a transaction concerns how it ended.

use super::machine::Producer;
use super::scope::Scope;
use crate::catalog::Catalog;
use crate::group::Coordinator;
use crate::log::{AppendError, Marker, Outcome, Partition};
use crate::node::now_ms;

/// What transactions change: partitions and groups.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Participants<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) groups: &'a Coordinator,
}

/// A participant could not be told; telling all again is right.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettleError {
    #[error("no marker in partition {partition} of {topic}")]
    Partition {
        topic: String,
        partition: i32,
        #[source]
        source: AppendError,
    },
    #[error("the offsets of group {group} are still pending")]
    Group { group: String },
}

impl Participants<'_> {
    /// Tells all of `scope`, also behind one that cannot be told.
    ///
    /// # Errors
    ///
    /// The last failure.
    pub(super) fn settle(
        &self,
        producer: Producer,
        outcome: Outcome,
        scope: &Scope,
    ) -> Result<(), SettleError> {
        let mut settled = Ok(());
        for (topic, partitions) in scope.partitions() {
            for partition in partitions {
                if let Err(error) = self.mark(topic, partition, producer, outcome) {
                    settled = Err(error);
                }
            }
        }
        for group in scope.groups() {
            if self.groups.settle(group, producer.id, outcome).is_err() {
                let group = group.to_owned();
                settled = Err(SettleError::Group { group });
            }
        }
        settled
    }

    /// Aborts what a log or a group has of transactions that nobody knows of, as after a power failure
    /// that took the end of the journal: readers would wait for them for ever.
    pub(super) fn abort_unknown(&self, is_known: impl Fn(&Place<'_>, i64) -> bool) {
        for topic in self.catalog.topics().iter() {
            for partition in &topic.partitions {
                let open = partition.log().open_transactions();
                let place = Place::Partition(&topic.name, partition.index);
                for id in open.into_iter().filter(|id| !is_known(&place, *id)) {
                    tracing::warn!(topic = %topic.name, partition = partition.index, producer = id, "abort a transaction that nobody knows of");
                    let producer = Producer { id, epoch: 0 };
                    let aborted =
                        self.mark(&topic.name, partition.index, producer, Outcome::Aborted);
                    report(aborted);
                }
            }
        }
        for (group, id) in self.groups.pending() {
            if !is_known(&Place::Group(&group), id) {
                tracing::warn!(
                    group,
                    producer = id,
                    "drop offsets of a transaction that nobody knows of"
                );
                let settled = self.groups.settle(&group, id, Outcome::Aborted);
                report(settled.map_err(|_| SettleError::Group { group }));
            }
        }
    }

    fn mark(
        &self,
        topic: &str,
        partition: i32,
        producer: Producer,
        outcome: Outcome,
    ) -> Result<(), SettleError> {
        let topics = self.catalog.topics();
        let Some(found) = topics.get(topic) else {
            return Ok(());
        };
        let marker = Marker {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            outcome,
            timestamp: now_ms(),
        };
        let ended = found
            .partition(partition)
            .map(|partition: &std::sync::Arc<Partition>| {
                partition.end_transaction(&marker, &found.append())
            });
        match ended {
            // What is deleted needs no end.
            None | Some(Ok(_) | Err(AppendError::Deleted)) => Ok(()),
            Some(Err(source)) => Err(SettleError::Partition {
                topic: topic.to_owned(),
                partition,
                source,
            }),
        }
    }
}

/// Where something of a transaction was found.
pub(super) enum Place<'a> {
    /// Topic and partition.
    Partition(&'a str, i32),
    Group(&'a str),
}

/// The next start tries again.
fn report(result: Result<(), SettleError>) {
    if let Err(error) = result {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::error!(%error, cause, "cannot abort a transaction that nobody knows of");
    }
}
