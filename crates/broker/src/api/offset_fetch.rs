//! OffsetFetch: what a group has committed; from version 8 on, for several groups at once (KIP-709).

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::OffsetFetchRequest;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

use super::{code, text};
use crate::group::{Committed, Offsets};
use crate::node::Node;
use crate::wire::Call;

/// The first version with a list of groups.
const SEVERAL_SINCE: i16 = 8;

/// Partitions by topic; `None` stands for all that have a committed offset.
type Asked = Option<Vec<(TopicName, Vec<i32>)>>;

/// What is committed in a partition; `None` when nothing is.
type Result = std::result::Result<Option<Committed>, ResponseError>;

/// What is committed in the partitions that were asked for.
type Found = Vec<(TopicName, Vec<(i32, Result)>)>;

pub(crate) fn handle(node: &Node, call: &Call, request: OffsetFetchRequest) -> OffsetFetchResponse {
    let stable = request.require_stable;
    if call.version < SEVERAL_SINCE {
        let asked = request.topics.map(|topics| {
            let topics = topics.into_iter();
            topics
                .map(|topic| (topic.name, topic.partition_indexes))
                .collect()
        });
        let found = find(node, &request.group_id, asked, stable);
        return OffsetFetchResponse::default().with_topics(answer_one(found));
    }
    let groups = request.groups.into_iter().map(|group| {
        let member = group.member_id.as_deref().unwrap_or_default();
        let allowed = node
            .coordinator
            .may_fetch(&group.group_id, member, group.member_epoch);
        if allowed.is_err() {
            return OffsetFetchResponseGroup::default()
                .with_error_code(code(&allowed))
                .with_group_id(group.group_id);
        }
        let asked = group.topics.map(|topics| {
            let topics = topics.into_iter();
            topics
                .map(|topic| (topic.name, topic.partition_indexes))
                .collect()
        });
        let found = find(node, &group.group_id, asked, stable);
        OffsetFetchResponseGroup::default()
            .with_group_id(group.group_id)
            .with_topics(answer_several(found))
    });
    OffsetFetchResponse::default().with_groups(groups.collect())
}

fn find(node: &Node, group_id: &str, asked: Asked, stable: bool) -> Found {
    node.coordinator.offsets(group_id, |offsets, pending| {
        let asked = asked.unwrap_or_else(|| all(offsets));
        let topics = asked.into_iter().map(|(topic, partitions)| {
            let found = partitions.into_iter().map(|partition| {
                // An open transaction may change it, so the reader has to ask again (KIP-447).
                let found = if stable && pending.concerns(&topic, partition) {
                    Err(ResponseError::UnstableOffsetCommit)
                } else {
                    Ok(offsets.get(&topic, partition).cloned())
                };
                (partition, found)
            });
            let found = found.collect();
            (topic, found)
        });
        topics.collect()
    })
}

/// The partitions that have a committed offset.
fn all(offsets: &Offsets) -> Vec<(TopicName, Vec<i32>)> {
    let topics = offsets.iter().map(|(topic, partitions)| {
        let partitions = partitions.map(|(partition, _)| partition).collect();
        (TopicName(text(topic)), partitions)
    });
    topics.collect()
}

/// Stands for "nothing committed".
fn or_none(committed: Result) -> Committed {
    committed.ok().flatten().unwrap_or(Committed {
        offset: -1,
        leader_epoch: -1,
        metadata: String::new(),
    })
}

fn answer_one(found: Found) -> Vec<OffsetFetchResponseTopic> {
    let topics = found.into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|(partition, committed)| {
            let error = code(&committed);
            let committed = or_none(committed);
            OffsetFetchResponsePartition::default()
                .with_partition_index(partition)
                .with_error_code(error)
                .with_committed_offset(committed.offset)
                .with_committed_leader_epoch(committed.leader_epoch)
                .with_metadata(Some(text(committed.metadata)))
        });
        OffsetFetchResponseTopic::default()
            .with_name(topic)
            .with_partitions(partitions.collect())
    });
    topics.collect()
}

fn answer_several(found: Found) -> Vec<OffsetFetchResponseTopics> {
    let topics = found.into_iter().map(|(topic, partitions)| {
        let partitions = partitions.into_iter().map(|(partition, committed)| {
            let error = code(&committed);
            let committed = or_none(committed);
            OffsetFetchResponsePartitions::default()
                .with_partition_index(partition)
                .with_error_code(error)
                .with_committed_offset(committed.offset)
                .with_committed_leader_epoch(committed.leader_epoch)
                .with_metadata(Some(text(committed.metadata)))
        });
        OffsetFetchResponseTopics::default()
            .with_name(topic)
            .with_partitions(partitions.collect())
    });
    topics.collect()
}
