//! DeleteTopics: a topic goes with its records and with the offsets that groups committed for it.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::{
    DeletableTopicResult, DeleteTopicsResponse,
};
use kafka_protocol::messages::{DeleteTopicsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Refusal, outcome};
use crate::node::Node;
use crate::wire::Call;

/// The first version that can name topics by id.
const TOPIC_IDS_SINCE: i16 = 6;

pub(crate) fn handle(
    node: &Node,
    call: &Call,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let named = request
        .topic_names
        .into_iter()
        .map(|name| DeleteTopicState::default().with_name(Some(name)));
    let responses = named.chain(request.topics).map(|topic| {
        let name = name_of(node, &topic);
        let deleted = name.and_then(|name| delete(node, &name).map(|()| name));
        let (error_code, message) = outcome(&deleted);
        let result = DeletableTopicResult::default()
            .with_name(deleted.ok().map(TopicName).or(topic.name))
            .with_error_code(error_code);
        if call.version >= TOPIC_IDS_SINCE {
            result
                .with_topic_id(topic.topic_id)
                .with_error_message(message)
        } else {
            result
        }
    });
    DeleteTopicsResponse::default().with_responses(responses.collect())
}

fn name_of(node: &Node, topic: &DeleteTopicState) -> Result<StrBytes, Refusal> {
    match &topic.name {
        Some(name) => Ok(name.0.clone()),
        None => match node.catalog.topics().by_id(topic.topic_id) {
            Some(found) => Ok(found.name.clone()),
            None => {
                let message = format!("there is no topic with id {}", topic.topic_id);
                Err(Refusal::new(ResponseError::UnknownTopicId, message))
            }
        },
    }
}

fn delete(node: &Node, name: &str) -> Result<(), Refusal> {
    node.catalog.delete(name)?;
    node.coordinator.forget_topic(name);
    tracing::info!(topic = name, "topic deleted");
    Ok(())
}
