//! ListOffsets: the start, the end, or the offset that belongs to a timestamp.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ListOffsetsRequest;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};

use super::{check_leader_epoch, code};
use crate::catalog::Topic;
use crate::log::{LEADER_EPOCH, TimestampAt};
use crate::node::Node;
use crate::wire::Call;

/// What a client asks for instead of a timestamp.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
/// The earliest offset on the broker's own disk; there is no other storage (KIP-405).
const EARLIEST_LOCAL: i64 = -4;

const READ_COMMITTED: i8 = 1;
const LEADER_EPOCH_SINCE: i16 = 4;

/// Stands for "there is none".
const NONE: TimestampAt = TimestampAt {
    offset: -1,
    timestamp: -1,
};

pub(crate) fn handle(node: &Node, call: &Call, request: ListOffsetsRequest) -> ListOffsetsResponse {
    let topics = node.catalog.topics();
    let committed_only = request.isolation_level == READ_COMMITTED;
    let responses = request.topics.into_iter().map(|asked| {
        let topic = topics.get(&asked.name).map(|topic| &**topic);
        let partitions = asked.partitions.iter().map(|partition| {
            let found = find(topic, partition, committed_only);
            let at = found.unwrap_or(NONE);
            let response = ListOffsetsPartitionResponse::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code(&found))
                .with_offset(at.offset)
                .with_timestamp(at.timestamp);
            if call.version >= LEADER_EPOCH_SINCE && at.offset >= 0 {
                response.with_leader_epoch(LEADER_EPOCH)
            } else {
                response
            }
        });
        ListOffsetsTopicResponse::default()
            .with_partitions(partitions.collect())
            .with_name(asked.name)
    });
    ListOffsetsResponse::default().with_topics(responses.collect())
}

fn find(
    topic: Option<&Topic>,
    asked: &ListOffsetsPartition,
    committed_only: bool,
) -> Result<TimestampAt, ResponseError> {
    let partition = topic
        .and_then(|topic| topic.partition(asked.partition_index))
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    check_leader_epoch(asked.current_leader_epoch)?;
    let log = partition.log();
    let position = |offset| {
        Ok(Some(TimestampAt {
            offset,
            timestamp: -1,
        }))
    };
    let found = match asked.timestamp {
        LATEST if committed_only => position(log.last_stable_offset()),
        LATEST => position(log.next_offset()),
        EARLIEST | EARLIEST_LOCAL => position(log.start_offset()),
        MAX_TIMESTAMP => log.latest_by_timestamp(),
        timestamp if timestamp >= 0 => log.first_at_or_after(timestamp),
        // A meaning that later versions gave it.
        _ => return Err(ResponseError::UnsupportedVersion),
    };
    // What is not stable yet is not there for readers of committed records.
    let by_time = !matches!(asked.timestamp, LATEST | EARLIEST | EARLIEST_LOCAL);
    let stable = log.last_stable_offset();
    let visible = |at: &TimestampAt| !(committed_only && by_time) || at.offset < stable;
    match found {
        Ok(found) => Ok(found.filter(visible).unwrap_or(NONE)),
        Err(error) => {
            tracing::error!(partition = asked.partition_index, %error, "cannot read a log");
            Err(ResponseError::KafkaStorageError)
        }
    }
}
