//! IncrementalAlterConfigs: sets, resets, and changes lists of a topic's configuration (KIP-339).

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};

use super::describe_configs::TOPIC;
use super::{Refusal, outcome};
use crate::catalog::ChangeError;
use crate::catalog::config::{self, ConfigKey, Legal, TopicConfigs};
use crate::node::Node;

/// Operations of the protocol.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(crate) fn handle(
    node: &Node,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.into_iter().map(|resource| {
        let (error_code, message) = outcome(&alter(node, &resource, request.validate_only));
        AlterConfigsResourceResponse::default()
            .with_error_code(error_code)
            .with_error_message(message)
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name)
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

fn alter(node: &Node, resource: &AlterConfigsResource, validate_only: bool) -> Result<(), Refusal> {
    let name = resource.resource_name.as_str();
    if resource.resource_type != TOPIC {
        let message = "only the configuration of topics can be altered";
        return Err(Refusal::new(ResponseError::InvalidRequest, message));
    }
    let topics = node.catalog.topics();
    let topic = topics
        .get(name)
        .ok_or_else(|| ChangeError::Unknown(name.into()))?;
    // Tried on a copy, so that nothing is changed when the last of several operations is refused.
    let mut tried = topic.configs.clone();
    apply(&resource.configs, &mut tried)?;
    if validate_only {
        return Ok(());
    }
    let mut applied = Ok(());
    node.catalog.configure(name, |configs| {
        applied = apply(&resource.configs, configs);
    })?;
    tracing::info!(topic = name, "topic configuration altered");
    applied
}

fn apply(changes: &[AlterableConfig], configs: &mut TopicConfigs) -> Result<(), Refusal> {
    for change in changes {
        let key = config::find(&change.name).ok_or_else(|| {
            let message = format!("unknown topic configuration '{}'", change.name.as_str());
            Refusal::new(ResponseError::InvalidConfig, message)
        })?;
        let value = change.value.as_deref().unwrap_or_default();
        let changed = match change.config_operation {
            DELETE => None,
            SET => Some(value.to_owned()),
            APPEND => Some(list(key, configs)?.append(value)),
            SUBTRACT => Some(list(key, configs)?.subtract(value)),
            operation => {
                let message = format!("there is no operation {operation}");
                return Err(Refusal::new(ResponseError::InvalidRequest, message));
            }
        };
        match changed {
            None => {
                configs.remove(key.name);
            }
            Some(value) => {
                if let Some(fault) = config::fault(key.name, &value) {
                    return Err(Refusal::new(ResponseError::InvalidConfig, fault));
                }
                configs.insert(key.name.to_owned(), value);
            }
        }
    }
    Ok(())
}

/// The present items of a configuration that is a list.
struct Items(Vec<String>);

fn list(key: &ConfigKey, configs: &TopicConfigs) -> Result<Items, Refusal> {
    if !matches!(key.legal, Legal::ListOf(_)) {
        let message = format!(
            "{} is not a list: it can be set, but not appended to",
            key.name
        );
        return Err(Refusal::new(ResponseError::InvalidConfig, message));
    }
    let value = configs.get(key.name).map_or(key.default, String::as_str);
    Ok(Items(split(value).collect()))
}

impl Items {
    fn append(mut self, value: &str) -> String {
        for item in split(value) {
            if !self.0.contains(&item) {
                self.0.push(item);
            }
        }
        self.0.join(",")
    }

    fn subtract(mut self, value: &str) -> String {
        let removed: Vec<String> = split(value).collect();
        self.0.retain(|item| !removed.contains(item));
        self.0.join(",")
    }
}

fn split(list: &str) -> impl Iterator<Item = String> {
    list.split(',')
        .map(|item| item.trim().to_owned())
        .filter(|item| !item.is_empty())
}
