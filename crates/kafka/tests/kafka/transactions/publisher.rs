//! Batches of tools: whole or not at all, by whoever has begun last.

use longshore_broker::faults::{ApiKey, Effect, Fault, ResponseError};
use longshore_broker::{Broker, BrokerConfig};
use longshore_kafka::{NotPublished, TransactionalPublisher};
use longshore_worker::{PublishError, PublishErrorKind};

use super::*;

fn publisher(connection: &Connection, group: &str) -> TransactionalPublisher {
    let publisher = TransactionalPublisher::new(connection, group, "redrive", TIMEOUT);
    publisher.expect("valid properties")
}

async fn begin(publisher: &TransactionalPublisher) {
    within("to begin", publisher.begin()).await.expect("begun");
}

async fn publish(
    publisher: &TransactionalPublisher,
    topic: &str,
    values: &[&str],
) -> Result<(), NotPublished> {
    let records = values.iter().map(|value| outgoing(topic, "k", value));
    let published = publisher.publish(records.collect());
    within("an answer", published).await
}

#[tokio::test]
async fn a_publisher_that_begins_ends_what_another_left_open() {
    let (topic, group) = (new_topic("redriven", 1).await, unique("g"));
    let killed = transactional_producer(&format!("{group}/redrive/longshore"));
    killed.init_transactions(DEADLINE).expect("initialised");
    killed.begin_transaction().expect("begun");
    let record = BaseRecord::to(&topic).key("k").payload("lost");
    killed.send(record).expect("queued");
    killed.flush(DEADLINE).expect("sent");

    begin(&publisher(&connection(), &group)).await;

    assert_eq!(committed_values(&topic).await, [""; 0]);
}

#[tokio::test]
async fn a_publisher_is_fenced_by_the_next_of_its_group_until_it_begins_again() {
    let (topic, group) = (new_topic("redriven", 1).await, unique("g"));
    let first = publisher(&connection(), &group);
    begin(&first).await;
    publish(&first, &topic, &["a", "b"]).await.expect("first");
    let second = publisher(&connection(), &group);
    begin(&second).await;
    let elsewhere = publisher(&connection(), &unique("other"));
    begin(&elsewhere).await;

    for _ in 0..2 {
        let fenced = publish(&first, &topic, &["c"]).await.expect_err("fenced");
        assert!(matches!(fenced, NotPublished::Fenced { .. }), "{fenced:?}");
    }
    publish(&second, &topic, &["d"]).await.expect("not fenced");
    assert_eq!(committed_values(&topic).await, ["a", "b", "d"]);

    begin(&first).await;
    publish(&first, &topic, &["e"]).await.expect("begun again");
    assert_eq!(committed_values(&topic).await, ["a", "b", "d", "e"]);
}

#[tokio::test]
async fn a_batch_with_a_record_that_is_too_large_is_refused_as_a_whole() {
    let (topic, group) = (unique("small"), unique("g"));
    create(&topic, &[("max.message.bytes", "4000")]).await;
    let plain = connection().property("compression.codec", "none");
    let publisher = publisher(&plain, &group);
    begin(&publisher).await;
    let (large, fitting) = ("x".repeat(5000), "y".repeat(3000));

    // First, for all that is known, they might be too large only together.
    let together = publish(&publisher, &topic, &["a", &large]).await;
    let Err(NotPublished::Interrupted { source }) = together else {
        panic!("{together:?}");
    };
    let source = source.downcast_ref::<PublishError>();
    assert!(source.is_some_and(|error| error.kind == PublishErrorKind::TooLarge));
    let not_begun = publish(&publisher, &topic, &["b"]).await;
    assert!(matches!(not_begun, Err(NotPublished::Interrupted { .. })));

    begin(&publisher).await;
    let alone = publish(&publisher, &topic, &["a", &large, "b"]).await;
    let Err(NotPublished::Refused(refused)) = alone else {
        panic!("{alone:?}");
    };
    assert_eq!(refused.kind, PublishErrorKind::TooLarge);
    for value in ["a", "b", &fitting] {
        let alone = publish(&publisher, &topic, &[value]).await;
        alone.expect("the others go");
    }
    let several = publish(&publisher, &topic, &[&fitting, &fitting]).await;
    several.expect("one a request");
    assert_eq!(committed_values(&topic).await.len(), 5);
}

#[tokio::test]
async fn that_a_topic_is_not_let_into_a_transaction_is_told() {
    let data = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(BrokerConfig::new(data.path())).await;
    let broker = broker.expect("the embedded broker starts");
    let connection = Connection::new(broker.bootstrap());
    let admin = Admin::connect(&connection).expect("valid");
    let topic = NewTopic {
        name: "t".to_owned(),
        partitions: 1,
        replication: 1,
        configs: BTreeMap::new(),
    };
    admin.create_topics(&[topic]).await.expect("created");
    let refusal = Effect::Fail(ResponseError::TopicAuthorizationFailed);
    let refusal = Fault::new(ApiKey::AddPartitionsToTxn, refusal);
    broker.faults().inject(refusal).expect("possible");
    let publisher = publisher(&connection, "g");
    begin(&publisher).await;

    let refused = publish(&publisher, "t", &["a"]).await;

    // librdkafka fails over the end of a transaction that never began.
    let Err(NotPublished::Interrupted { source }) = refused else {
        panic!("{refused:?}");
    };
    let error = source.downcast_ref::<PublishError>();
    let error = error.expect("it is about the topic");
    assert_eq!(error.kind, PublishErrorKind::Refused, "{error:?}");
    begin(&publisher).await;
    publish(&publisher, "t", &["b"]).await.expect("it goes on");
    broker.shutdown().await;
}

#[tokio::test]
async fn what_is_given_up_is_aborted() {
    let data = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(BrokerConfig::new(data.path())).await;
    let broker = broker.expect("the embedded broker starts");
    let connection = Connection::new(broker.bootstrap());
    let admin = Admin::connect(&connection).expect("valid");
    let topic = NewTopic {
        name: "t".to_owned(),
        partitions: 1,
        replication: 1,
        configs: BTreeMap::new(),
    };
    admin.create_topics(&[topic]).await.expect("created");
    let publisher = publisher(&connection, "g");
    begin(&publisher).await;
    publish(&publisher, "t", &["a"]).await.expect("published");
    let late = Effect::Delay(Duration::from_secs(10));
    let late = broker.faults().inject(Fault::new(ApiKey::Produce, late));
    let late = late.expect("possible");
    let publishing = publisher.publish(vec![outgoing("t", "k", "b")]);
    let giving_up = async {
        let met = eventually("the transaction to be under way", DEADLINE, async || {
            if late.met() > 0 { Ok(()) } else { Err(()) }
        });
        met.await;
        publisher.give_up();
    };
    let (given_up, ()) = within("an answer", async { tokio::join!(publishing, giving_up) }).await;

    assert!(
        matches!(given_up, Err(NotPublished::Interrupted { .. })),
        "{given_up:?}"
    );
    let after = within(
        "an answer",
        publisher.publish(vec![outgoing("t", "k", "d")]),
    )
    .await;
    assert!(matches!(after, Err(NotPublished::Interrupted { .. })));
    let ends_agree = eventually("no transaction to be open", DEADLINE, async || {
        let written = admin.high_watermarks("t").await.expect("told");
        let bounds = admin.offsets("t").await.expect("told");
        if bounds[0].end == written[0].1 {
            Ok(())
        } else {
            Err(bounds)
        }
    });
    ends_agree.await;
    broker.shutdown().await;
}
