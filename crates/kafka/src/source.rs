//! A member of a consumer group: the near side of the thread that owns the consumer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use longshore_event::{NextOffset, TopicPartition, redrive_topic};
use longshore_worker::{REDRIVE_RESERVE, Source, SourceError, SourceEvent};
use tokio::sync::mpsc;

use crate::consumer::{self, Consumer};
use crate::native::ClientError;
use crate::{Connection, KafkaError};

mod budget;
use budget::Budget;

mod ledger;
use ledger::Ledger;
pub(crate) use ledger::{Enlisted, Span, Spans};

mod membership;
pub(crate) use membership::Membership;

mod answer;
mod member;
use member::Member;

mod outage;
mod ownership;

/// How long a broker may take to answer at the start.
const START: Duration = Duration::from_secs(10);

/// How often a topic that is missing at the start is asked for again, since a new one takes a moment until every
/// broker knows it; and how long it is waited between.
const MISSING_CHECKS: usize = 4;
const MISSING_PAUSE: Duration = Duration::from_millis(250);

/// Room in the channel for events other than records. Behind it the consumer's thread waits, and stays a member.
const LIFECYCLE_EVENTS: usize = 64;

/// What `max.poll.interval.ms` is divided by for the longest wait at a revocation: the rebalance itself needs the rest.
const POLL_INTERVAL_SHARE: u32 = 2;

/// A member of a consumer group, as a [`Source`].
///
/// A thread of its own owns the consumer, so that records are fetched and rebalances served whatever the run loop does.
/// Memory is bounded by `max_in_flight` records that were delivered, and by librdkafka's `queued.max.messages.kbytes`
/// (16 MiB here) for those that were fetched ahead.
///
/// Dropping it leaves the group without committing more than was committed before.
#[derive(Debug)]
pub struct KafkaSource {
    events: mpsc::Receiver<SourceEvent>,
    shared: Arc<Shared>,
    // Weak, so that the thread is the one that destroys the client, which may take a moment.
    consumer: Weak<Consumer>,
    identity: Identity,
}

/// Who it is in its group, and what it sees of others' transactions.
#[derive(Clone, Debug)]
struct Identity {
    group: String,
    /// `group.instance.id`, of a static member.
    instance: Option<String>,
    /// `isolation.level`.
    isolation: String,
}

/// What both sides look at.
#[derive(Debug)]
struct Shared {
    budget: Budget,
    ledger: Ledger,
    stopping: AtomicBool,
}

impl KafkaSource {
    /// Joins a consumer group. Returns when the brokers have answered and the topics are known to exist; partitions come
    /// later, as events.
    ///
    /// `max_in_flight` is the budget of records; `drain` is how long a revocation waits for what is in flight, at most
    /// half of `max.poll.interval.ms`.
    ///
    /// # Errors
    /// [`SourceError::MissingTopic`], [`SourceError::NoBroker`] after 10 s, [`SourceError::Fatal`] for properties that
    /// are not accepted, among them an `isolation.level` that reads uncommitted records where `topics` has the group's
    /// redrive topic.
    pub async fn subscribe(
        connection: &Connection,
        group: &str,
        topics: &[String],
        max_in_flight: usize,
        drain: Duration,
    ) -> Result<Self, SourceError> {
        let fatal = |error: KafkaError| SourceError::Fatal {
            group: group.to_owned(),
            source: error.into(),
        };
        let (consumer, within, isolation) = start(connection, group, drain).map_err(fatal)?;
        let redrives = topics.iter().any(|topic| **topic == *redrive_topic(group));
        if redrives && isolation != "read_committed" {
            return Err(fatal(KafkaError::ReservedProperty {
                name: "isolation.level".to_owned(),
                reason: "redrives are Kafka transactions, and one that was aborted would be handled and come again",
            }));
        }
        let consumer = check_topics(consumer, connection, topics).await?;
        consumer.client.subscribe(topics).map_err(|error| {
            let action = format!("subscribe to {}", topics.join(", "));
            fatal(KafkaError::of(&connection.brokers, action, START, error))
        })?;

        // A batch holds at least one record, so records never wait for room.
        let (sender, events) = mpsc::channel(max_in_flight + REDRIVE_RESERVE + LIFECYCLE_EVENTS);
        let shared = Arc::new(Shared {
            budget: Budget::new(max_in_flight),
            ledger: Ledger::default(),
            stopping: AtomicBool::new(false),
        });
        let weak = Arc::downgrade(&consumer);
        let mut member = Member::new(consumer, Arc::clone(&shared), sender, group, within);
        if is_classic(connection) {
            member.count_generations();
        }
        thread::Builder::new()
            .name("kafka-consumer".to_owned())
            .spawn(move || member.run())
            .map_err(|error| SourceError::Fatal {
                group: group.to_owned(),
                source: error.into(),
            })?;
        Ok(Self {
            events,
            shared,
            consumer: weak,
            identity: Identity {
                group: group.to_owned(),
                instance: connection.get("group.instance.id").map(str::to_owned),
                isolation,
            },
        })
    }

    /// For whoever commits offsets of this member in transactions: from now on the source leaves them to it.
    ///
    /// # Errors
    /// [`KafkaError::ReservedProperty`] unless the source reads what is committed only: it would read messages of
    /// transactions that are aborted, and offsets that a transaction is about to change.
    pub(crate) fn membership(&self) -> Result<Membership, KafkaError> {
        Membership::of(self)
    }

    fn wake(&self) {
        if let Some(consumer) = self.consumer.upgrade() {
            consumer.queue.wake();
        }
    }
}

impl Source for KafkaSource {
    async fn next(&mut self) -> SourceEvent {
        match self.events.recv().await {
            Some(event) => event,
            // After `Closed` there is nothing more to say.
            None => std::future::pending().await,
        }
    }

    fn release(&self, count: usize) {
        if self.shared.budget.release(count) {
            self.wake();
        }
    }

    fn commit(&self, offsets: &[(TopicPartition, NextOffset)]) {
        if let Some(consumer) = self.consumer.upgrade() {
            self.shared.ledger.commit(&consumer, offsets);
        }
    }

    fn end_offset(&self, partition: &TopicPartition) -> Option<NextOffset> {
        let end = self.consumer.upgrade()?.client.cached_end(partition)?;
        Some(self.shared.ledger.without_markers(partition, end))
    }

    fn stop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.budget.wake();
        self.wake();
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.events.close();
        self.stop();
    }
}

/// Whether the group has generations that all its members take part in; by KIP-848 each has epochs of its own.
fn is_classic(connection: &Connection) -> bool {
    connection.get("group.protocol") != Some("consumer")
}

/// Makes the consumer; also how long a revocation may wait, and the isolation level.
fn start(
    connection: &Connection,
    group: &str,
    drain: Duration,
) -> Result<(Arc<Consumer>, Duration, String), KafkaError> {
    let mut defaults = consumer::DEFAULTS.to_vec();
    defaults.push(("auto.offset.reset", "earliest"));
    if is_classic(connection) {
        defaults.push(("partition.assignment.strategy", "cooperative-sticky"));
        // A member hears of a rebalance by its next heartbeat: three times as soon as by librdkafka's default.
        defaults.push(("heartbeat.interval.ms", "1000"));
    }
    let fixed = [
        ("group.id", group),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("allow.auto.create.topics", "false"),
        // An offset behind which there are only markers of transactions is found by it.
        ("enable.partition.eof", "true"),
    ];
    let config = connection.config(&defaults, &fixed)?;
    let poll_interval = config.get("max.poll.interval.ms").ok();
    let poll_interval = poll_interval.and_then(|millis| millis.parse().ok());
    let longest = poll_interval.map_or(drain, |millis| {
        Duration::from_millis(millis) / POLL_INTERVAL_SHARE
    });
    let isolation = config.get("isolation.level").unwrap_or_default();
    let consumer = Consumer::start(connection, config)?;
    Ok((Arc::new(consumer), drain.min(longest), isolation))
}

/// Asks the brokers for the topics, without creating any.
async fn check_topics(
    consumer: Arc<Consumer>,
    connection: &Connection,
    topics: &[String],
) -> Result<Arc<Consumer>, SourceError> {
    for attempt in 1.. {
        let (asked, names) = (Arc::clone(&consumer), topics.to_vec());
        let checked = tokio::task::spawn_blocking(move || first_missing(&asked, &names));
        let missing = match checked.await {
            Ok(Ok(missing)) => missing,
            Ok(Err(error)) => return Err(no_broker(connection, error)),
            Err(error) => return Err(no_broker(connection, error)),
        };
        match missing {
            None => break,
            Some(_) if attempt < MISSING_CHECKS => tokio::time::sleep(MISSING_PAUSE).await,
            Some(topic) => {
                return Err(SourceError::MissingTopic {
                    topic,
                    brokers: connection.brokers.clone(),
                });
            }
        }
    }
    Ok(consumer)
}

fn first_missing(consumer: &Consumer, topics: &[String]) -> Result<Option<String>, ClientError> {
    for topic in topics {
        let found = consumer.client.topic(topic, START);
        if found
            .map_err(|error| consumer.better_reason(error))?
            .is_none()
        {
            return Ok(Some(topic.clone()));
        }
    }
    Ok(None)
}

fn no_broker(
    connection: &Connection,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> SourceError {
    SourceError::NoBroker {
        brokers: connection.brokers.clone(),
        source: error.into(),
    }
}
