//! Administration: topics are what they were declared to be, and mistakes are refused.

use longshore_kafka::KafkaError;
use longshore_testkit::broker::TestBroker;
use longshore_testkit::wait::eventually;
use rdkafka::error::RDKafkaErrorCode;

use super::{new_topic, topic};
use crate::support::client::{Sent, WITHIN, producer, send};

#[tokio::test]
async fn a_topic_is_described_as_it_was_created_and_altered() {
    let broker = TestBroker::shared();
    let (name, admin) = (broker.prefix(), broker.admin());
    let new = new_topic(&name, 3, &[("retention.ms", "60000")]);

    admin.create_topics(&[new]).await.expect("created");
    let changes = [("cleanup.policy", Some("compact")), ("retention.ms", None)];
    let before = admin.topic(&name).await.expect("described");
    admin.alter_configs(&name, &changes).await.expect("altered");
    admin.add_partitions(&name, 5).await.expect("grown");

    assert_eq!(before.partitions, 3);
    assert_eq!(before.replication, 1);
    let config = &before.configs["retention.ms"];
    assert_eq!(config.value.as_deref(), Some("60000"));
    assert!(!config.is_default);
    eventually("the changes", WITHIN, async || {
        let after = admin.topic(&name).await.expect("described");
        let policy = &after.configs["cleanup.policy"];
        let retention = &after.configs["retention.ms"];
        let changed = after.partitions == 5
            && policy.value.as_deref() == Some("compact")
            && retention.is_default;
        changed.then_some(()).ok_or(after)
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let (broker, there) = topic(3).await;
    let admin = broker.admin();
    let create = async |topic| admin.create_topics(&[topic]).await;

    let again = create(new_topic(&there, 3, &[])).await;
    let misnamed = create(new_topic("no spaces", 1, &[])).await;
    let misconfigured = create(new_topic(&broker.prefix(), 1, &[("no.such", "1")])).await;
    let misvalued = create(new_topic(&broker.prefix(), 1, &[("retention.ms", "x")])).await;
    let shrunk = admin.add_partitions(&there, 2).await;
    let unknown = admin.delete_topics(&[&broker.prefix()]).await;

    assert!(
        matches!(again, Err(KafkaError::TopicExists { .. })),
        "{again:?}"
    );
    assert!(
        matches!(misnamed, Err(KafkaError::Refused { .. })),
        "{misnamed:?}"
    );
    assert!(
        matches!(misconfigured, Err(KafkaError::Refused { .. })),
        "{misconfigured:?}"
    );
    assert!(
        matches!(misvalued, Err(KafkaError::Refused { .. })),
        "{misvalued:?}"
    );
    assert!(
        matches!(shrunk, Err(KafkaError::Refused { .. })),
        "{shrunk:?}"
    );
    assert!(
        matches!(unknown, Err(KafkaError::UnknownTopic { .. })),
        "{unknown:?}"
    );
    assert_eq!(admin.topic(&there).await.expect("there").partitions, 3);
}

#[tokio::test]
async fn a_deleted_topic_is_gone_with_its_records() {
    let (broker, name) = topic(1).await;
    let (admin, producer) = (broker.admin(), producer(broker.bootstrap(), &[]));
    let sent = Sent::new("k", "v");
    send(&producer, &name, &sent).await.expect("sent");

    admin.delete_topics(&[&name]).await.expect("deleted");

    eventually("the topic gone", WITHIN, async || {
        match admin.topic(&name).await {
            Err(KafkaError::UnknownTopic { .. }) => Ok(()),
            other => Err(other),
        }
    })
    .await;
    // Apache Kafka deletes in the background, and refuses the name until it is done.
    eventually("the topic again", WITHIN, async || {
        admin.create_topics(&[new_topic(&name, 1, &[])]).await
    })
    .await;
    let bounds = admin.offsets(&name).await.expect("told");
    assert_eq!(bounds[0].end.0, 0);
}

#[tokio::test]
async fn sending_does_not_create_a_topic() {
    let broker = TestBroker::shared();
    let name = broker.prefix();
    let producer = producer(broker.bootstrap(), &[("message.timeout.ms", "2000")]);

    let refused = send(&producer, &name, &Sent::new("k", "v")).await;

    let code = refused.expect_err("no topic").rdkafka_error_code();
    let expected = [
        RDKafkaErrorCode::UnknownTopic,
        RDKafkaErrorCode::UnknownTopicOrPartition,
        RDKafkaErrorCode::MessageTimedOut,
    ];
    assert!(
        code.is_some_and(|code| expected.contains(&code)),
        "{code:?}"
    );
    let found = broker.admin().topic(&name).await;
    assert!(matches!(found, Err(KafkaError::UnknownTopic { .. })));
}
