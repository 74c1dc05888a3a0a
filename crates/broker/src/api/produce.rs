//! Produce: checks each batch and appends it to its partition's log.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{
    PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};

use super::{Refusal, outcome};
use crate::catalog::Topic;
use crate::log::{Append, AppendError, BatchError, IncomingBatch, SequenceError};
use crate::node::{Node, now_ms};

/// With these acknowledgements the client does not wait for an answer.
const NO_ACKS: i16 = 0;

/// Where a batch was put.
struct Written {
    base_offset: i64,
    append_time: Option<i64>,
    log_start: i64,
}

/// Appends everything in `request`; `None` when the client does not want to know.
pub(crate) fn handle(node: &Node, request: ProduceRequest) -> Option<ProduceResponse> {
    let topics = node.catalog.topics();
    let acks = request.acks;
    let mut responses = Vec::with_capacity(request.topic_data.len());
    for data in request.topic_data {
        let topic = topics.get(&data.name);
        let partitions = data.partition_data.into_iter().map(|partition| {
            let index = partition.index;
            let written = check_acks(acks).and_then(|()| write(topic.map(|topic| &**topic), partition));
            if let Err(refusal) = &written {
                let (topic, error) = (data.name.as_str(), refusal.error);
                tracing::debug!(topic, partition = index, %error, reason = refusal.message, "refused a batch");
            }
            answer(index, &written)
        });
        let partitions = partitions.collect();
        let response = TopicProduceResponse::default()
            .with_name(data.name)
            .with_partition_responses(partitions);
        responses.push(response);
    }
    (acks != NO_ACKS).then(|| ProduceResponse::default().with_responses(responses))
}

fn write(topic: Option<&Topic>, data: PartitionProduceData) -> Result<Written, Refusal> {
    let unknown = || Refusal::new(ResponseError::UnknownTopicOrPartition, "no such partition");
    let topic = topic.ok_or_else(unknown)?;
    let partition = topic.partition(data.index).ok_or_else(unknown)?;
    let batch = check(topic, data.records.unwrap_or_default())?;
    let how = Append {
        segment_bytes: topic.segment_bytes,
        append_time: topic.log_append_time.then(now_ms),
    };
    let appended = partition.append(&batch, &how)?;
    Ok(Written {
        base_offset: appended.base_offset,
        append_time: how.append_time,
        log_start: partition.log().start_offset(),
    })
}

fn check(topic: &Topic, records: Bytes) -> Result<IncomingBatch, Refusal> {
    if records.len() > topic.max_message_bytes {
        let message = format!(
            "a batch of {} bytes is larger than max.message.bytes of topic {}, {}",
            records.len(),
            topic.name,
            topic.max_message_bytes
        );
        return Err(Refusal::new(ResponseError::MessageTooLarge, message));
    }
    let batch = IncomingBatch::check(records)?;
    if topic.compacted && batch.has_keyless_record() {
        let message = format!(
            "topic {} is compacted: every record needs a key",
            topic.name
        );
        return Err(Refusal::new(ResponseError::InvalidRecord, message));
    }
    if batch.header.is_transactional() {
        let message = "the embedded broker has no transactions";
        return Err(Refusal::new(ResponseError::InvalidTxnState, message));
    }
    Ok(batch)
}

fn check_acks(acks: i16) -> Result<(), Refusal> {
    match acks {
        -1..=1 => Ok(()),
        _ => Err(Refusal::new(
            ResponseError::InvalidRequiredAcks,
            format!("acks is 0, 1 or -1, not {acks}"),
        )),
    }
}

fn answer(index: i32, written: &Result<Written, Refusal>) -> PartitionProduceResponse {
    let (error_code, message) = outcome(written);
    let response = PartitionProduceResponse::default()
        .with_index(index)
        .with_error_code(error_code)
        .with_error_message(message);
    match written {
        Ok(written) => response
            .with_base_offset(written.base_offset)
            .with_log_append_time_ms(written.append_time.unwrap_or(-1))
            .with_log_start_offset(written.log_start),
        Err(_) => response.with_base_offset(-1),
    }
}

impl From<BatchError> for Refusal {
    fn from(batch: BatchError) -> Self {
        let error = match batch {
            BatchError::Checksum { .. } | BatchError::Short(_) | BatchError::Length(_) => {
                ResponseError::CorruptMessage
            }
            BatchError::Magic(_) => ResponseError::UnsupportedForMessageFormat,
            BatchError::NotOneBatch { .. } | BatchError::Count { .. } | BatchError::Control => {
                ResponseError::InvalidRecord
            }
        };
        Self::new(error, batch.to_string())
    }
}

impl From<AppendError> for Refusal {
    fn from(append: AppendError) -> Self {
        let error = match &append {
            AppendError::Sequence(SequenceError::OutOfOrder { .. }) => {
                ResponseError::OutOfOrderSequenceNumber
            }
            AppendError::Sequence(SequenceError::StaleEpoch { .. }) => {
                ResponseError::InvalidProducerEpoch
            }
            AppendError::Deleted => ResponseError::UnknownTopicOrPartition,
            AppendError::Storage(source) => {
                tracing::error!(error = %source, "cannot write a log; is the disk full?");
                ResponseError::KafkaStorageError
            }
        };
        Self::new(error, append.to_string())
    }
}
