//! Topics, configurations and groups through the admin API.

use rdkafka::admin::{AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::FutureRecord;

use crate::support::{DEADLINE, TestBroker, assigned, poll_until, take};

async fn create_error(test: &TestBroker, topic: NewTopic<'_>) -> RDKafkaErrorCode {
    let results = test
        .admin()
        .create_topics([&topic], &AdminOptions::new())
        .await;
    results.unwrap().remove(0).unwrap_err().1
}

#[tokio::test]
async fn a_topic_that_cannot_be_is_refused_with_the_reason() {
    let test = TestBroker::with_topics(&[("there", 1)]).await;
    let new = |name, partitions| NewTopic::new(name, partitions, TopicReplication::Fixed(1));

    for (topic, expected) in [
        (new("there", 1), RDKafkaErrorCode::TopicAlreadyExists),
        (new("no spaces", 1), RDKafkaErrorCode::InvalidTopic),
        (new("t", 0), RDKafkaErrorCode::InvalidPartitions),
        (new("t", 20_000), RDKafkaErrorCode::InvalidPartitions),
        (
            NewTopic::new("t", 1, TopicReplication::Fixed(3)),
            RDKafkaErrorCode::InvalidReplicationFactor,
        ),
        (
            new("t", 1).set("retention.ms", "soon"),
            RDKafkaErrorCode::InvalidConfig,
        ),
        (
            new("t", 1).set("retention", "1"),
            RDKafkaErrorCode::InvalidConfig,
        ),
    ] {
        assert_eq!(create_error(&test, topic).await, expected);
    }
    let consumer: BaseConsumer = test.group("g").create().unwrap();
    let topics = consumer.fetch_metadata(None, DEADLINE).unwrap();
    assert_eq!(topics.topics().len(), 1, "nothing was created");
}

#[tokio::test]
async fn validating_creates_nothing() {
    let test = TestBroker::start().await;
    let topic = NewTopic::new("t", 1, TopicReplication::Fixed(1));
    let validate = AdminOptions::new().validate_only(true);

    test.admin()
        .create_topics([&topic], &validate)
        .await
        .unwrap()
        .remove(0)
        .unwrap();

    test.create_topic(&topic).await;
}

#[tokio::test]
async fn a_missing_topic_is_never_created_by_a_client() {
    let test = TestBroker::start().await;
    let producer: rdkafka::producer::FutureProducer = test
        .client()
        .set("topic.metadata.propagation.max.ms", "0")
        .set("message.timeout.ms", "20000")
        .create()
        .unwrap();

    let refused = producer
        .send(
            FutureRecord::<(), str>::to("missing").payload("x"),
            DEADLINE,
        )
        .await;

    let code = refused.unwrap_err().0.rdkafka_error_code().unwrap();
    assert!(
        matches!(
            code,
            RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition
        ),
        "{code}"
    );
}

#[tokio::test]
async fn partitions_grow_and_never_shrink() {
    let test = TestBroker::with_topics(&[("t", 2)]).await;
    let admin = test.admin();
    let grow = async |count| {
        let results = admin
            .create_partitions([&NewPartitions::new("t", count)], &AdminOptions::new())
            .await;
        results.unwrap().remove(0)
    };

    grow(5).await.unwrap();

    let refused = grow(3).await.unwrap_err().1;
    assert_eq!(refused, RDKafkaErrorCode::InvalidPartitions);
    let consumer: BaseConsumer = test.group("g").create().unwrap();
    let metadata = consumer.fetch_metadata(Some("t"), DEADLINE).unwrap();
    assert_eq!(metadata.topics()[0].partitions().len(), 5);
}

#[tokio::test]
async fn a_deleted_topic_is_gone_with_its_records_and_offsets() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    test.send("t", &["old"]).await;
    let consumer = test.consumer("g", &["t"]);
    take(&consumer, 1);
    consumer.commit_consumer_state(CommitMode::Sync).unwrap();
    drop(consumer);
    let admin = test.admin();

    let deleted = admin.delete_topics(&["t"], &AdminOptions::new()).await;
    deleted.unwrap().remove(0).unwrap();
    let again = admin.delete_topics(&["t"], &AdminOptions::new()).await;

    let refused = again.unwrap().remove(0).unwrap_err().1;
    assert!(
        matches!(
            refused,
            RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition
        ),
        "{refused}"
    );
    test.create_topic(&NewTopic::new("t", 1, TopicReplication::Fixed(1)))
        .await;
    test.send("t", &["new"]).await;
    let records = take(&test.consumer("g", &["t"]), 1);
    assert_eq!(crate::support::text(&records[0]), "new");
}

#[tokio::test]
async fn configurations_are_described_with_their_source_and_survive_a_restart() {
    let test = TestBroker::start().await;
    let topic = NewTopic::new("t", 1, TopicReplication::Fixed(1)).set("retention.ms", "1234");
    test.create_topic(&topic).await;

    let test = test.restart().await;

    let described = test
        .admin()
        .describe_configs([&ResourceSpecifier::Topic("t")], &AdminOptions::new())
        .await
        .unwrap()
        .remove(0)
        .unwrap();
    let retention = described.get("retention.ms").unwrap();
    assert_eq!(retention.value.as_deref(), Some("1234"));
    assert_eq!(retention.source, rdkafka::admin::ConfigSource::DynamicTopic);
    let cleanup = described.get("cleanup.policy").unwrap();
    assert_eq!(cleanup.value.as_deref(), Some("delete"));
    assert!(cleanup.is_default || cleanup.source == rdkafka::admin::ConfigSource::Default);
}

#[tokio::test]
async fn groups_are_listed_and_deleted_when_nobody_is_in_them() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    test.send("t", &["a"]).await;
    let consumer = test.consumer("g", &["t"]);
    take(&consumer, 1);
    consumer.commit_consumer_state(CommitMode::Sync).unwrap();
    let admin = test.admin();

    let groups = consumer.fetch_group_list(None, DEADLINE).unwrap();
    let group = &groups.groups()[0];
    assert_eq!(
        (group.name(), group.state(), group.members().len()),
        ("g", "Stable", 1)
    );
    let refused = admin
        .delete_groups(&["g"], &AdminOptions::new())
        .await
        .unwrap();
    assert_eq!(
        refused[0].as_ref().unwrap_err().1,
        RDKafkaErrorCode::NonEmptyGroup
    );
    drop(consumer);
    let deleted = admin
        .delete_groups(&["g"], &AdminOptions::new())
        .await
        .unwrap();
    deleted[0].as_ref().unwrap();

    let observer: BaseConsumer = test.group("observer").create().unwrap();
    assert!(
        observer
            .fetch_group_list(Some("g"), DEADLINE)
            .unwrap()
            .groups()
            .iter()
            .all(|group| group.state() != "Stable" && group.members().is_empty())
    );
}

#[tokio::test]
async fn a_topic_that_grows_is_noticed_by_its_consumers() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let consumer: BaseConsumer = test
        .group("g")
        .set("topic.metadata.refresh.interval.ms", "200")
        .create()
        .unwrap();
    consumer.subscribe(&["t"]).unwrap();
    poll_until(&[&consumer], "the member has the partition", || {
        assigned(&consumer) == 1
    });

    let grown = test
        .admin()
        .create_partitions([&NewPartitions::new("t", 3)], &AdminOptions::new())
        .await;
    grown.unwrap().remove(0).unwrap();

    poll_until(&[&consumer], "the member has all three", || {
        assigned(&consumer) == 3
    });
}
