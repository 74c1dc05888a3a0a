//! Records for the worker to read: events, events with other headers, and bytes that are no event.

use std::sync::atomic::Ordering;

use longshore_event::{Event, Headers, Identity, OutgoingRecord, Record, encode_new};

use super::TestWorker;

/// A record that is not made from an event: any bytes, no headers.
pub fn raw(topic: &str, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> OutgoingRecord {
    OutgoingRecord {
        topic: topic.into(),
        key: Some(key.into().into()),
        value: Some(value.into().into()),
        headers: Headers::new(),
    }
}

impl TestWorker {
    /// Appends an event that nothing caused to its topic, now, with an id of its own.
    ///
    /// # Panics
    /// If the worker does not read the topic, or the event does not serialise.
    #[track_caller]
    pub fn send<E: Event>(&self, event: &E) -> Record {
        self.send_record(self.record(event))
    }

    /// The record that [`send`](Self::send) would append, to change before it is sent.
    ///
    /// # Panics
    /// If the event does not serialise.
    #[track_caller]
    pub fn record<E: Event>(&self, event: &E) -> OutgoingRecord {
        let number = self.site.world.sent.fetch_add(1, Ordering::Relaxed) + 1;
        let identity = Identity {
            source: "test".into(),
            id: format!("test-{number}").into(),
        };
        match encode_new(event, &identity, None, self.now()) {
            Ok(record) => record,
            Err(error) => panic!("the {} does not serialise: {error}", E::TYPE),
        }
    }

    /// Appends a record to the partition of its key.
    ///
    /// # Panics
    /// If the worker does not read the topic.
    #[track_caller]
    pub fn send_record(&self, record: OutgoingRecord) -> Record {
        self.reads_or_panic(&record.topic);
        match self.site.world.log.append(record) {
            Some(record) => record,
            None => unreachable!("topics that are read exist"),
        }
    }

    /// Appends a record to a partition of the test's choice.
    ///
    /// # Panics
    /// If the worker does not read the topic, or the topic has no such partition.
    #[track_caller]
    pub fn send_to(&self, partition: i32, record: OutgoingRecord) -> Record {
        self.reads_or_panic(&record.topic);
        let log = &self.site.world.log;
        let partitions = log.partitions(&record.topic).len();
        match log.append_to(partition, record) {
            Some(record) => record,
            None => panic!("there is no partition {partition}: the topic has {partitions}"),
        }
    }

    /// Appends a record once more, as a producer does that did not see the acknowledgement: the same event under another
    /// offset.
    ///
    /// # Panics
    /// As [`send_to`](Self::send_to).
    #[track_caller]
    pub fn send_again(&self, record: &Record) -> Record {
        let again = OutgoingRecord {
            topic: record.partition.topic.clone(),
            key: record.key.clone(),
            value: record.value.clone(),
            headers: record.headers.clone(),
        };
        self.send_to(record.partition.partition, again)
    }

    #[track_caller]
    fn reads_or_panic(&self, topic: &str) {
        let Self { site, .. } = self;
        assert!(
            site.reads.iter().any(|read| read == topic),
            "{} does not read {topic}; it reads {}",
            site.name,
            site.reads.join(", ")
        );
    }
}
