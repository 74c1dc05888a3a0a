//! The thread behind a reader: it fetches, tells when it has caught up, and waits out outages.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use longshore_event::{NextOffset, Record, TopicPartition};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::mpsc;

use super::{Message, Places};
use crate::KafkaError;
use crate::consumer::Consumer;
use crate::native::{ClientError, Event, Messages, PartitionList};

/// Records in one batch at most.
const BATCH: usize = 512;

/// How long the consumer waits for something to happen. It is woken for everything; this is the net below.
const IDLE: Duration = Duration::from_secs(5);

/// How often the brokers are asked whether they are back, and how long one has to answer.
const PROBE: Duration = Duration::from_secs(1);

/// The far side of a [`super::Reader`].
pub(super) struct Fetching {
    consumer: Arc<Consumer>,
    messages: mpsc::Sender<Message>,
    stopping: Arc<AtomicBool>,
    brokers: String,
    places: Places,
    /// Partitions that have not reached yet what was their end when the reader was opened.
    behind: HashMap<TopicPartition, NextOffset>,
    caught_up: bool,
    unavailable: bool,
    batch: Vec<Record>,
}

impl Fetching {
    pub(super) fn new(
        consumer: Arc<Consumer>,
        places: Places,
        messages: mpsc::Sender<Message>,
        stopping: Arc<AtomicBool>,
        brokers: String,
    ) -> Self {
        let behind = places
            .iter()
            .filter(|(_, place)| place.start < place.end)
            .map(|(partition, place)| (partition.clone(), place.end));
        Self {
            consumer,
            messages,
            stopping,
            brokers,
            behind: behind.collect(),
            places,
            caught_up: false,
            unavailable: false,
            batch: Vec::new(),
        }
    }

    pub(super) fn run(mut self) {
        let starts = self.places.iter();
        let starts = starts.map(|(partition, place)| (partition, &place.start));
        let list = PartitionList::of_offsets(starts);
        let mut outcome = self.consumer.client.assign(&list);
        while outcome.is_ok() && !self.stopping.load(Ordering::Acquire) {
            if !self.caught_up && self.behind.is_empty() {
                self.caught_up = true;
                self.send(Message::CaughtUp);
            }
            outcome = self.fetch();
            self.flush();
        }
        if let Err(error) = outcome {
            let action = format!("go on reading from {}", self.brokers);
            let source = error.into();
            self.send(Message::Failed(KafkaError::Refused { action, source }));
        }
    }

    /// Polls until nothing more has come, the batch is full, or something other than records came.
    fn fetch(&mut self) -> Result<(), ClientError> {
        let mut wait = if self.unavailable { PROBE } else { IDLE };
        while self.batch.len() < BATCH {
            match self.consumer.queue.poll(wait) {
                Some(Event::Fetched(messages)) => self.take(messages),
                Some(Event::ReachedEnd(partition, _)) => {
                    self.behind.remove(&partition);
                    return Ok(());
                }
                Some(Event::Failed { error, fatal }) => return self.failed(error, fatal),
                Some(_) => return Ok(()),
                None if wait.is_zero() => return Ok(()),
                None => {
                    self.probe();
                    return Ok(());
                }
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    fn take(&mut self, mut fetched: Messages) {
        self.available();
        while let Some(message) = fetched.next() {
            if let Some(error) = message.error() {
                let offset = message.offset().0;
                tracing::warn!(error = %error, offset, "a fetched record is damaged");
                continue;
            }
            let topic = String::from_utf8_lossy(message.topic());
            let partition = TopicPartition::new(&*topic, message.partition());
            let next = message.offset().next();
            if self.behind.get(&partition).is_some_and(|end| next >= *end) {
                self.behind.remove(&partition);
            }
            self.batch.push(message.record(partition));
        }
    }

    fn flush(&mut self) {
        if !self.batch.is_empty() {
            let batch = std::mem::take(&mut self.batch);
            self.send(Message::Records(batch));
        }
    }

    fn failed(&mut self, error: ClientError, fatal: bool) -> Result<(), ClientError> {
        if fatal || error.code == RDKafkaErrorCode::Fatal {
            return Err(self.consumer.client.fatal_error().unwrap_or(error));
        }
        let is_outage = matches!(
            error.code,
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::TopicAuthorizationFailed
        );
        if is_outage && !self.unavailable {
            self.unavailable = true;
            tracing::warn!(brokers = self.brokers, error = %error, "cannot read; waiting");
        }
        Ok(())
    }

    /// Asks the brokers whether they are back, while they are known to be away.
    fn probe(&mut self) {
        if self.unavailable && self.consumer.client.is_reachable(PROBE) {
            self.available();
        }
    }

    fn available(&mut self) {
        if std::mem::take(&mut self.unavailable) {
            tracing::info!(brokers = self.brokers, "can read again");
        }
    }

    /// Hands a message on; when nobody listens any more, the thread ends.
    fn send(&self, message: Message) {
        if self.messages.blocking_send(message).is_err() {
            self.stopping.store(true, Ordering::Release);
        }
    }
}
