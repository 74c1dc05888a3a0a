//! Leader epochs: where a leader's records end, by which a consumer sees that a log was cut, and what a leader says to
//! whoever has heard of a later one (KIP-320).

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    BrokerId, FetchRequest, ListOffsetsRequest, MetadataRequest, OffsetForLeaderEpochRequest,
    TopicName,
};
use kafka_protocol::protocol::StrBytes;
use longshore_testkit::broker::TestBroker;
use longshore_testkit::wait::eventually;

use super::raw::call;
use super::topic;
use crate::support::client::{Sent, WITHIN, producer, send};

/// Epoch and end offset of an epoch that has not been.
const UNDEFINED: (i32, i64) = (-1, -1);

/// What a consumer says instead of the id of a replica.
const CONSUMER: BrokerId = BrokerId(-1);

/// What a request says instead of the epoch it takes for the current one.
const UNKNOWN: i32 = -1;

/// Who leads a partition, and in which epoch.
struct Leader {
    address: String,
    epoch: i32,
}

impl Leader {
    /// The leader of partition 0, once it knows that it is.
    async fn of(broker: &TestBroker, topic: &str) -> Self {
        let first = broker.bootstrap().split(',').next().expect("an address");
        eventually("a leader", WITHIN, async || {
            let leader = Self::named_by(first, topic).await.ok_or(None)?;
            match leader.end(topic, leader.epoch).await {
                (None, _) => Ok(leader),
                (error, _) => Err(error),
            }
        })
        .await
    }

    /// The leader of partition 0 that the broker at `address` knows of.
    async fn named_by(address: &str, topic: &str) -> Option<Self> {
        let topic = MetadataRequestTopic::default().with_name(Some(name(topic)));
        let request = MetadataRequest::default().with_topics(Some(vec![topic]));
        let told = call(address, 9, &request).await;
        let partition = told.topics[0].partitions.first()?;
        let mut brokers = told.brokers.iter();
        let leader = brokers.find(|broker| broker.node_id == partition.leader_id)?;
        Some(Self {
            address: format!("{}:{}", &*leader.host, leader.port),
            epoch: partition.leader_epoch,
        })
    }

    /// What it answers when asked, by somebody who takes `current` for its epoch, for the end of `epoch`: the error,
    /// the epoch and the end offset.
    async fn end_of(
        &self,
        (topic, partition): (&str, i32),
        current: i32,
        epoch: i32,
    ) -> (Option<ResponseError>, (i32, i64)) {
        let partition = OffsetForLeaderPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(current)
            .with_leader_epoch(epoch);
        let topic = OffsetForLeaderTopic::default()
            .with_topic(name(topic))
            .with_partitions(vec![partition]);
        let request = OffsetForLeaderEpochRequest::default()
            .with_replica_id(CONSUMER)
            .with_topics(vec![topic]);
        let answer = call(&self.address, 4, &request).await;
        let found = &answer.topics[0].partitions[0];
        let error = ResponseError::try_from_code(found.error_code);
        (error, (found.leader_epoch, found.end_offset))
    }

    /// What it answers when asked for the end of partition 0 by somebody who takes `current` for its epoch: the error, the
    /// epoch and the offset.
    async fn end(&self, topic: &str, current: i32) -> (Option<ResponseError>, (i32, i64)) {
        const LATEST: i64 = -1;
        let partition = ListOffsetsPartition::default()
            .with_timestamp(LATEST)
            .with_current_leader_epoch(current);
        let topic = ListOffsetsTopic::default()
            .with_name(name(topic))
            .with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default()
            .with_replica_id(CONSUMER)
            .with_topics(vec![topic]);
        let answer = call(&self.address, 4, &request).await;
        let found = &answer.topics[0].partitions[0];
        let error = ResponseError::try_from_code(found.error_code);
        (error, (found.leader_epoch, found.offset))
    }

    /// The error of a fetch of partition 0 by somebody who takes `current` for its epoch.
    async fn fetch(&self, topic: &str, current: i32) -> Option<ResponseError> {
        let partition = FetchPartition::default().with_current_leader_epoch(current);
        let topic = FetchTopic::default()
            .with_topic(name(topic))
            .with_partitions(vec![partition]);
        let request = FetchRequest::default()
            .with_replica_id(CONSUMER)
            .with_topics(vec![topic]);
        let answer = call(&self.address, 12, &request).await;
        ResponseError::try_from_code(answer.responses[0].partitions[0].error_code)
    }
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

#[tokio::test]
async fn the_present_epoch_ends_where_the_log_does() {
    let (broker, topic) = topic(1).await;
    let leader = Leader::of(broker, &topic).await;
    let end = async |current| leader.end_of((&topic, 0), current, leader.epoch).await;
    let empty = end(leader.epoch).await;
    let producer = producer(broker.bootstrap(), &[]);
    for value in ["0", "1", "2"] {
        let sent = Sent::new("k", value);
        send(&producer, &topic, &sent).await.expect("sent");
    }

    let (known, unknown) = (end(leader.epoch).await, end(UNKNOWN).await);

    assert_eq!(empty, (None, (leader.epoch, 0)));
    assert_eq!(known, (None, (leader.epoch, 3)));
    assert_eq!(unknown, known);
}

#[tokio::test]
async fn an_epoch_that_has_not_been_has_no_end() {
    let (broker, topic) = topic(1).await;
    let leader = Leader::of(broker, &topic).await;
    let next = leader.epoch + 1;
    let at = (topic.as_str(), 0);

    let future = leader.end_of(at, leader.epoch, next).await;
    let none = leader.end_of(at, leader.epoch, UNKNOWN).await;

    assert_eq!(future, (None, UNDEFINED));
    assert_eq!(none, (None, UNDEFINED));
}

#[tokio::test]
async fn whoever_has_heard_of_a_later_leader_learns_nothing_from_this_one() {
    let (broker, topic) = topic(1).await;
    let leader = Leader::of(broker, &topic).await;
    let next = leader.epoch + 1;

    let end_of_epoch = leader.end_of((&topic, 0), next, leader.epoch).await;
    let end = leader.end(&topic, next).await;
    let fetched = leader.fetch(&topic, next).await;

    let refused = Some(ResponseError::UnknownLeaderEpoch);
    assert_eq!(end_of_epoch, (refused, UNDEFINED));
    assert_eq!(end, (refused, UNDEFINED));
    assert_eq!(fetched, refused);
    let present = leader.end(&topic, leader.epoch).await;
    assert_eq!(present, (None, (leader.epoch, 0)));
    assert_eq!(leader.fetch(&topic, leader.epoch).await, None);
}

#[tokio::test]
async fn a_partition_that_is_not_there_has_no_epochs() {
    let (broker, topic) = topic(1).await;
    let leader = Leader::of(broker, &topic).await;
    let absent = broker.prefix();

    let partition = leader.end_of((&topic, 1), UNKNOWN, 0).await;
    let topic = leader.end_of((&absent, 0), UNKNOWN, 0).await;

    let unknown = (Some(ResponseError::UnknownTopicOrPartition), UNDEFINED);
    assert_eq!((partition, topic), (unknown, unknown));
}
