//! What librdkafka makes of faults.

use std::time::Duration;

use longshore_broker::faults::{ApiKey, Coordinated, Effect, Fault, ResponseError};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};

use crate::support::{DEADLINE, TestBroker, assigned, poll_until, take, text};

async fn send(producer: &FutureProducer, value: &str) -> Result<(), KafkaError> {
    let record = FutureRecord::<(), _>::to("t").payload(value).partition(0);
    let sent = producer.send(record, DEADLINE).await;
    sent.map(drop).map_err(|(error, _)| error)
}

/// The values in partition 0 of `t`, which holds `count` and then `end`.
fn values(test: &TestBroker, count: usize) -> Vec<String> {
    let records = take(&test.consumer("reader", &["t"]), count + 1);
    let values = records.iter().map(|record| text(record).to_owned());
    values.collect()
}

#[tokio::test]
async fn an_idempotent_producer_writes_once_whatever_became_of_its_request() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let producer = test.producer();
    send(&producer, "0").await.unwrap();
    let effects = [
        Effect::DropUnread,
        Effect::DropDone,
        Effect::Fail(ResponseError::NotLeaderOrFollower),
        Effect::Delay(Duration::from_millis(50)),
    ];

    for (n, effect) in effects.into_iter().enumerate() {
        let injected = test.inject(Fault::new(ApiKey::Produce, effect));
        send(&producer, &(n + 1).to_string()).await.unwrap();
        assert_eq!(injected.met(), 1, "{effect:?}");
    }
    send(&producer, "end").await.unwrap();

    assert_eq!(values(&test, 5), ["0", "1", "2", "3", "4", "end"]);
}

#[tokio::test]
async fn a_producer_is_told_of_an_error_that_will_not_go_away() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let denied = Effect::Fail(ResponseError::TopicAuthorizationFailed);
    test.inject(Fault::new(ApiKey::Produce, denied));

    let refused = send(&test.producer(), "0").await.unwrap_err();

    let expected = Some(RDKafkaErrorCode::TopicAuthorizationFailed);
    assert_eq!(refused.rdkafka_error_code(), expected);
}

#[tokio::test]
async fn a_consumer_comes_through_what_it_can_repeat() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    test.send("t", &["a"]).await;
    let injected = [
        (
            ApiKey::FindCoordinator,
            ResponseError::CoordinatorNotAvailable,
        ),
        (ApiKey::JoinGroup, ResponseError::CoordinatorLoadInProgress),
        (ApiKey::SyncGroup, ResponseError::RebalanceInProgress),
        (
            ApiKey::OffsetFetch,
            ResponseError::CoordinatorLoadInProgress,
        ),
        (ApiKey::Fetch, ResponseError::NotLeaderOrFollower),
        (ApiKey::Heartbeat, ResponseError::RebalanceInProgress),
    ]
    .map(|(api, error)| (api, test.inject(Fault::new(api, Effect::Fail(error)))));

    let consumer = test.consumer("g", &["t"]);
    let record = take(&consumer, 1).remove(0);
    poll_until(&[&consumer], "all faults were met", || {
        injected.iter().all(|(_, injected)| injected.met() == 1)
    });
    poll_until(&[&consumer], "it is a member", || assigned(&consumer) == 1);

    assert_eq!(text(&record), "a");
}

#[tokio::test]
async fn a_commit_that_fails_is_told_and_changes_nothing() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    test.send("t", &["a"]).await;
    let consumer = test.consumer("g", &["t"]);
    take(&consumer, 1);
    let denied = Effect::Fail(ResponseError::GroupAuthorizationFailed);
    test.inject(Fault::new(ApiKey::OffsetCommit, denied));

    let refused = consumer.commit_consumer_state(CommitMode::Sync);

    let code = refused.err().and_then(|error| error.rdkafka_error_code());
    assert_eq!(code, Some(RDKafkaErrorCode::GroupAuthorizationFailed));
    drop(consumer);
    take(&test.consumer("g", &["t"]), 1);
}

#[tokio::test]
async fn a_consumer_finds_its_coordinator_again_and_stays_a_member() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    test.send("t", &["a"]).await;
    let consumer = test.consumer("g", &["t"]);
    take(&consumer, 1);
    let looked = test.watch(ApiKey::FindCoordinator);
    let joined = test.watch(ApiKey::JoinGroup);

    let of = Coordinated::Group("g".into());
    test.broker.faults().move_coordinator(of);
    poll_until(&[&consumer], "it has looked", || looked.met() > 0);
    poll_until(&[&consumer], "it commits", || {
        consumer.commit_consumer_state(CommitMode::Sync).is_ok()
    });

    assert_eq!((joined.met(), assigned(&consumer)), (0, 1));
}

#[tokio::test]
async fn a_transactional_producer_comes_through_a_move_and_what_it_can_repeat() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let producer: FutureProducer = test.client().set("transactional.id", "a").create().unwrap();
    let repeated = Effect::Fail(ResponseError::ConcurrentTransactions);
    let lost = Effect::DropDone;
    let injected = [
        (ApiKey::InitProducerId, repeated),
        (ApiKey::InitProducerId, lost),
        (ApiKey::AddPartitionsToTxn, repeated),
        (ApiKey::EndTxn, lost),
    ]
    .map(|(api, effect)| test.inject(Fault::new(api, effect)));

    producer.init_transactions(DEADLINE).unwrap();
    for value in ["0", "end"] {
        producer.begin_transaction().unwrap();
        send(&producer, value).await.unwrap();
        let of = Coordinated::Transaction("a".into());
        test.broker.faults().move_coordinator(of);
        producer.commit_transaction(DEADLINE).unwrap();
    }

    assert_eq!(values(&test, 1), ["0", "end"]);
    assert!(injected.iter().all(|injected| injected.met() == 1));
}

#[tokio::test]
async fn a_forced_rebalance_makes_every_member_join_again() {
    let test = TestBroker::with_topics(&[("t", 2)]).await;
    let consumers: [BaseConsumer; 2] = [(); 2].map(|()| test.consumer("g", &["t"]));
    let [first, second] = &consumers;
    let both = [first, second];
    let settled = || both.iter().all(|consumer| assigned(consumer) == 1);
    poll_until(&both, "each has a partition", settled);
    let joined = test.watch(ApiKey::JoinGroup);

    assert!(test.broker.faults().force_rebalance("g"));

    poll_until(&both, "both have joined again", || joined.met() >= 2);
    poll_until(&both, "each has a partition", settled);
}

#[tokio::test]
async fn a_forced_rebalance_moves_all_partitions_of_a_group_by_kip_848_through_nobodys_hands() {
    let test = TestBroker::with_topics(&[("t", 2)]).await;
    let consumers: [BaseConsumer; 2] = [(); 2].map(|()| {
        let mut config = test.group("g");
        config.set("group.protocol", "consumer");
        for of_the_classic_protocol in [
            "session.timeout.ms",
            "heartbeat.interval.ms",
            "partition.assignment.strategy",
        ] {
            config.remove(of_the_classic_protocol);
        }
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&["t"]).unwrap();
        consumer
    });
    let [first, second] = &consumers;
    let both = [first, second];
    let settled = || both.iter().all(|consumer| assigned(consumer) == 1);
    poll_until(&both, "each has a partition", settled);

    assert!(test.broker.faults().force_rebalance("g"));

    let mut have_let_go = [false; 2];
    poll_until(&both, "both have let go", || {
        for (consumer, has_let_go) in both.iter().zip(&mut have_let_go) {
            *has_let_go |= assigned(consumer) == 0;
        }
        have_let_go == [true; 2]
    });
    poll_until(&both, "each has a partition", settled);
}
