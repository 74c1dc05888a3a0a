//! ConsumerGroupHeartbeat (KIP-848): a member joins, lives, learns its partitions and leaves, all by heartbeats.

use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ConsumerGroupHeartbeatRequest;
use kafka_protocol::messages::consumer_group_heartbeat_response::{
    Assignment, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use uuid::Uuid;

use super::{code, text};
use crate::group::Client;
use crate::group::consumer::{
    ASSIGNOR, Beat, HEARTBEAT_INTERVAL, JOINS, LEAVES_FOR_A_WHILE, Partitions,
};
use crate::node::Node;
use crate::wire::Call;

/// The first version in which members make their ids themselves (KIP-1082).
const OWN_ID_SINCE: i16 = 1;

pub(crate) fn handle(
    node: &Node,
    call: &Call,
    request: ConsumerGroupHeartbeatRequest,
) -> ConsumerGroupHeartbeatResponse {
    let interval = i32::try_from(HEARTBEAT_INTERVAL.as_millis()).unwrap_or(i32::MAX);
    let response = ConsumerGroupHeartbeatResponse::default().with_heartbeat_interval_ms(interval);
    let group_id = request.group_id.clone();
    let beaten = beat(call, request).and_then(|beat| {
        let topics = node.catalog.topics();
        let find = |name: &str| {
            let topic = topics.get(name)?;
            Some((topic.id, i32::try_from(topic.partitions.len()).ok()?))
        };
        let beaten = node.coordinator.consumer_heartbeat(&group_id, &beat, find);
        beaten.map(|beaten| (beat.member_id, beaten))
    });
    match beaten {
        Ok((member_id, beaten)) => response
            .with_member_id(Some(text(member_id)))
            .with_member_epoch(beaten.epoch)
            .with_assignment(beaten.assignment.as_ref().map(assignment)),
        Err(error) => response
            .with_error_code(code::<()>(&Err(error)))
            .with_error_message(Some(text(error.to_string()))),
    }
}

fn beat(call: &Call, request: ConsumerGroupHeartbeatRequest) -> Result<Beat, ResponseError> {
    if request.group_id.is_empty() {
        return Err(ResponseError::InvalidGroupId);
    }
    let asks_for_id = request.member_id.is_empty()
        && call.version < OWN_ID_SINCE
        && request.member_epoch == JOINS;
    let is_nobody = request.member_id.is_empty() && !asks_for_id;
    if is_nobody || request.member_epoch < LEAVES_FOR_A_WHILE {
        return Err(ResponseError::InvalidRequest);
    }
    // Patterns are in the language of one client's library; a client that matches them itself sends names.
    if request
        .subscribed_topic_regex
        .is_some_and(|pattern| !pattern.is_empty())
    {
        return Err(ResponseError::InvalidRegularExpression);
    }
    if request
        .server_assignor
        .is_some_and(|wanted| &*wanted != ASSIGNOR)
    {
        return Err(ResponseError::UnsupportedAssignor);
    }
    let topics = request.subscribed_topic_names;
    let owned = request.topic_partitions.map(|owned| {
        let owned = owned.into_iter();
        owned
            .flat_map(|topic| {
                topic
                    .partitions
                    .into_iter()
                    .map(move |index| (topic.topic_id, index))
            })
            .collect()
    });
    Ok(Beat {
        member_id: match asks_for_id {
            true => Uuid::new_v4().to_string(),
            false => request.member_id.to_string(),
        },
        epoch: request.member_epoch,
        instance_id: request.instance_id.map(|id| id.to_string()),
        client: Client {
            id: call.client_id.to_string(),
            host: format!("/{}", call.peer.ip()),
        },
        rebalance_timeout: u64::try_from(request.rebalance_timeout_ms)
            .ok()
            .map(Duration::from_millis),
        topics: topics.map(|names| names.into_iter().map(|name| name.to_string()).collect()),
        owned,
    })
}

fn assignment(partitions: &Partitions) -> Assignment {
    let mut topics: Vec<TopicPartitions> = Vec::new();
    for (topic, index) in partitions {
        match topics.last_mut() {
            Some(last) if last.topic_id == *topic => last.partitions.push(*index),
            _ => topics.push(
                TopicPartitions::default()
                    .with_topic_id(*topic)
                    .with_partitions(vec![*index]),
            ),
        }
    }
    Assignment::default().with_topic_partitions(topics)
}
