//! DeleteRecords: moves the log start offset, and gives the space of whole segments back (KIP-107).

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::DeleteRecordsRequest;
use kafka_protocol::messages::delete_records_request::DeleteRecordsPartition;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};

use super::code;
use crate::catalog::{Topic, config};
use crate::log::DeleteError;
use crate::node::Node;

/// What a client asks for instead of an offset: everything there is.
const HIGH_WATERMARK: i64 = -1;

const NO_OFFSET: i64 = -1;

pub(crate) fn handle(node: &Node, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = node.catalog.topics();
    let responses = request.topics.into_iter().map(|asked| {
        let topic = topics.get(&asked.name).map(|topic| &**topic);
        let partitions = asked.partitions.iter().map(|partition| {
            let deleted = delete(topic, partition);
            DeleteRecordsPartitionResult::default()
                .with_partition_index(partition.partition_index)
                .with_low_watermark(*deleted.as_ref().unwrap_or(&NO_OFFSET))
                .with_error_code(code(&deleted))
        });
        DeleteRecordsTopicResult::default()
            .with_partitions(partitions.collect())
            .with_name(asked.name)
    });
    DeleteRecordsResponse::default().with_topics(responses.collect())
}

/// Returns the log start offset.
fn delete(topic: Option<&Topic>, asked: &DeleteRecordsPartition) -> Result<i64, ResponseError> {
    let topic = topic.ok_or(ResponseError::UnknownTopicOrPartition)?;
    let partition = topic
        .partition(asked.partition_index)
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    if !config::is_deleted(&topic.configs) {
        return Err(ResponseError::PolicyViolation);
    }
    let mut log = partition.log();
    let offset = match asked.offset {
        HIGH_WATERMARK => log.next_offset(),
        offset => offset,
    };
    let start = log.delete_below(offset).map_err(|error| match &error {
        DeleteError::OutOfRange { .. } => ResponseError::OffsetOutOfRange,
        DeleteError::Storage(source) => {
            let (topic, partition) = (topic.name.as_str(), asked.partition_index);
            tracing::error!(topic, partition, error = %source, "cannot delete records");
            ResponseError::KafkaStorageError
        }
    })?;
    let (topic, partition) = (topic.name.as_str(), asked.partition_index);
    tracing::info!(
        topic,
        partition,
        log_start_offset = start,
        "records deleted"
    );
    Ok(start)
}
