//! Everybody's watcher: reads every record of some topics, in no group, and waits for what should come.

use std::collections::BTreeSet;
use std::time::Duration;

use longshore_event::{Headers as EventHeaders, Offset, Record, TopicPartition};
use longshore_kafka::Admin;
use longshore_testkit::broker::TestBroker;
use longshore_testkit::history::History;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{Message, TopicPartitionList};
use tokio::time::{Instant, sleep};

use super::client::consumer;

/// Time between two looks when nothing came.
const PAUSE: Duration = Duration::from_millis(25);

/// All records of some topics, from their beginning.
pub(crate) struct Observer {
    consumer: BaseConsumer,
    admin: Admin,
    topics: Vec<String>,
    records: Vec<Record>,
}

impl Observer {
    /// Watches topics that exist.
    pub(crate) async fn new(broker: &TestBroker, topics: &[&str]) -> Self {
        let admin = broker.admin();
        let mut partitions = TopicPartitionList::new();
        for topic in topics {
            let described = admin.topic(topic).await.expect("the topic exists");
            for partition in 0..described.partitions {
                partitions
                    .add_partition_offset(topic, partition, rdkafka::Offset::Beginning)
                    .expect("a valid offset");
            }
        }
        let consumer = consumer(broker.bootstrap());
        consumer.assign(&partitions).expect("assigns");
        Self {
            consumer,
            admin,
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            records: Vec::new(),
        }
    }

    /// Waits until `condition` holds of the records so far, and returns them.
    ///
    /// Panics with its last `Err` if `within` passes first.
    #[track_caller]
    pub(crate) fn until<E: std::fmt::Debug>(
        &mut self,
        what: &str,
        within: Duration,
        condition: impl Fn(&Self) -> Result<(), E>,
    ) -> impl Future<Output = ()> {
        let deadline = Instant::now() + within;
        let place = std::panic::Location::caller();
        async move {
            loop {
                let idle = !self.take();
                match condition(self) {
                    Ok(()) => return,
                    Err(last) if Instant::now() > deadline => {
                        panic!("{what}: not within {within:?}; last seen: {last:?} ({place})")
                    }
                    Err(_) if idle => sleep(PAUSE).await,
                    Err(_) => {}
                }
            }
        }
    }

    /// Reads to the ends that the topics have now.
    pub(crate) async fn catch_up(&mut self, within: Duration) {
        let mut ends = 0;
        for topic in &self.topics {
            let bounds = self.admin.offsets(topic).await.expect("told");
            ends += bounds.iter().map(|bounds| bounds.end.0).sum::<i64>();
        }
        self.until("the ends of the topics", within, |observer| {
            let read = observer.records.len();
            if read as i64 >= ends {
                Ok(())
            } else {
                Err(read)
            }
        })
        .await;
    }

    /// The records of a topic so far.
    pub(crate) fn topic(&self, topic: &str) -> Vec<&Record> {
        let records = self.records.iter();
        records
            .filter(|record| &*record.partition.topic == topic)
            .collect()
    }

    /// The keys of a topic so far, each once.
    pub(crate) fn keys(&self, topic: &str) -> BTreeSet<String> {
        let records = self.topic(topic).into_iter();
        records
            .map(|record| String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into())
            .collect()
    }

    /// Everything so far, for the checker.
    pub(crate) fn history(&self) -> History {
        History::new(self.records.iter().cloned())
    }

    /// Takes in what is there; `false` if there was nothing.
    fn take(&mut self) -> bool {
        let before = self.records.len();
        while let Some(message) = self.consumer.poll(Duration::ZERO) {
            // An error is an outage: the client reconnects by itself.
            if let Ok(message) = message {
                self.records.push(record(&message));
            }
        }
        self.records.len() > before
    }
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let mut headers = EventHeaders::new();
    for header in message.headers().into_iter().flat_map(|all| all.iter()) {
        headers.push(header.key, header.value);
    }
    let millisecond = message.timestamp().to_millis();
    Record {
        partition: TopicPartition::new(message.topic(), message.partition()),
        offset: Offset(message.offset()),
        timestamp: millisecond.and_then(|at| jiff::Timestamp::from_millisecond(at).ok()),
        key: message.key().map(|key| key.to_vec().into()),
        value: message.payload().map(|value| value.to_vec().into()),
        headers,
    }
}
