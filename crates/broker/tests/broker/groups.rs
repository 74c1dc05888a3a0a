//! Who consumes what: rebalances, static members, members that vanish.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::FutureRecord;

use crate::support::{DEADLINE, TestBroker, assigned, poll_until, take, text};

/// The partitions of all `consumers` together, with repetitions.
fn all_assigned(consumers: &[&BaseConsumer]) -> Vec<(String, i32)> {
    let assignments = consumers
        .iter()
        .map(|consumer| consumer.assignment().unwrap());
    assignments
        .flat_map(|list| {
            let elements = list.elements();
            let partitions = elements
                .iter()
                .map(|e| (e.topic().to_owned(), e.partition()));
            partitions.collect::<Vec<_>>()
        })
        .collect()
}

/// Whether `consumers` have all `partitions` between them, each once, and as evenly as can be.
fn settled(consumers: &[&BaseConsumer], partitions: usize) -> bool {
    let all = all_assigned(consumers);
    let distinct: HashSet<_> = all.iter().collect();
    let even = consumers
        .iter()
        .all(|consumer| assigned(consumer).abs_diff(partitions / consumers.len()) <= 1);
    all.len() == partitions && distinct.len() == partitions && even
}

#[tokio::test]
async fn cooperative_members_come_and_one_leaves() {
    let test = TestBroker::with_topics(&[("t", 6)]).await;
    let first = test.consumer("g", &["t"]);
    let second = test.consumer("g", &["t"]);
    poll_until(
        &[&first, &second],
        "two members have three partitions each",
        || settled(&[&first, &second], 6),
    );

    let third = test.consumer("g", &["t"]);
    poll_until(
        &[&first, &second, &third],
        "three members have two each",
        || settled(&[&first, &second, &third], 6),
    );
    drop(second);
    poll_until(&[&first, &third], "the other two have three each", || {
        settled(&[&first, &third], 6)
    });

    let producer = test.producer();
    for n in 0..60 {
        let value = n.to_string();
        let record = FutureRecord::<(), _>::to("t")
            .payload(&value)
            .partition(n % 6);
        producer.send(record, DEADLINE).await.unwrap();
    }
    let mut values = HashSet::new();
    let deadline = Instant::now() + DEADLINE;
    while values.len() < 60 {
        assert!(
            Instant::now() < deadline,
            "{} of 60 records came",
            values.len()
        );
        for consumer in [&first, &third] {
            if let Some(record) = consumer.poll(Duration::from_millis(10)) {
                assert!(
                    values.insert(text(&record.unwrap()).to_owned()),
                    "no record came twice"
                );
            }
        }
    }
}

#[tokio::test]
async fn eager_members_share_partitions_too() {
    let test = TestBroker::with_topics(&[("t", 4)]).await;
    let eager = || {
        let mut config = test.group("g");
        config.set("partition.assignment.strategy", "range");
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&["t"]).unwrap();
        consumer
    };

    let (first, second) = (eager(), eager());

    poll_until(
        &[&first, &second],
        "two members have two partitions each",
        || settled(&[&first, &second], 4),
    );
}

#[tokio::test]
async fn a_second_member_with_the_same_instance_id_fences_the_first() {
    let test = TestBroker::with_topics(&[("t", 2)]).await;
    let member = || {
        let mut config = test.group("g");
        config.set("group.instance.id", "one");
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&["t"]).unwrap();
        consumer
    };
    let first = member();
    poll_until(&[&first], "the first member has both partitions", || {
        assigned(&first) == 2
    });

    let second = member();
    poll_until(&[&second], "the second member has both partitions", || {
        assigned(&second) == 2
    });

    let deadline = Instant::now() + DEADLINE;
    let fenced = loop {
        assert!(Instant::now() < deadline, "the first member is told");
        if let Some(Err(error)) = first.poll(Duration::from_millis(50)) {
            break error;
        }
    };
    let fatal = first.client().fatal_error().map(|(code, _)| code);
    assert!(
        fatal == Some(RDKafkaErrorCode::FencedInstanceId),
        "{fenced} {fatal:?}"
    );
}

#[tokio::test]
async fn a_static_member_that_comes_back_keeps_its_partitions_without_a_rebalance() {
    let test = TestBroker::with_topics(&[("t", 4)]).await;
    let member = |instance: &str| {
        let mut config = test.group("g");
        config.set("group.instance.id", instance);
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&["t"]).unwrap();
        consumer
    };
    let (stays, leaves) = (member("stays"), member("leaves"));
    poll_until(&[&stays, &leaves], "both have two partitions", || {
        settled(&[&stays, &leaves], 4)
    });
    let before = (all_assigned(&[&stays]), all_assigned(&[&leaves]));

    drop(leaves);
    let back = member("leaves");
    poll_until(&[&stays, &back], "it has two partitions again", || {
        assigned(&back) == 2
    });

    assert_eq!((all_assigned(&[&stays]), all_assigned(&[&back])), before);
}

#[tokio::test]
async fn a_commit_of_an_earlier_generation_is_refused() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    test.send("t", &["a"]).await;
    let consumer: BaseConsumer = test
        .group("g")
        .set("session.timeout.ms", "6000")
        .set("max.poll.interval.ms", "6000")
        .create()
        .unwrap();
    consumer.subscribe(&["t"]).unwrap();
    take(&consumer, 1);

    let other = test.consumer("g", &["t"]);
    // The first member does not poll, so it is left behind after its max.poll.interval.ms.
    poll_until(&[&other], "the other member has the partition", || {
        assigned(&other) == 1
    });

    let refused = consumer
        .commit_consumer_state(CommitMode::Sync)
        .unwrap_err();
    assert!(
        matches!(refused, KafkaError::ConsumerCommit(_)),
        "{refused}"
    );
}
