//! Starting, stopping, and what survives.

use std::net::SocketAddr;
use std::time::Instant;

use longshore_broker::{Broker, BrokerConfig, StartError};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::FutureRecord;

use crate::support::{DEADLINE, TestBroker, assigned, poll_until, take, text};

#[tokio::test]
async fn records_and_committed_offsets_survive_a_restart() {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    test.send("t", &["a", "b"]).await;
    let consumer = test.consumer("g", &["t"]);
    take(&consumer, 1);
    consumer.commit_consumer_state(CommitMode::Sync).unwrap();
    drop(consumer);

    let test = test.restart().await;
    test.send("t", &["c"]).await;

    let rest: Vec<_> = take(&test.consumer("g", &["t"]), 2)
        .iter()
        .map(|record| (record.offset(), text(record).to_owned()))
        .collect();
    assert_eq!(rest, [(1, "b".to_owned()), (2, "c".to_owned())]);
}

#[tokio::test]
async fn a_member_and_a_producer_go_on_through_a_restart() {
    let test = TestBroker::with_topics(&[("t", 2)]).await;
    let producer = test.producer();
    let consumer = test.consumer("g", &["t"]);
    poll_until(&[&consumer], "the member has both partitions", || {
        assigned(&consumer) == 2
    });
    let send = async |value: &'static str| {
        let record = FutureRecord::<(), str>::to("t").payload(value);
        producer.send(record, DEADLINE).await.unwrap();
    };
    send("before").await;
    take(&consumer, 1);

    let test = test.restart().await;
    send("after").await;

    assert_eq!(text(&take(&consumer, 1)[0]), "after");
    drop(test);
}

#[tokio::test]
async fn an_idempotent_producer_writes_each_record_once_through_restarts() {
    const RECORDS: usize = 3_000;
    let mut test = TestBroker::with_topics(&[("t", 1)]).await;
    let producer = test.producer();
    let sending = tokio::spawn(async move {
        for start in (0..RECORDS).step_by(10) {
            let ten = start..start + 10;
            let values: Vec<String> = ten.map(|n| n.to_string()).collect();
            let deliveries: Vec<_> = values
                .iter()
                .map(|value| FutureRecord::<(), _>::to("t").payload(value))
                .map(|record| producer.send_result(record).unwrap())
                .collect();
            for delivery in deliveries {
                delivery.await.unwrap().unwrap();
            }
        }
    });

    let observer: BaseConsumer = test.group("observer").create().unwrap();
    let written = || {
        observer
            .fetch_watermarks("t", 0, DEADLINE)
            .map_or(0, |(_, end)| end)
    };
    for restart_at in [500, 1_200, 2_000] {
        while written() < restart_at {
            assert!(
                !sending.is_finished(),
                "the producer goes on until all is sent"
            );
            tokio::task::yield_now().await;
        }
        test = test.restart().await;
    }
    sending.await.unwrap();

    let records = take(&test.consumer("g", &["t"]), RECORDS);
    for (n, record) in records.iter().enumerate() {
        assert_eq!(text(record), n.to_string());
    }
    assert_eq!(written(), RECORDS as i64);
}

#[tokio::test]
async fn a_data_directory_belongs_to_one_broker() {
    let test = TestBroker::start().await;

    let refused = Broker::start(BrokerConfig::new(test.data.path())).await;

    assert!(matches!(refused, Err(StartError::DataInUse { .. })));
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("in use by another broker"), "{message}");
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_leaves_the_data_free() {
    let test = TestBroker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut config = BrokerConfig::new(data.path());
    config.listen = test.broker.address();

    let refused = Broker::start(config.clone()).await;

    assert!(matches!(refused, Err(StartError::Bind { .. })));
    config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    Broker::start(config).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn only_a_loopback_address_is_accepted_without_asking() {
    let data = tempfile::tempdir().unwrap();
    let mut config = BrokerConfig::new(data.path());
    config.listen = SocketAddr::from(([0, 0, 0, 0], 0));

    let refused = Broker::start(config.clone()).await;

    assert!(matches!(refused, Err(StartError::NotLoopback { .. })));
    config.allow_remote = true;
    // On another task, as a program would: starting and stopping must be `Send`.
    let started = tokio::spawn(async { Broker::start(config).await.unwrap().shutdown().await });
    started.await.unwrap();
}

#[tokio::test]
async fn a_broker_starts_and_stops_many_times_on_one_port_and_directory() {
    let mut test = TestBroker::start().await;

    for _ in 0..10 {
        let began = Instant::now();
        let rarely = |config: &mut BrokerConfig| config.upkeep_interval = 10 * DEADLINE;
        test = test.restart_with(rarely).await;
        assert!(began.elapsed() < DEADLINE, "{:?}", began.elapsed());
    }
}
