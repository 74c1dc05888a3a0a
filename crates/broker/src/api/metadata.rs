//! Metadata: the one broker, and the topics that were asked for. Never creates a topic, whatever the
//! client allows: a missing topic is an error that a developer should see.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{MetadataRequest, TopicName};
use uuid::Uuid;

use super::text;
use crate::catalog::{Topic, Topics, name};
use crate::log::LEADER_EPOCH;
use crate::node::{NODE_ID, Node};
use crate::wire::Call;

pub(crate) fn handle(node: &Node, call: &Call, request: MetadataRequest) -> MetadataResponse {
    let topics = node.catalog.topics();
    // In version 0 an empty list means all topics, later null does.
    let asked = request
        .topics
        .filter(|asked| call.version > 0 || !asked.is_empty());
    let described = match asked {
        None => topics.iter().map(|topic| describe(topic)).collect(),
        Some(asked) => asked
            .into_iter()
            .map(|topic| find(&topics, topic.name, topic.topic_id))
            .collect(),
    };
    let broker = MetadataResponseBroker::default()
        .with_node_id(NODE_ID)
        .with_host(text(call.local.ip().to_string()))
        .with_port(i32::from(call.local.port()));
    MetadataResponse::default()
        .with_brokers(vec![broker])
        .with_cluster_id(Some(node.cluster_id.clone()))
        .with_controller_id(NODE_ID)
        .with_topics(described)
}

fn find(topics: &Topics, name: Option<TopicName>, id: Uuid) -> MetadataResponseTopic {
    let Some(name) = name else {
        return match topics.by_id(id) {
            Some(topic) => describe(topic),
            None => missing(None, ResponseError::UnknownTopicId).with_topic_id(id),
        };
    };
    match topics.get(&name) {
        Some(topic) => describe(topic),
        None if name::fault(&name).is_some() => {
            missing(Some(name), ResponseError::InvalidTopicException)
        }
        None => missing(Some(name), ResponseError::UnknownTopicOrPartition),
    }
}

fn missing(name: Option<TopicName>, error: ResponseError) -> MetadataResponseTopic {
    MetadataResponseTopic::default()
        .with_error_code(error.code())
        .with_name(name)
}

fn describe(topic: &Topic) -> MetadataResponseTopic {
    let partitions = topic.partitions.iter().map(|partition| {
        MetadataResponsePartition::default()
            .with_partition_index(partition.index)
            .with_leader_id(NODE_ID)
            .with_leader_epoch(LEADER_EPOCH)
            .with_replica_nodes(vec![NODE_ID])
            .with_isr_nodes(vec![NODE_ID])
    });
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(topic.name.clone())))
        .with_topic_id(topic.id)
        .with_partitions(partitions.collect())
}
