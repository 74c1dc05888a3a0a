//! CreatePartitions: more partitions for a topic, never fewer.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::CreatePartitionsRequest;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::{
    CreatePartitionsResponse, CreatePartitionsTopicResult,
};

use super::{Refusal, outcome};
use crate::catalog::ChangeError;
use crate::node::{NODE_ID, Node};

pub(crate) fn handle(node: &Node, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
    let results = request.topics.into_iter().map(|topic| {
        let (error_code, message) = outcome(&grow(node, &topic, request.validate_only));
        CreatePartitionsTopicResult::default()
            .with_name(topic.name)
            .with_error_code(error_code)
            .with_error_message(message)
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

fn grow(node: &Node, asked: &CreatePartitionsTopic, validate_only: bool) -> Result<(), Refusal> {
    let topics = node.catalog.topics();
    let topic = topics
        .get(&asked.name)
        .ok_or_else(|| ChangeError::Unknown(asked.name.to_string()))?;
    let now = topic.partitions.len() as i32;
    if asked.count <= now {
        let message = format!(
            "topic '{}' has {now} partitions; {} would not be more",
            topic.name, asked.count
        );
        return Err(Refusal::new(ResponseError::InvalidPartitions, message));
    }
    let added = asked.count - now;
    topics.check_room(added)?;
    if let Some(assignments) = &asked.assignments {
        let sound = assignments.len() == added as usize
            && assignments
                .iter()
                .all(|replicas| replicas.broker_ids == [NODE_ID]);
        if !sound {
            let message = format!(
                "{added} assignments, each of broker {} alone, are expected",
                NODE_ID.0
            );
            return Err(Refusal::new(
                ResponseError::InvalidReplicaAssignment,
                message,
            ));
        }
    }
    if !validate_only {
        node.catalog.grow(&asked.name, asked.count)?;
        tracing::info!(
            topic = &*topic.name,
            partitions = asked.count,
            "topic grown"
        );
    }
    Ok(())
}
