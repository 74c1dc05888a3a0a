//! Where messages come from: a member of a consumer group, seen by the run loop as a stream of events.

use std::time::Duration;

use longshore_event::{NextOffset, Record, TopicPartition};
use tokio::sync::oneshot;

/// Records of the group's redrive topic that a source delivers beyond its budget.
pub const REDRIVE_RESERVE: usize = 64;

/// A member of a consumer group.
///
/// # Contract
/// - Events come in the order in which they happened: the records of a partition stand between its `Assigned` and
///   its `Revoked` or `Lost`, and in offset order.
/// - A source starts with a budget of records (its `max_in_flight`) and spends one for each record it delivers; when
///   none is left it delivers no more until [`Source::release`] gives some back. It stays a live member meanwhile:
///   a partition that cannot be read for long is paused, never given up.
/// - Records of the group's redrive topic come even then, about [`REDRIVE_RESERVE`] of them: they free what others wait for.
/// - Broker outages are the source's to ride out: it reconnects for ever, and tells it by `Unavailable`.
pub trait Source: Send + 'static {
    /// Waits for the next event. Safe to cancel: an event is either returned or still there.
    fn next(&mut self) -> impl Future<Output = SourceEvent> + Send;

    /// Gives back the budget of `count` records that are finished or dropped.
    fn release(&self, count: usize);

    /// Commits offsets to the group, in the background. Later calls overtake earlier ones. A failure is the source's to
    /// try again, for there may be no later call; what is lost with the process is read again and skipped by the inbox.
    fn commit(&self, offsets: &[(TopicPartition, NextOffset)]);

    /// The end of the partition as the last fetch told it (for lag); `None` if not known yet.
    fn end_offset(&self, partition: &TopicPartition) -> Option<NextOffset>;

    /// Starts leaving the group. The partitions come back as `Revoked`, then `Closed` ends the stream.
    fn stop(&mut self);
}

/// What happens to a member of a consumer group.
#[derive(Debug)]
pub enum SourceEvent {
    /// These partitions are this member's from now on; their records follow.
    Assigned(Vec<TopicPartition>),
    /// Records to handle; never empty. Any mix of assigned partitions.
    Records(Vec<Record>),
    /// These partitions are about to move. The source waits for `finished`, at most until `within` has passed;
    /// then it commits the offsets it was told and lets the partitions go.
    Revoked {
        /// The partitions.
        partitions: Vec<TopicPartition>,
        /// Time to finish what is in flight.
        within: Duration,
        /// Takes the offset to read next of every partition where something was finished.
        finished: oneshot::Sender<Vec<(TopicPartition, NextOffset)>>,
    },
    /// These partitions have moved already: nothing of them may be committed any more.
    Lost(Vec<TopicPartition>),
    /// The broker cannot be reached, or can again.
    Unavailable {
        /// What the client says; `None` once it is reachable again.
        reason: Option<String>,
    },
    /// The last event: left the group after [`Source::stop`], or failed in a way that no retry mends.
    Closed(Result<(), SourceError>),
}

/// Why a source cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A topic that should be read does not exist.
    #[error("topic {topic} does not exist on {brokers}; create it with `longshore topics apply`")]
    MissingTopic {
        /// The topic.
        topic: String,
        /// The brokers asked.
        brokers: String,
    },
    /// No broker answered when the worker started.
    #[error("no broker answers at {brokers}; check --brokers and that it is running")]
    NoBroker {
        /// The brokers asked.
        brokers: String,
        /// What the client says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A member with the same `group.instance.id` has joined after this one: another process, or a join of this one that
    /// was given up with a broken connection, and reached the group after the next. Only a new client can join again.
    #[error(
        "a later member of group {group} has the same group.instance.id; give each instance its own; if no other has this one, a join of its own came late: restart the worker"
    )]
    Fenced {
        /// The consumer group.
        group: String,
    },
    /// In a group by KIP-848, the `group.instance.id` of this member is another's, or that of one that has not left.
    #[error(
        "the group.instance.id is still held in group {group}: by another instance, which then needs one of its own, or by one that was killed, until its session is over (the brokers' group.consumer.session.timeout.ms, 45 s unless set); restart the worker then"
    )]
    InstanceHeld {
        /// The consumer group.
        group: String,
    },
    /// Another instance works on a partition that the group says is this one's.
    #[error(
        "{partition} was taken over in the store by another instance, but the group still assigns it to this one; restart the worker, and make sure that no other group uses its store"
    )]
    TakenOver {
        /// The partition.
        partition: TopicPartition,
    },
    /// Anything else the client calls fatal.
    #[error("the consumer of group {group} failed and cannot recover; restart the worker")]
    Fatal {
        /// The consumer group.
        group: String,
        /// What the client says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
