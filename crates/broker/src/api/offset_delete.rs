//! OffsetDelete: a group forgets where it was in topics that it does not consume now (KIP-496).

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::OffsetDeleteRequest;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use super::code;
use crate::node::Node;

pub(crate) fn handle(node: &Node, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    if node.coordinator.describe(&request.group_id).is_none() {
        return OffsetDeleteResponse::default()
            .with_error_code(ResponseError::GroupIdNotFound.code());
    }
    let topics = node.catalog.topics();
    let responses = request.topics.into_iter().map(|asked| {
        let partitions: Vec<i32> = asked.partitions.iter().map(|p| p.partition_index).collect();
        let forgotten = match topics.get(&asked.name) {
            Some(_) => node
                .coordinator
                .forget(&request.group_id, &asked.name, &partitions),
            None => Err(ResponseError::UnknownTopicOrPartition),
        };
        let partitions = partitions.into_iter().map(|partition| {
            OffsetDeleteResponsePartition::default()
                .with_partition_index(partition)
                .with_error_code(code(&forgotten))
        });
        OffsetDeleteResponseTopic::default()
            .with_name(asked.name)
            .with_partitions(partitions.collect())
    });
    OffsetDeleteResponse::default().with_topics(responses.collect())
}
