//! Transactions while the broker is killed with -9, as librdkafka sees them.

use std::time::Duration;

use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tokio::sync::mpsc;

use crate::process::BrokerProcess;
use crate::raw::RawClient;
use crate::support::{DEADLINE, take, text};
use crate::versions::name;

/// How many transactions are run against a broker that is killed again and again.
const TRANSACTIONS: i64 = 60;

/// How many of them are behind when the broker is killed, each time.
const KILLS: [i64; 4] = [7, 20, 33, 46];

#[tokio::test(flavor = "multi_thread")]
async fn every_transaction_happens_once_although_the_broker_is_killed() {
    let mut process = BrokerProcess::start();
    let client = |properties: &[(&str, &str)]| {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", process.address.to_string());
        config.set("reconnect.backoff.max.ms", "100");
        for (name, value) in properties {
            config.set(*name, *value);
        }
        config
    };
    let mut raw = RawClient::connect_to(process.address).await;
    create_topic(&mut raw).await;
    let reading = [
        ("group.id", "g"),
        ("isolation.level", "read_committed"),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "false"),
    ];
    let consumer: BaseConsumer = client(&reading).create().unwrap();
    let writing = [("transactional.id", "a"), ("linger.ms", "0")];
    let producer: FutureProducer = client(&writing).create().unwrap();
    producer.init_transactions(DEADLINE).unwrap();

    let (sender, mut done) = mpsc::channel(TRANSACTIONS as usize);
    let metadata = consumer.group_metadata().unwrap();
    let working = tokio::task::spawn_blocking(move || {
        let mut number = 0;
        while number < TRANSACTIONS {
            match transact(&producer, &metadata, number) {
                Ok(()) => {
                    number += 1;
                    sender.blocking_send(number).unwrap();
                }
                Err(error) => abort(&producer, &error),
            }
        }
    });
    let mut kills = KILLS.into_iter().peekable();
    while let Some(number) = done.recv().await {
        if kills.next_if_eq(&number).is_some() {
            process.kill_and_restart();
        }
    }
    working.await.unwrap();

    assert_eq!(kills.next(), None, "the broker was killed each time");
    let mut partitions = TopicPartitionList::new();
    for index in 0..2 {
        let partition = partitions.add_partition_offset("t", index, Offset::Beginning);
        partition.unwrap();
    }
    consumer.assign(&partitions).unwrap();
    let mut found = [Vec::new(), Vec::new()];
    for record in take(&consumer, 2 * TRANSACTIONS as usize) {
        let number: i64 = text(&record).parse().unwrap();
        found[record.partition() as usize].push(number);
    }
    let expected: Vec<i64> = (0..TRANSACTIONS).collect();
    assert_eq!(found, [expected.clone(), expected]);
    assert!(consumer.poll(Duration::from_millis(300)).is_none());
    let committed = consumer.committed_offsets(partitions, DEADLINE).unwrap();
    let offset = committed.find_partition("t", 0).unwrap().offset();
    assert_eq!(offset, Offset::Offset(TRANSACTIONS));
}

/// Transaction `number` writes its number to both partitions and commits the number after it.
fn transact(
    producer: &FutureProducer,
    metadata: &ConsumerGroupMetadata,
    number: i64,
) -> Result<(), KafkaError> {
    producer.begin_transaction()?;
    let value = number.to_string();
    for partition in 0..2 {
        let record = FutureRecord::<(), _>::to("t")
            .payload(&value)
            .partition(partition);
        let sent = producer.send_result(record);
        // Whether it arrives is what the commit tells.
        drop(sent.map_err(|(error, _)| error)?);
    }
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset("t", 0, Offset::Offset(number + 1))?;
    producer.send_offsets_to_transaction(&offsets, metadata, DEADLINE)?;
    loop {
        match producer.commit_transaction(DEADLINE) {
            Err(KafkaError::Transaction(error)) if error.is_retriable() => {}
            result => return result,
        }
    }
}

/// Makes the producer ready for another try; any failure but those a client can recover from is one.
fn abort(producer: &FutureProducer, error: &KafkaError) {
    let KafkaError::Transaction(failure) = error else {
        panic!("{error}");
    };
    assert!(
        failure.txn_requires_abort() || failure.is_retriable(),
        "{failure}: {:?}",
        producer.client().fatal_error()
    );
    loop {
        match producer.abort_transaction(DEADLINE) {
            Ok(()) => return,
            Err(KafkaError::Transaction(error))
                if error.is_retriable() && error.code() != RDKafkaErrorCode::Fatal => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn create_topic(client: &mut RawClient) {
    let topic = CreatableTopic::default()
        .with_name(name("t"))
        .with_num_partitions(2)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]);
    let created = client.call(5, &request).await;
    assert_eq!(created.topics[0].error_code, 0);
}
