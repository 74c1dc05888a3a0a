//! What stands in the way of a transaction before it has begun.

use longshore_event::TopicPartition;

/// Why no transaction was begun.
#[derive(Debug, thiserror::Error)]
pub(super) enum Obstacle {
    /// Another member may have read the messages by now.
    #[error("{0} has been let go since the messages were read")]
    Foreign(TopicPartition),
    /// The source is about to hear of it.
    #[error("the consumer is no member of its group at the moment")]
    Nobody,
    /// A transaction of some other client, or of a process that was killed, holds the offsets of the group.
    #[error("offsets of {0} are in a transaction that has not ended")]
    Unstable(TopicPartition),
    /// Its thread has panicked.
    #[error("the thread of the transactions has ended; restart the worker")]
    Ended,
}
