//! One producer and the thread that takes its delivery reports.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use longshore_event::OutgoingRecord;
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::Notify;

use crate::native::{Batch, Client, ClientError, Event, Kind, Queue, Topic};
use crate::{Connection, KafkaError};

/// How long the thread waits for something to happen. It is woken for everything; this is the net below.
const IDLE: Duration = Duration::from_secs(5);

/// How long what is given up at the end may take to be reported.
const LAST_REPORTS: Duration = Duration::from_secs(1);

/// How long a sender waits for room before it looks again, should it have missed that there is some.
const ROOM_CHECK: Duration = Duration::from_millis(100);

/// A producer. Dropping it gives up what is still under way.
#[derive(Debug)]
pub(crate) struct Producer {
    shared: Arc<Shared>,
}

/// What sender and thread look at. The topics and the queue come first: they are destroyed before the client.
#[derive(Debug)]
struct Shared {
    topics: Mutex<HashMap<Arc<str>, Arc<Topic>>>,
    queue: Queue,
    client: Client,
    room: Notify,
    waiting: AtomicUsize,
    stopping: AtomicBool,
    failed: AtomicBool,
}

impl Producer {
    /// An idempotent producer: a record waits through an outage for as long as it takes.
    pub(crate) fn idempotent(connection: &Connection) -> Result<Self, KafkaError> {
        Self::start(connection, &[("message.timeout.ms", "0")])
    }

    /// A transactional producer: what is not delivered within the transaction's time fails. Nothing can be sent before
    /// its transactions are initialised.
    pub(crate) fn transactional(
        connection: &Connection,
        id: &str,
        timeout: Duration,
    ) -> Result<Self, KafkaError> {
        let millis = timeout.as_millis().to_string();
        let transactional = [
            ("transactional.id", id),
            ("transaction.timeout.ms", &millis),
            ("message.timeout.ms", &millis),
        ];
        Self::start(connection, &transactional)
    }

    fn start(connection: &Connection, kind: &[(&str, &str)]) -> Result<Self, KafkaError> {
        let defaults = [
            ("partitioner", "murmur2_random"),
            ("compression.codec", "lz4"),
            // Sends at once; what comes while a request is under way goes together in the next.
            ("linger.ms", "0"),
            ("topic.metadata.propagation.max.ms", "3000"),
            // The topic says what is too large, not the client.
            ("message.max.bytes", "16777216"),
            ("queue.buffering.max.kbytes", "32768"),
        ];
        let fixed = [
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("allow.auto.create.topics", "false"),
        ];
        let fixed = [&fixed[..], kind].concat();
        let config = connection.config(&defaults, &fixed)?;
        let client = Client::start(Kind::Producer, config);
        let client = client.map_err(|reason| connection.unusable(reason))?;
        let shared = Arc::new(Shared {
            topics: Mutex::default(),
            queue: client.main_queue(),
            client,
            room: Notify::new(),
            waiting: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        });
        let reporting = Arc::clone(&shared);
        thread::Builder::new()
            .name("kafka-producer".to_owned())
            .spawn(move || reporting.report())
            .map_err(|error| connection.unusable(error.to_string()))?;
        Ok(Self { shared })
    }

    /// Sends records and waits for all reports; gives the failures by index, in any order.
    pub(crate) async fn send(&self, records: &[OutgoingRecord]) -> Vec<(usize, ClientError)> {
        self.queue(records.iter()).await.wait().await
    }

    /// Queues records, which are on their way then; the batch hears of them.
    pub(crate) async fn queue<'a>(
        &self,
        records: impl ExactSizeIterator<Item = &'a OutgoingRecord>,
    ) -> Arc<Batch> {
        let batch = Batch::new(records.len());
        let mut topic: Option<(&Arc<str>, Arc<Topic>)> = None;
        for (index, record) in records.enumerate() {
            let known = topic.take().filter(|(name, _)| **name == record.topic);
            let known = match known {
                Some((_, known)) => known,
                None => match self.shared.topic(&record.topic) {
                    Ok(found) => found,
                    Err(error) => {
                        batch.report(index, Some(error));
                        continue;
                    }
                },
            };
            if let Err(error) = self.shared.produce(&known, record, &batch, index).await {
                batch.report(index, Some(error));
            }
            topic = Some((&record.topic, known));
        }
        batch
    }

    /// For the calls that concern all of the producer.
    pub(crate) fn client(&self) -> &Client {
        &self.shared.client
    }

    /// Asks the broker for a topic, so that the producer knows it from then on.
    pub(crate) fn look_up(&self, topic: &str, within: Duration) -> Result<(), ClientError> {
        self.shared.client.topic(topic, within).map(drop)
    }

    /// Whether nothing can be sent by it any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.shared.failed.load(Ordering::Acquire)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.queue.wake();
    }
}

impl Shared {
    fn topic(&self, name: &Arc<str>) -> Result<Arc<Topic>, ClientError> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.get(name) {
            return Ok(Arc::clone(topic));
        }
        let topic = Arc::new(self.client.producer_topic(name)?);
        topics.insert(Arc::clone(name), Arc::clone(&topic));
        Ok(topic)
    }

    /// Queues a record; waits while the queue is full.
    async fn produce(
        &self,
        topic: &Topic,
        record: &OutgoingRecord,
        batch: &Arc<Batch>,
        index: usize,
    ) -> Result<(), ClientError> {
        loop {
            match self.client.produce(topic, record, batch, index) {
                Err(error) if error.code == RDKafkaErrorCode::QueueFull => {}
                outcome => return outcome,
            }
            self.waiting.fetch_add(1, Ordering::AcqRel);
            // Passed by time-out or by room: either way it is tried again.
            let waited = tokio::time::timeout(ROOM_CHECK, self.room.notified()).await;
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            drop(waited);
        }
    }

    /// Takes delivery reports until the producer is dropped or fails.
    fn report(&self) {
        while !self.stopping.load(Ordering::Acquire) {
            match self.queue.poll(IDLE) {
                Some(Event::Delivered(messages)) => {
                    Batch::deliver(messages);
                    if self.waiting.load(Ordering::Acquire) > 0 {
                        self.room.notify_waiters();
                    }
                }
                Some(Event::Failed { error, fatal }) => {
                    if fatal || error.code == RDKafkaErrorCode::Fatal {
                        let error = self.client.fatal_error().unwrap_or(error);
                        tracing::error!(error = %error, "the producer failed for good");
                        self.failed.store(true, Ordering::Release);
                        break;
                    }
                    tracing::debug!(error = %error, "the client reports");
                }
                _ => {}
            }
        }
        self.client.purge(&self.queue, LAST_REPORTS);
    }
}
