//! Reads topics without being in a consumer group: every partition, from a chosen place, as long as it is wanted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;

use jiff::Timestamp;
use longshore_event::{NextOffset, Record, TopicPartition};
use tokio::sync::mpsc;

use crate::admin::{REQUEST, offsets, offsets_from};
use crate::consumer::{self, Consumer};
use crate::native::ClientError;
use crate::native::admin::OffsetAt;
use crate::{Connection, KafkaError};

mod fetching;
use fetching::Fetching;

/// Batches that wait for the caller. Behind them the thread waits, and librdkafka stops fetching at its own bound.
const WAITING_BATCHES: usize = 4;

/// Where in each partition to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At the first record that is still there.
    Beginning,
    /// Behind the last record: only what comes from now on.
    End,
    /// This many offsets before the end. A compacted or transactional topic has fewer records there.
    Last(u64),
    /// At the first record that is as old or younger.
    Time(Timestamp),
}

/// What a reader hears of.
#[derive(Debug)]
pub enum ReaderEvent {
    /// A record. Those of a partition are in order; the order between partitions is as they arrive.
    Record(Record),
    /// Everything that was there when the reader was opened has been delivered. Comes once.
    CaughtUp,
}

/// What the thread hands over.
#[derive(Debug)]
enum Message {
    /// Never empty.
    Records(Vec<Record>),
    CaughtUp,
    Failed(KafkaError),
}

/// A reader of whole topics that leaves no trace: it joins no group and commits nothing. Dropping it ends it.
///
/// An outage of the brokers is logged and waited for, as long as it takes.
///
/// It holds at most 5 batches of 512 records, and what librdkafka fetched ahead (`queued.max.messages.kbytes`, 16 MiB).
#[derive(Debug)]
pub struct Reader {
    messages: mpsc::Receiver<Message>,
    batch: std::vec::IntoIter<Record>,
    stopping: Arc<AtomicBool>,
    consumer: Weak<Consumer>,
}

impl Reader {
    /// Opens all partitions that these topics have now.
    ///
    /// # Errors
    /// [`KafkaError::UnknownTopic`], [`KafkaError::NoAnswer`], [`KafkaError::Refused`], and those about properties.
    pub async fn open(
        connection: &Connection,
        topics: &[&str],
        from: From,
    ) -> Result<Self, KafkaError> {
        let brokers = connection.brokers.clone();
        let consumer = Arc::new(start(connection)?);
        let names: Vec<String> = topics.iter().map(|name| (*name).to_owned()).collect();
        let asked = Arc::clone(&consumer);
        let action = format!("find where to read {}", names.join(", "));
        let found = tokio::task::spawn_blocking(move || places(&asked, &names, from)).await;
        let places = match found {
            Ok(Ok(Found::Places(places))) => places,
            Ok(Ok(Found::Missing(topic))) => {
                return Err(KafkaError::UnknownTopic { topic, brokers });
            }
            Ok(Err(error)) => return Err(KafkaError::of(&brokers, action, REQUEST, error)),
            Err(error) => {
                return Err(KafkaError::Refused {
                    action,
                    source: error.into(),
                });
            }
        };
        let (sender, messages) = mpsc::channel(WAITING_BATCHES);
        let stopping = Arc::new(AtomicBool::new(false));
        let weak = Arc::downgrade(&consumer);
        let fetching = Fetching::new(consumer, places, sender, Arc::clone(&stopping), brokers);
        thread::Builder::new()
            .name("kafka-reader".to_owned())
            .spawn(move || fetching.run())
            .map_err(|error| connection.unusable(error.to_string()))?;
        Ok(Self {
            messages,
            batch: Vec::new().into_iter(),
            stopping,
            consumer: weak,
        })
    }

    /// Waits for the next event. Safe to cancel: an event is either returned or still there.
    ///
    /// # Errors
    /// [`KafkaError::Refused`] when the client cannot go on. Nothing comes after it.
    pub async fn next(&mut self) -> Result<ReaderEvent, KafkaError> {
        loop {
            if let Some(record) = self.batch.next() {
                return Ok(ReaderEvent::Record(record));
            }
            match self.messages.recv().await {
                Some(Message::Records(batch)) => self.batch = batch.into_iter(),
                Some(Message::CaughtUp) => return Ok(ReaderEvent::CaughtUp),
                Some(Message::Failed(error)) => return Err(error),
                None => std::future::pending().await,
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.messages.close();
        self.stopping.store(true, Ordering::Release);
        if let Some(consumer) = self.consumer.upgrade() {
            consumer.queue.wake();
        }
    }
}

/// Where to start in each partition, and its end as of now.
type Places = HashMap<TopicPartition, Place>;

#[derive(Clone, Copy, Debug)]
struct Place {
    start: NextOffset,
    end: NextOffset,
}

enum Found {
    Places(Places),
    Missing(String),
}

fn start(connection: &Connection) -> Result<Consumer, KafkaError> {
    let mut defaults = consumer::DEFAULTS.to_vec();
    defaults.push(("auto.offset.reset", "earliest"));
    let fixed = [
        // librdkafka wants a group for a consumer; without a subscription or a commit the broker never hears of it.
        ("group.id", "longshore-reader"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("allow.auto.create.topics", "false"),
        ("enable.partition.eof", "true"),
        // A caller may take its time: no group waits for it.
        ("max.poll.interval.ms", "86400000"),
    ];
    let config = connection.without_group().config(&defaults, &fixed)?;
    Consumer::start(connection, config)
}

fn places(consumer: &Consumer, topics: &[String], from: From) -> Result<Found, ClientError> {
    let client = &consumer.client;
    let mut partitions = Vec::new();
    for topic in topics {
        let found = client.topic(topic, REQUEST);
        match found.map_err(|error| consumer.better_reason(error))? {
            Some(found) => partitions.extend(found.all_partitions()),
            None => return Ok(Found::Missing(topic.clone())),
        }
    }
    partitions.sort();
    partitions.dedup();
    let begins = offsets(client, &partitions, OffsetAt::Begin)?;
    let ends = offsets(client, &partitions, OffsetAt::End)?;
    let times: HashMap<_, _> = match from {
        From::Time(at) => offsets_from(client, partitions.clone(), at)?
            .into_iter()
            .collect(),
        _ => HashMap::new(),
    };
    let places = partitions.into_iter().map(|partition| {
        let end = ends.get(&partition).copied().unwrap_or(NextOffset(0));
        let begin = begins.get(&partition).copied().unwrap_or(end);
        let start = match from {
            From::Beginning => begin,
            From::End => end,
            From::Last(count) => {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                NextOffset(end.0.saturating_sub(count)).max(begin)
            }
            From::Time(_) => times.get(&partition).copied().unwrap_or(end),
        };
        (partition, Place { start, end })
    });
    Ok(Found::Places(places.collect()))
}
