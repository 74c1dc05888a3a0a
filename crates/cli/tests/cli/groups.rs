//! Consumer groups.

use std::time::Duration;

use longshore_event::TopicPartition;
use longshore_kafka::{Connection, KafkaSource};
use longshore_worker::{Source, SourceEvent};

use crate::support::Shop;

const DEADLINE: Duration = Duration::from_secs(30);

/// Reads `count` records as a member of the group `shop`, and commits them.
async fn consume(shop: &Shop, count: usize) -> KafkaSource {
    let connection = Connection::new(shop.brokers());
    let topics = ["order.created".to_owned()];
    let source = KafkaSource::subscribe(&connection, "shop", &topics, 100, Duration::from_secs(1));
    let mut source = source.await.expect("subscribed");
    let mut read = 0;
    while read < count {
        let event = tokio::time::timeout(DEADLINE, source.next())
            .await
            .expect("records in time");
        if let SourceEvent::Records(records) = event {
            read += records.len();
            for record in records {
                source.commit(&[(record.partition.clone(), record.offset.next())]);
            }
        }
    }
    source
}

#[tokio::test]
async fn a_group_is_described_with_its_members_and_lag() {
    let shop = Shop::with_topics().await;
    let line = b"{\"orderId\":\"o-1\",\"total\":1}\n";
    let produce = ["produce", "order.created", "--file", "-"];
    shop.run_with(&produce, &line.repeat(3)).await.done();
    let source = consume(&shop, 3).await;
    shop.run_with(&produce, &line.repeat(2)).await.done();

    let list = shop.run(&["groups", "list"]).await.done();
    assert!(list.lines().any(|line| line.starts_with("shop")), "{list}");

    // The commit is in the background: wait until it is there.
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let partition = loop {
        let group = shop
            .run(&["groups", "describe", "shop", "--json"])
            .await
            .json()
            .remove(0);
        assert_eq!(
            group["members"].as_array().map(Vec::len),
            Some(1),
            "{group}"
        );
        let partitions = group["partitions"].as_array().expect("partitions").clone();
        let found = partitions
            .into_iter()
            .find(|partition| partition["committed"] == 3);
        if let Some(partition) = found {
            break partition;
        }
        assert!(tokio::time::Instant::now() < deadline, "{group}");
    };
    assert_eq!(
        (&partition["end"], &partition["lag"]),
        (&5.into(), &2.into())
    );
    let text = shop.run(&["groups", "describe", "shop"]).await.done();
    assert!(text.starts_with("shop: Stable"), "{text}");
    assert!(text.contains("lag 2"), "{text}");
    let number = partition["partition"].as_i64().expect("a number");
    let name = TopicPartition::new("order.created", i32::try_from(number).expect("small"));
    assert!(text.contains(&name.to_string()), "{text}");
    drop(source);
}

#[tokio::test]
async fn an_unknown_group_is_an_error() {
    let shop = Shop::open().await;
    let error = shop.run(&["groups", "describe", "nobody"]).await.failed();
    assert!(error.contains("nobody"), "{error}");
}
