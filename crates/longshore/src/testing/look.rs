//! What came of it: published events, dead letters, parked keys, rows, timers, and what the worker says of itself.

use std::panic::Location;

use jiff::Timestamp;
use longshore_event::{DeadLetter, Event, NextOffset, Record, dead_letter_topic};
use longshore_store::SqlStore;
use longshore_worker::{
    ParkedReport, Report, Statement, Status, Store, StoreCounts, StoreError, sql,
};

use super::TestWorker;
use super::decisions::event_in;
use crate::error::chain;

/// The timers of a topic in the worker's own outbox, whose times are in microseconds. One that was claimed is on its way.
const TIMERS: &str = "select due_at, value from outbox \
     where due_at is not null and claimed_until is null and topic = $1 order by due_at, sequence";

/// A dead letter.
#[derive(Clone, Debug)]
pub struct DeadRecord {
    /// What its headers say: where, when and why it failed.
    pub letter: DeadLetter,
    /// Key and value as they were, and the headers with the letter among them.
    pub record: Record,
}

impl TestWorker {
    /// The events in the topic of `E`, in the order in which they were published.
    ///
    /// # Panics
    /// If the topic does not exist, or holds something else.
    #[track_caller]
    pub fn published<E: Event>(&self) -> Vec<E> {
        let records = self.records(E::TOPIC);
        let events = records.iter();
        events
            .map(|record| event_in(E::TOPIC, record.value.as_deref()))
            .collect()
    }

    /// The records in a topic, in the order in which they were published.
    ///
    /// # Panics
    /// If the topic does not exist.
    #[track_caller]
    pub fn records(&self, topic: &str) -> Vec<Record> {
        let log = &self.site.world.log;
        assert!(
            !log.partitions(topic).is_empty(),
            "topic {topic} does not exist in this test; there are {}. Declare it with WorkerBuilder::publishes, or \
             create it with TestSetup::topic",
            log.topics().join(", ")
        );
        log.records(topic)
    }

    /// The dead letters of `topic`.
    ///
    /// # Panics
    /// If the worker does not read the topic, or something else is among them.
    #[track_caller]
    pub fn dead_letters(&self, topic: &str) -> Vec<DeadRecord> {
        let records = self.records(&dead_letter_topic(topic)).into_iter();
        records
            .map(|record| match DeadLetter::read(&record.headers) {
                Some(letter) => DeadRecord { letter, record },
                None => panic!("{} is no dead letter: {record:?}", record.position()),
            })
            .collect()
    }

    /// What the worker said of itself when it came to rest last.
    ///
    /// # Panics
    /// If it is not running.
    #[track_caller]
    pub fn report(&self) -> &Report {
        match &self.report {
            Some(report) => report,
            None => panic!("{} is not running: restart it first", self.site.name),
        }
    }

    /// The worker's status now, as its readiness check sees it.
    ///
    /// # Panics
    /// If it is not running.
    #[track_caller]
    pub fn status(&self) -> Status {
        self.instance().status.borrow().clone()
    }

    /// The keys that were parked when the worker came to rest last, the one that is due first at the front; a hundred at most.
    ///
    /// # Panics
    /// If it is not running.
    #[track_caller]
    pub fn parked(&self) -> &[ParkedReport] {
        &self.report().parked
    }

    /// Records that the worker has yet to finish. What is parked or dead is finished, as far as the log is concerned.
    pub fn lag(&self) -> u64 {
        let held = self.report.iter().flat_map(|report| &report.partitions);
        let watermark = |partition: &longshore_event::TopicPartition| {
            let held = held.clone().find(|held| {
                held.topic == *partition.topic && held.partition == partition.partition
            });
            held.and_then(|held| held.watermark).map(NextOffset)
        };
        let partitions = self.site.partitions();
        let lags = partitions.iter().map(|partition| {
            let finished = watermark(partition).max(self.site.group.committed(partition));
            let end = self.site.world.log.end(partition).0;
            end.saturating_sub(finished.map_or(0, |finished| finished.0))
        });
        lags.sum::<i64>().unsigned_abs()
    }

    /// The rows of a query on the worker's store, each with its columns separated by ` | `. Faults of the store do not
    /// disturb it.
    ///
    /// # Panics
    /// If the worker is not running or has no store, or the query fails.
    #[track_caller]
    pub fn rows(&self, query: Statement) -> impl Future<Output = Vec<String>> {
        let (store, caller) = (self.store(), Location::caller());
        async move {
            let rows = self.answer(store.fetch(&query).await, caller);
            rows.iter().map(ToString::to_string).collect()
        }
    }

    /// How much there is in the worker's store.
    ///
    /// # Panics
    /// If the worker is not running or has no store.
    #[track_caller]
    pub fn counts(&self) -> impl Future<Output = StoreCounts> {
        let (store, caller) = (self.store(), Location::caller());
        async move { self.answer(store.counts().await, caller) }
    }

    /// The timers that publish an `E` later, the earliest first, each with its time.
    ///
    /// # Panics
    /// If the worker is not running or has no store, or one is no such event.
    #[track_caller]
    pub fn timers<E: Event>(&self) -> impl Future<Output = Vec<(Timestamp, E)>> {
        let (store, caller) = (self.store(), Location::caller());
        async move {
            let query = sql(TIMERS).bind(E::TOPIC);
            let rows = self.answer(store.fetch(&query).await, caller);
            let timers = rows.iter().map(|row| {
                let due_at = row.integer(0).unwrap_or_default();
                let due_at = Timestamp::from_microsecond(due_at).unwrap_or(Timestamp::MAX);
                (due_at, event_in(E::TOPIC, row.bytes(1)))
            });
            timers.collect()
        }
    }

    #[track_caller]
    fn store(&self) -> &SqlStore {
        match &self.instance().store {
            Some(store) => store,
            None => panic!(
                "{} has no store: it is built with `plain` or `transactional`",
                self.site.name
            ),
        }
    }

    /// The location is told in the message, as [`expect_rows`](Self::expect_rows) does.
    fn answer<T>(&self, answer: Result<T, StoreError>, caller: &Location<'_>) -> T {
        match answer {
            Ok(answer) => answer,
            Err(error) => panic!(
                "{caller}: the store of {} does not answer: {}",
                self.site.name,
                chain(&error)
            ),
        }
    }
}
