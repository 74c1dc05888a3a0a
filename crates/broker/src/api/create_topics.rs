//! CreateTopics: checks everything first, then creates; a topic that is refused leaves nothing behind.

use std::collections::HashMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse,
};
use uuid::Uuid;

use super::{Refusal, describe_configs, outcome, text};
use crate::catalog::config::{self, TopicConfigs};
use crate::catalog::{ChangeError, name};
use crate::node::{NODE_ID, Node};

/// Stands for "as the broker likes".
const BROKER_DEFAULT: i32 = -1;
const DEFAULT_PARTITIONS: i32 = 1;
const REPLICATION_FACTOR: i16 = 1;

/// A topic as it is or would be created.
struct Created {
    id: Uuid,
    partitions: i32,
    configs: TopicConfigs,
}

pub(crate) fn handle(node: &Node, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut times: HashMap<_, usize> = HashMap::new();
    for topic in &request.topics {
        *times.entry(topic.name.clone()).or_default() += 1;
    }
    let results = request.topics.into_iter().map(|topic| {
        let created = if times.get(&topic.name).is_some_and(|times| *times > 1) {
            let message = "the request names the topic more than once";
            Err(Refusal::new(ResponseError::InvalidRequest, message))
        } else {
            create(node, &topic, request.validate_only)
        };
        let (error_code, message) = outcome(&created);
        let result = CreatableTopicResult::default()
            .with_name(topic.name)
            .with_error_code(error_code)
            .with_error_message(message);
        match created {
            Ok(created) => result
                .with_topic_id(created.id)
                .with_num_partitions(created.partitions)
                .with_replication_factor(REPLICATION_FACTOR)
                .with_configs(Some(effective(&created.configs))),
            Err(_) => result.with_configs(None),
        }
    });
    CreateTopicsResponse::default().with_topics(results.collect())
}

fn create(node: &Node, topic: &CreatableTopic, validate_only: bool) -> Result<Created, Refusal> {
    if let Some(fault) = name::fault(&topic.name) {
        return Err(Refusal::new(ResponseError::InvalidTopicException, fault));
    }
    let topics = node.catalog.topics();
    if topics.get(&topic.name).is_some() {
        return Err(ChangeError::Exists(topic.name.to_string()).into());
    }
    let partitions = partitions(topic)?;
    topics.check_room(partitions)?;
    let configs = configs(topic)?;
    let id = if validate_only {
        Uuid::nil()
    } else {
        let created = node
            .catalog
            .create(&topic.name, partitions, configs.clone())?;
        tracing::info!(topic = &*created.name, partitions, "topic created");
        created.id
    };
    Ok(Created {
        id,
        partitions,
        configs,
    })
}

fn partitions(topic: &CreatableTopic) -> Result<i32, Refusal> {
    if !topic.assignments.is_empty() {
        return assigned_partitions(topic);
    }
    let replicas = topic.replication_factor;
    if i32::from(replicas) != BROKER_DEFAULT && replicas != REPLICATION_FACTOR {
        let message = format!("replication factor {replicas} is not possible: there is one broker");
        return Err(Refusal::new(
            ResponseError::InvalidReplicationFactor,
            message,
        ));
    }
    match topic.num_partitions {
        BROKER_DEFAULT => Ok(DEFAULT_PARTITIONS),
        count if count > 0 => Ok(count),
        count => Err(Refusal::new(
            ResponseError::InvalidPartitions,
            format!("a topic has 1 partition or more, not {count}"),
        )),
    }
}

/// The partitions of a topic whose replicas the client assigns itself.
fn assigned_partitions(topic: &CreatableTopic) -> Result<i32, Refusal> {
    if topic.num_partitions != BROKER_DEFAULT
        || i32::from(topic.replication_factor) != BROKER_DEFAULT
    {
        let message = "partitions and replication factor must be -1 beside replica assignments";
        return Err(Refusal::new(ResponseError::InvalidRequest, message));
    }
    let mut assignments: Vec<&CreatableReplicaAssignment> = topic.assignments.iter().collect();
    assignments.sort_unstable_by_key(|assignment| assignment.partition_index);
    let sound = assignments.iter().zip(0..).all(|(assignment, index)| {
        assignment.partition_index == index && assignment.broker_ids == [NODE_ID]
    });
    if !sound {
        let message = format!(
            "replica assignments must number the partitions from 0 and name broker {} once each",
            NODE_ID.0
        );
        return Err(Refusal::new(
            ResponseError::InvalidReplicaAssignment,
            message,
        ));
    }
    Ok(assignments.len() as i32)
}

fn configs(topic: &CreatableTopic) -> Result<TopicConfigs, Refusal> {
    let mut configs = TopicConfigs::new();
    for config in &topic.configs {
        let invalid = |message| Refusal::new(ResponseError::InvalidConfig, message);
        let Some(value) = &config.value else {
            return Err(invalid(format!("{} has no value", config.name.as_str())));
        };
        if let Some(fault) = config::fault(&config.name, value) {
            return Err(invalid(fault));
        }
        configs.insert(config.name.to_string(), value.to_string());
    }
    Ok(configs)
}

fn effective(configs: &TopicConfigs) -> Vec<CreatableTopicConfigs> {
    let all = config::TOPIC_CONFIGS.iter().map(|key| {
        let (value, source) = describe_configs::effective(key, configs);
        CreatableTopicConfigs::default()
            .with_name(text(key.name))
            .with_value(Some(text(value)))
            .with_config_source(source)
    });
    all.collect()
}
