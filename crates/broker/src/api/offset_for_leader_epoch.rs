//! OffsetForLeaderEpoch: where the records of a leader epoch end. There is one leader, and one epoch.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::OffsetForLeaderEpochRequest;
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};

use super::{check_leader_epoch, code};
use crate::catalog::Topic;
use crate::log::LEADER_EPOCH;
use crate::node::Node;

/// Epoch and end offset of an epoch that never was.
const UNDEFINED: (i32, i64) = (-1, -1);

pub(crate) fn handle(
    node: &Node,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = node.catalog.topics();
    let responses = request.topics.into_iter().map(|asked| {
        let topic = topics.get(&asked.topic).map(|topic| &**topic);
        let partitions = asked.partitions.iter().map(|partition| {
            let end = end_of_epoch(topic, partition);
            let (epoch, offset) = end.unwrap_or(UNDEFINED);
            EpochEndOffset::default()
                .with_partition(partition.partition)
                .with_error_code(code(&end))
                .with_leader_epoch(epoch)
                .with_end_offset(offset)
        });
        OffsetForLeaderTopicResult::default()
            .with_partitions(partitions.collect())
            .with_topic(asked.topic)
    });
    OffsetForLeaderEpochResponse::default().with_topics(responses.collect())
}

fn end_of_epoch(
    topic: Option<&Topic>,
    asked: &OffsetForLeaderPartition,
) -> Result<(i32, i64), ResponseError> {
    let partition = topic
        .and_then(|topic| topic.partition(asked.partition))
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    check_leader_epoch(asked.current_leader_epoch)?;
    if asked.leader_epoch == LEADER_EPOCH {
        Ok((LEADER_EPOCH, partition.log().next_offset()))
    } else {
        Ok(UNDEFINED)
    }
}
