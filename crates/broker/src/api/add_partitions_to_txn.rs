//! AddPartitionsToTxn: where a producer is about to write in its transaction, which begins with this.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::AddPartitionsToTxnRequest;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResponse, AddPartitionsToTxnTopicResult,
};

use super::fenced;
use crate::node::Node;
use crate::transaction::{Producer, Scope};
use crate::wire::Call;

/// The first version that knows `PRODUCER_FENCED`.
const FENCED_SINCE: i16 = 2;

pub(crate) fn handle(
    node: &Node,
    call: &Call,
    request: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    let topics = node.catalog.topics();
    let exists = |topic: &str, partition| {
        let topic = topics.get(topic);
        topic.is_some_and(|topic| topic.partition(partition).is_some())
    };
    let mut scope = Scope::default();
    let mut all_exist = true;
    for topic in &request.v3_and_below_topics {
        for partition in &topic.partitions {
            scope.add_partition(&topic.name, *partition);
            all_exist &= exists(&topic.name, *partition);
        }
    }
    let added = if all_exist {
        let caller = Producer {
            id: *request.v3_and_below_producer_id,
            epoch: request.v3_and_below_producer_epoch,
        };
        let id = &request.v3_and_below_transactional_id;
        let participants = node.participants();
        node.transactions
            .add_partitions(participants, id, caller, &scope)
            .map_err(|error| fenced(error, call, FENCED_SINCE))
    } else {
        Err(ResponseError::OperationNotAttempted)
    };
    let results = request.v3_and_below_topics.into_iter().map(|topic| {
        let results = topic.partitions.iter().map(|partition| {
            let error_code = match added {
                Ok(()) => 0,
                Err(_) if !exists(&topic.name, *partition) => {
                    ResponseError::UnknownTopicOrPartition.code()
                }
                Err(error) => error.code(),
            };
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(error_code)
        });
        AddPartitionsToTxnTopicResult::default()
            .with_results_by_partition(results.collect())
            .with_name(topic.name)
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect())
}
