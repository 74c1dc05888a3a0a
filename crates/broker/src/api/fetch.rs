//! Fetch: record batches from where the client is, waiting for them if there are none yet.
//!
//! Every answer is complete, as if for a client without a fetch session (KIP-227): with one client
//! and one broker on a laptop a session would save nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, FetchResponse, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::messages::{FetchRequest, ProducerId};
use tokio::time::{Instant, timeout_at};

use super::check_leader_epoch;
use crate::catalog::{Topic, Topics};
use crate::log::{Partition, Waker, end_of};
use crate::node::Node;
use crate::wire::Call;

/// Most bytes of records in one answer, whatever the client allows, so that memory is bounded.
const MAX_ANSWER_BYTES: usize = 50 * 1024 * 1024;

/// The longest wait for records, whatever the client allows, so that a client that went away without
/// a word is noticed.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The first version that names topics by id (KIP-516).
const TOPIC_IDS_SINCE: i16 = 13;

const READ_COMMITTED: i8 = 1;

pub(crate) async fn handle(node: &Node, call: &Call, request: FetchRequest) -> FetchResponse {
    if request.session_id != 0 {
        return FetchResponse::default()
            .with_error_code(ResponseError::FetchSessionIdNotFound.code());
    }
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let deadline = Instant::now() + wait.min(MAX_WAIT);
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0);
    let by_id = call.version >= TOPIC_IDS_SINCE;
    let collect = || Collection::new(&request, by_id).of(&node.catalog.topics());

    let mut collected = collect();
    if collected.suffices(min_bytes) || wait.is_zero() {
        return collected.answer();
    }
    // Registered before looking again, so that what was appended in between is not missed.
    let waker = Waker::register(partitions(&node.catalog.topics(), &request, by_id));
    loop {
        collected = collect();
        if collected.suffices(min_bytes) || timeout_at(deadline, waker.woken()).await.is_err() {
            return collected.answer();
        }
    }
}

/// One pass over the partitions of a request.
struct Collection<'a> {
    request: &'a FetchRequest,
    by_id: bool,
    bytes_left: usize,
    bytes: usize,
    has_error: bool,
    topics: Vec<FetchableTopicResponse>,
}

impl<'a> Collection<'a> {
    fn new(request: &'a FetchRequest, by_id: bool) -> Self {
        let allowed = usize::try_from(request.max_bytes).unwrap_or(0);
        Self {
            request,
            by_id,
            bytes_left: allowed.min(MAX_ANSWER_BYTES),
            bytes: 0,
            has_error: false,
            topics: Vec::with_capacity(request.topics.len()),
        }
    }

    fn of(mut self, topics: &Topics) -> Self {
        for asked in &self.request.topics {
            let topic = find(topics, asked, self.by_id);
            let partitions = asked
                .partitions
                .iter()
                .map(|partition| self.read(topic, partition))
                .collect();
            let response = FetchableTopicResponse::default().with_partitions(partitions);
            self.topics.push(if self.by_id {
                response.with_topic_id(asked.topic_id)
            } else {
                response.with_topic(asked.topic.clone())
            });
        }
        self
    }

    /// An error is worth an answer at once, as data is.
    fn suffices(&self, min_bytes: usize) -> bool {
        self.has_error || self.bytes >= min_bytes
    }

    fn answer(self) -> FetchResponse {
        FetchResponse::default().with_responses(self.topics)
    }

    fn read(&mut self, topic: Option<&Arc<Topic>>, asked: &FetchPartition) -> PartitionData {
        let unknown = if self.by_id {
            ResponseError::UnknownTopicId
        } else {
            ResponseError::UnknownTopicOrPartition
        };
        let partition = topic.ok_or(unknown).and_then(|topic| {
            topic
                .partition(asked.partition)
                .ok_or(ResponseError::UnknownTopicOrPartition)
        });
        let data = PartitionData::default().with_partition_index(asked.partition);
        let result =
            partition.and_then(|partition| self.read_partition(partition, asked, data.clone()));
        result.unwrap_or_else(|error| {
            self.has_error = true;
            data.with_error_code(error.code()).with_high_watermark(-1)
        })
    }

    fn read_partition(
        &mut self,
        partition: &Partition,
        asked: &FetchPartition,
        data: PartitionData,
    ) -> Result<PartitionData, ResponseError> {
        check_leader_epoch(asked.current_leader_epoch)?;
        let committed_only = self.request.isolation_level == READ_COMMITTED;
        let (span, start, high_watermark, stable) = {
            let log = partition.log();
            let offset = asked.fetch_offset;
            if offset < log.start_offset() || offset > log.next_offset() {
                return Err(ResponseError::OffsetOutOfRange);
            }
            let stable = log.last_stable_offset();
            (
                log.span(offset),
                log.start_offset(),
                log.next_offset(),
                stable,
            )
        };
        let until = if committed_only {
            stable
        } else {
            high_watermark
        };
        let allowed = usize::try_from(asked.partition_max_bytes).unwrap_or(0);
        let records = match span.filter(|_| asked.fetch_offset < until) {
            Some(span) => span
                .read(allowed.min(self.bytes_left), self.bytes == 0, until)
                .map_err(|error| {
                    tracing::error!(partition = asked.partition, offset = asked.fetch_offset, %error, "cannot read a log");
                    ResponseError::KafkaStorageError
                })?,
            None => Bytes::new(),
        };
        let aborted = match committed_only {
            true => Some(aborted(partition, asked.fetch_offset, &records)?),
            false => None,
        };
        self.bytes += records.len();
        self.bytes_left = self.bytes_left.saturating_sub(records.len());
        Ok(data
            .with_high_watermark(high_watermark)
            .with_last_stable_offset(stable)
            .with_log_start_offset(start)
            .with_aborted_transactions(aborted)
            .with_records(Some(records)))
    }
}

/// The aborted transactions among `records`, which were read from `from` on.
fn aborted(
    partition: &Partition,
    from: i64,
    records: &[u8],
) -> Result<Vec<AbortedTransaction>, ResponseError> {
    let Some(until) = end_of(records) else {
        return Ok(Vec::new());
    };
    let log = partition.log();
    // What was cut off the start since the records were read is not remembered any more.
    if from < log.start_offset() {
        return Err(ResponseError::OffsetOutOfRange);
    }
    let aborted = log.aborted(from, until).into_iter().map(|aborted| {
        AbortedTransaction::default()
            .with_producer_id(ProducerId(aborted.producer_id))
            .with_first_offset(aborted.first_offset)
    });
    Ok(aborted.collect())
}

fn find<'a>(topics: &'a Topics, asked: &FetchTopic, by_id: bool) -> Option<&'a Arc<Topic>> {
    if by_id {
        topics.by_id(asked.topic_id)
    } else {
        topics.get(&asked.topic)
    }
}

fn partitions(topics: &Topics, request: &FetchRequest, by_id: bool) -> Vec<Arc<Partition>> {
    let found = request.topics.iter().flat_map(|asked| {
        let topic = find(topics, asked, by_id);
        asked
            .partitions
            .iter()
            .filter_map(move |partition| topic?.partition(partition.partition).cloned())
    });
    found.collect()
}
