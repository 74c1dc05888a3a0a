//! Facts about the brokers that tests run on, whichever is chosen.

use std::collections::BTreeMap;

use longshore_kafka::NewTopic;
use longshore_testkit::broker::faults::{ApiKey, Effect, Fault};
use longshore_testkit::broker::{BrokerKind, TestBroker};

#[tokio::test]
async fn the_shared_broker_takes_topics() {
    let broker = TestBroker::shared();
    let topic = format!("{}-topic", broker.prefix());

    broker.create_topics(&[(&topic, 3)]).await;

    let found = broker.admin().topic(&topic).await.expect("created");
    assert_eq!(found.partitions, 3);
}

#[tokio::test]
async fn an_own_broker_comes_back_with_what_it_had() {
    let broker = TestBroker::own(&["kept"]).await;
    broker.create_topics(&[("kept", 2)]).await;
    if broker.kind() == BrokerKind::External {
        assert!(broker.stop().await.is_err());
        return;
    }

    broker.stop().await.expect("stops");
    let address = broker.bootstrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    broker.restart().await.expect("starts");

    let found = broker.admin().topic("kept").await.expect("still there");
    assert_eq!(found.partitions, 2);
}

#[tokio::test]
async fn an_embedded_broker_misbehaves_when_told_to_until_it_is_restarted() {
    let broker = TestBroker::own(&[]).await;
    if broker.kind() != BrokerKind::Embedded {
        assert!(broker.faults().await.is_err());
        return;
    }
    let lost = Fault::new(ApiKey::CreateTopics, Effect::DropDone);

    let faults = broker.faults().await.expect("embedded");
    let injected = faults.inject(lost.clone()).expect("no error answer");
    let topic = NewTopic {
        name: "lost-and-found".to_owned(),
        partitions: 1,
        replication: 1,
        configs: BTreeMap::new(),
    };
    assert!(broker.admin().create_topics(&[topic]).await.is_err());
    assert_eq!(injected.met(), 1);
    let found = broker.admin().topic("lost-and-found").await;
    assert_eq!(found.expect("created").partitions, 1);

    let again = faults.inject(lost).expect("no error answer");
    broker.stop().await.expect("stops");
    assert!(broker.faults().await.is_err(), "stopped");
    broker.restart().await.expect("starts");
    broker.create_topics(&[("after", 1)]).await;
    assert_eq!(again.met(), 0);
}

#[test]
fn prefixes_differ() {
    let broker = TestBroker::shared();
    assert_ne!(broker.prefix(), broker.prefix());
}
