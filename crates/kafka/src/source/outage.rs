//! What keeps a member from reading, until what.

use rdkafka::types::RDKafkaErrorCode;

use crate::native::ClientError;

/// Something that keeps a member from reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outage {
    /// No broker can be reached: over when one answers.
    Brokers,
    /// A topic or the group cannot be used: over when partitions are assigned.
    Group,
}

impl Outage {
    /// The outage that an error tells of; `None` if the client deals with it and goes on.
    pub(super) fn of(error: &ClientError) -> Option<Self> {
        use RDKafkaErrorCode as Code;
        match error.code {
            Code::AllBrokersDown => Some(Self::Brokers),
            Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::InconsistentGroupProtocol
            | Code::GroupMaxSizeReached
            | Code::InvalidSessionTimeout => Some(Self::Group),
            _ => None,
        }
    }
}
