//! The cluster, topics and their configuration.

use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use kafka_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use kafka_protocol::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, DescribeClusterRequest};

use super::{name, text};
use crate::raw::RawClient;

const TOPIC: i8 = 2;

pub(super) async fn api_versions(client: &mut RawClient, version: i16) {
    let answer = client.call(version, &ApiVersionsRequest::default()).await;

    assert_eq!(answer.error_code, 0);
    assert!(
        answer
            .api_keys
            .iter()
            .any(|api| api.api_key == ApiKey::Fetch as i16)
    );
}

pub(super) async fn metadata(client: &mut RawClient, version: i16) {
    let asked = |topic| MetadataRequestTopic::default().with_name(Some(name(topic)));
    let all = (version > 0)
        .then_some(())
        .map_or(Some(Vec::new()), |()| None);

    let all = client
        .call(version, &MetadataRequest::default().with_topics(all))
        .await;
    let request = MetadataRequest::default().with_topics(Some(vec![asked("t"), asked("x")]));
    let two = client.call(version, &request).await;

    assert_eq!((all.brokers.len(), all.topics.len()), (1, 1));
    let codes: Vec<i16> = two.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes, [0, 3]);
    assert_eq!(
        two.topics[0].partitions[0].leader_id,
        two.brokers[0].node_id
    );
}

pub(super) async fn describe_cluster(client: &mut RawClient, version: i16) {
    let answer = client
        .call(version, &DescribeClusterRequest::default())
        .await;

    assert_eq!((answer.error_code, answer.brokers.len()), (0, 1));
}

pub(super) async fn create_topics(client: &mut RawClient, version: i16) {
    let topic = CreatableTopic::default()
        .with_name(name("created"))
        .with_num_partitions(2)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]);

    let created = client.call(version, &request).await;
    let again = client.call(version, &request).await;

    assert_eq!(
        (created.topics[0].error_code, again.topics[0].error_code),
        (0, 36)
    );
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![name("created")]);
    client.call(1, &delete).await;
}

pub(super) async fn delete_topics(client: &mut RawClient, version: i16) {
    let topic = CreatableTopic::default()
        .with_name(name("deleted"))
        .with_num_partitions(1)
        .with_replication_factor(1);
    client
        .call(2, &CreateTopicsRequest::default().with_topics(vec![topic]))
        .await;
    let request = if version >= 6 {
        let by_name = DeleteTopicState::default().with_name(Some(name("deleted")));
        DeleteTopicsRequest::default().with_topics(vec![by_name])
    } else {
        DeleteTopicsRequest::default().with_topic_names(vec![name("deleted")])
    };

    let deleted = client.call(version, &request).await;
    let again = client.call(version, &request).await;

    assert_eq!(
        (
            deleted.responses[0].error_code,
            again.responses[0].error_code
        ),
        (0, 3)
    );
}

pub(super) async fn create_partitions(client: &mut RawClient, version: i16) {
    let grow = |topic, count| {
        let topic = CreatePartitionsTopic::default()
            .with_name(name(topic))
            .with_count(count)
            .with_assignments(None);
        CreatePartitionsRequest::default()
            .with_topics(vec![topic])
            .with_validate_only(true)
    };

    let more = client.call(version, &grow("t", 5)).await;
    let fewer = client.call(version, &grow("t", 1)).await;

    assert_eq!(
        (more.results[0].error_code, fewer.results[0].error_code),
        (0, 37)
    );
}

pub(super) async fn describe_configs(client: &mut RawClient, version: i16) {
    let resource = |topic| {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(topic))
            .with_configuration_keys(None);
        DescribeConfigsRequest::default()
            .with_resources(vec![resource])
            .with_include_synonyms(true)
    };

    let described = client.call(version, &resource("t")).await;
    let missing = client.call(version, &resource("x")).await;

    assert!(described.results[0].configs.len() > 20);
    assert_eq!(
        (
            described.results[0].error_code,
            missing.results[0].error_code
        ),
        (0, 3)
    );
}

pub(super) async fn alter_configs(client: &mut RawClient, version: i16) {
    let set = |value| {
        let config = AlterableConfig::default()
            .with_name(text("retention.ms"))
            .with_value(Some(text(value)));
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text("t"))
            .with_configs(vec![config]);
        IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
    };

    let altered = client.call(version, &set("5000")).await;
    let refused = client.call(version, &set("soon")).await;

    assert_eq!(
        (
            altered.responses[0].error_code,
            refused.responses[0].error_code
        ),
        (0, 40)
    );
}
