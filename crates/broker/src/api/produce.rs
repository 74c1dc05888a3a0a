//! Produce: checks each batch and appends it to its partition's log.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{
    PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{Refusal, outcome};
use crate::catalog::Topic;
use crate::log::{AppendError, BatchError, BatchHeader, IncomingBatch, SequenceError};
use crate::node::Node;
use crate::transaction::Producer;
use crate::wire::Call;

/// With these acknowledgements the client does not wait for an answer.
const NO_ACKS: i16 = 0;

/// The first version whose clients abort a transaction when they are told to (KIP-890).
const ABORTABLE_SINCE: i16 = 11;

/// Where a batch was put.
struct Written {
    base_offset: i64,
    append_time: Option<i64>,
    log_start: i64,
}

/// Appends everything in `request`; `None` when the client does not want to know.
pub(crate) fn handle(node: &Node, call: &Call, request: ProduceRequest) -> Option<ProduceResponse> {
    let topics = node.catalog.topics();
    let acks = request.acks;
    let mut responses = Vec::with_capacity(request.topic_data.len());
    for data in request.topic_data {
        let topic = topics.get(&data.name);
        let partitions = data.partition_data.into_iter().map(|partition| {
            let index = partition.index;
            let written = check_acks(acks).and_then(|()| {
                let transaction = InTransaction {
                    node,
                    id: request.transactional_id.as_deref(),
                    version: call.version,
                };
                write(&transaction, topic.map(|topic| &**topic), partition)
            });
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

fn write(
    transaction: &InTransaction<'_>,
    topic: Option<&Topic>,
    data: PartitionProduceData,
) -> Result<Written, Refusal> {
    let unknown = || Refusal::new(ResponseError::UnknownTopicOrPartition, "no such partition");
    let topic = topic.ok_or_else(unknown)?;
    let partition = topic.partition(data.index).ok_or_else(unknown)?;
    let batch = check(topic, data.records.unwrap_or_default())?;
    let how = topic.append();
    let append = || partition.append(&batch, &how);
    let appended = if batch.header.is_transactional() {
        transaction.append(&batch.header, (&topic.name, data.index), append)??
    } else {
        append()?
    };
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
    Ok(batch)
}

/// The transaction that transactional batches of a request belong to.
struct InTransaction<'a> {
    node: &'a Node,
    id: Option<&'a StrBytes>,
    version: i16,
}

impl InTransaction<'_> {
    fn append<T>(
        &self,
        header: &BatchHeader,
        partition: (&str, i32),
        append: impl FnOnce() -> T,
    ) -> Result<T, Refusal> {
        let caller = Producer {
            id: header.producer_id,
            epoch: header.producer_epoch,
        };
        let transactions = &self.node.transactions;
        let appended = match self.id {
            Some(id) => transactions.in_partition(id, caller, partition, append),
            None => Err(ResponseError::InvalidRequest),
        };
        appended.map_err(|error| {
            let error = match error {
                // What a producer is told that is fenced has another name here.
                ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
                ResponseError::InvalidTxnState if self.version >= ABORTABLE_SINCE => {
                    ResponseError::TransactionAbortable
                }
                error => error,
            };
            Refusal::new(error, "the batch is not part of an ongoing transaction")
        })
    }
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
            AppendError::InTransaction => ResponseError::InvalidTxnState,
            AppendError::Deleted => ResponseError::UnknownTopicOrPartition,
            AppendError::Storage(source) => {
                tracing::error!(error = %source, "cannot write a log; is the disk full?");
                ResponseError::KafkaStorageError
            }
        };
        Self::new(error, append.to_string())
    }
}
