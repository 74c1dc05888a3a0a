//! Facts about the brokers that tests run on, whichever is chosen.

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

#[test]
fn prefixes_differ() {
    let broker = TestBroker::shared();
    assert_ne!(broker.prefix(), broker.prefix());
}
