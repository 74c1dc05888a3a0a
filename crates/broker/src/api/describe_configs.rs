//! DescribeConfigs: what is set on a topic, what is the default, and the few facts about the broker.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::DescribeConfigsRequest;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
    DescribeConfigsSynonym,
};

use super::{Refusal, outcome, text};
use crate::catalog::ChangeError;
use crate::catalog::config::{ConfigKey, Legal, TOPIC_CONFIGS, TopicConfigs};
use crate::node::{NODE_ID, Node};
use crate::wire::MAX_REQUEST_BYTES;

/// Resource types of the protocol.
pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;

/// Where a value comes from, in the protocol's numbers.
const SET_ON_TOPIC: i8 = 1;
const SET_AT_START: i8 = 4;
const DEFAULT: i8 = 5;

/// Types of values, in the protocol's numbers.
const BOOLEAN: i8 = 1;
const STRING: i8 = 2;
const INT: i8 = 3;
const LONG: i8 = 5;
const DOUBLE: i8 = 6;
const LIST: i8 = 7;

pub(crate) fn handle(node: &Node, request: DescribeConfigsRequest) -> DescribeConfigsResponse {
    let results = request.resources.into_iter().map(|resource| {
        let described = describe(node, &resource);
        let (error_code, message) = outcome(&described);
        let mut configs = described.unwrap_or_default();
        // No keys means all of them, as in Kafka.
        if let Some(keys) = resource.configuration_keys.filter(|keys| !keys.is_empty()) {
            configs.retain(|config| keys.contains(&config.name));
        }
        if request.include_synonyms {
            configs.iter_mut().for_each(add_synonym);
        }
        DescribeConfigsResult::default()
            .with_error_code(error_code)
            .with_error_message(message)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
            .with_configs(configs)
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

/// The value of `key` on a topic with `configs`, and where it comes from.
pub(super) fn effective<'a>(key: &ConfigKey, configs: &'a TopicConfigs) -> (&'a str, i8) {
    match configs.get(key.name) {
        Some(value) => (value, SET_ON_TOPIC),
        None => (key.default, DEFAULT),
    }
}

fn describe(
    node: &Node,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let name = resource.resource_name.as_str();
    match resource.resource_type {
        TOPIC => match node.catalog.topics().get(name) {
            Some(topic) => Ok(topic_configs(&topic.configs)),
            None => Err(ChangeError::Unknown(name.into()).into()),
        },
        BROKER if name.is_empty() || name == NODE_ID.0.to_string() => Ok(broker_configs()),
        _ => Err(Refusal::new(
            ResponseError::InvalidRequest,
            "only topics and the one broker have a configuration",
        )),
    }
}

fn topic_configs(configs: &TopicConfigs) -> Vec<DescribeConfigsResourceResult> {
    let all = TOPIC_CONFIGS.iter().map(|key| {
        let (value, source) = effective(key, configs);
        DescribeConfigsResourceResult::default()
            .with_name(text(key.name))
            .with_value(Some(text(value)))
            .with_config_source(source)
            .with_config_type(type_of(&key.legal))
    });
    all.collect()
}

fn broker_configs() -> Vec<DescribeConfigsResourceResult> {
    let facts = [
        ("auto.create.topics.enable", "false".to_owned(), BOOLEAN),
        ("broker.id", NODE_ID.0.to_string(), INT),
        ("default.replication.factor", "1".to_owned(), INT),
        ("num.partitions", "1".to_owned(), INT),
        ("offsets.topic.replication.factor", "1".to_owned(), INT),
        (
            "socket.request.max.bytes",
            MAX_REQUEST_BYTES.to_string(),
            INT,
        ),
    ];
    let all = facts.into_iter().map(|(name, value, kind)| {
        DescribeConfigsResourceResult::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
            .with_read_only(true)
            .with_config_source(SET_AT_START)
            .with_config_type(kind)
    });
    all.collect()
}

fn add_synonym(config: &mut DescribeConfigsResourceResult) {
    let synonym = DescribeConfigsSynonym::default()
        .with_name(config.name.clone())
        .with_value(config.value.clone())
        .with_source(config.config_source);
    config.synonyms.push(synonym);
}

fn type_of(legal: &Legal) -> i8 {
    match legal {
        Legal::Boolean => BOOLEAN,
        Legal::Int(_) => INT,
        Legal::Long(_) => LONG,
        Legal::Ratio => DOUBLE,
        Legal::OneOf(_) => STRING,
        Legal::ListOf(_) => LIST,
    }
}
