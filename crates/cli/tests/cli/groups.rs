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
    assert!(text.contains("1 member, lag 2"), "{text}");
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

/// `partition: from -> to` of every partition that a seek names.
fn moves(seek: &serde_json::Value) -> Vec<(i64, Option<i64>, i64)> {
    let partitions = seek["partitions"].as_array().expect("partitions");
    let number = |value: &serde_json::Value| value.as_i64();
    let line = |line: &serde_json::Value| {
        let (partition, to) = (number(&line["partition"]), number(&line["to"]));
        (
            partition.expect("a number"),
            number(&line["from"]),
            to.expect("a number"),
        )
    };
    partitions.iter().map(line).collect()
}

#[tokio::test]
async fn a_group_without_members_is_moved_when_it_is_meant() {
    let shop = Shop::with_topics().await;
    let line = b"{\"orderId\":\"o-1\",\"total\":1}\n";
    let produce = ["produce", "order.created", "--file", "-"];
    shop.run_with(&produce, &line.repeat(5)).await.done();
    let seek = async |arguments: &[&str]| {
        let seek = [
            "groups",
            "seek",
            "shop",
            "--topic",
            "order.created",
            "--json",
        ];
        shop.run(&[&seek[..], arguments].concat()).await
    };
    let total = |run: &serde_json::Value| moves(run).iter().map(|(_, _, to)| to).sum::<i64>();

    let dry = seek(&["--to", "end"]).await;
    assert!(dry.stderr.contains("--yes does it"), "{dry:?}");
    assert_eq!(total(&dry.json()[0]), 5);
    let done = seek(&["--to", "end", "--yes"]).await.json().remove(0);
    assert!(
        moves(&done).iter().all(|(_, from, _)| from.is_none()),
        "the dry run changed nothing: {done}"
    );

    for (to, expected) in [
        ("-2", 3),
        ("4", 4),
        ("99", 5),
        ("1h", 0),
        ("1d", 0),
        ("beginning", 0),
    ] {
        let run = seek(&["--to", to, "--yes"]).await.json().remove(0);
        assert_eq!(total(&run), expected, "{to}: {run}");
    }
    let text = shop
        .run(&["groups", "seek", "shop", "--to", "end"])
        .await
        .done();
    assert!(
        text.lines().any(|line| line.split_whitespace().eq([
            "PARTITION",
            "FROM",
            "TO",
            "CHANGE",
            "LAG"
        ])),
        "{text}"
    );
    assert!(text.contains("+5"), "{text}");
}

#[tokio::test]
async fn what_may_be_a_slip_is_told_by_a_seek() {
    let shop = Shop::with_topics().await;
    let line = b"{\"orderId\":\"o-1\",\"total\":1}\n";
    let produce = ["produce", "order.created", "--file", "-"];
    shop.run_with(&produce, &line.repeat(5)).await.done();
    let seek = async |arguments: &[&str]| {
        let seek = ["groups", "seek", "shop", "--json", "--topic"];
        shop.run(&[&seek[..], arguments].concat()).await
    };

    let dry = seek(&["order.created", "--to", "99"]).await;
    for told in [
        "has never read anything here and will be made",
        "Offset 99 is beyond the end of order.created/0: ",
    ] {
        assert!(dry.stderr.contains(told), "{told} in {dry:?}");
    }
    let dry = dry.json().remove(0);
    assert_eq!(
        (&dry["newGroup"], &dry["refusal"]),
        (&true.into(), &().into())
    );
    assert_eq!(dry["partitions"][0]["clampedFrom"], 99);

    let one = ["order.created", "--partition", "2", "--to", "0", "--yes"];
    let one = seek(&one).await.json().remove(0);
    assert_eq!(moves(&one), [(2, None, 0)]);
    let again = seek(&["order.created", "--to", "end"])
        .await
        .json()
        .remove(0);
    assert_eq!(again["newGroup"], false);
    let from: Vec<_> = moves(&again).into_iter().map(|(_, from, _)| from).collect();
    assert_eq!(from, [None, None, Some(0)]);

    let other = seek(&["order.created.dlq", "--to", "end"]).await;
    assert!(
        other.stderr.contains("had no offsets in order.created.dlq"),
        "{other:?}"
    );
    assert_eq!(other.json()[0]["newTopics"][0], "order.created.dlq");
    let error = seek(&["order.created", "--partition", "3", "--to", "0"])
        .await
        .failed();
    assert!(
        error.contains("order.created has no partition 3"),
        "{error}"
    );
}

#[tokio::test]
async fn a_group_with_members_is_left_alone() {
    let shop = Shop::with_topics().await;
    let line = b"{\"orderId\":\"o-1\",\"total\":1}\n";
    let produce = ["produce", "order.created", "--file", "-"];
    shop.run_with(&produce, line).await.done();
    let source = consume(&shop, 1).await;

    let seek = [
        "groups",
        "seek",
        "shop",
        "--topic",
        "order.created",
        "--to",
        "beginning",
    ];
    let dry = shop.run(&seek).await;
    assert!(dry.stderr.contains("would be refused"), "{dry:?}");
    dry.done();
    let dry = shop.run(&[&seek[..], &["--json"]].concat()).await.json();
    let refusal = dry[0]["refusal"].as_str().expect("a refusal");
    assert!(refusal.contains("has 1 active member: stop"), "{refusal}");
    let error = shop.run(&[&seek[..], &["--yes"]].concat()).await.failed();
    assert!(
        error.contains("has 1 active member: stop its workers first"),
        "{error}"
    );
    drop(source);
}
