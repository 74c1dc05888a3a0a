//! Topics in memory: partitions that grow, read by offset.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use longshore_event::{
    Event, Identity, NextOffset, Offset, OutgoingRecord, Record, TopicPartition, encode_new,
};
use longshore_worker::Clock;
use tokio::sync::futures::OwnedNotified;

use super::{Watched, lock, partition_of_key};

/// Topics with partitions of records. Clones share them.
///
/// Its clock is a counter, unless it is given another: the n-th record of the whole log is stamped n milliseconds after
/// the epoch, so that a record's timestamp says where it stands among all records, and two runs give the same bytes.
#[derive(Clone, Debug)]
pub struct MemoryLog {
    topics: Arc<Mutex<Topics>>,
    grown: Watched<()>,
}

#[derive(Debug, Default)]
struct Topics {
    by_name: BTreeMap<Arc<str>, Topic>,
    records: i64,
    unkeyed: usize,
    witness: Option<Witness>,
    clock: Option<Clock>,
}

#[derive(Debug)]
struct Topic {
    partitions: Vec<Vec<Record>>,
    /// Partition and index of every record, in the order in which they were appended.
    order: Vec<(usize, usize)>,
}

/// Somebody who is told of every record as it comes.
#[derive(Clone)]
struct Witness(Arc<dyn Fn(&Record) + Send + Sync>);

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryLog {
    /// No topics yet.
    pub fn new() -> Self {
        Self {
            topics: Arc::default(),
            grown: Watched::new(()),
        }
    }

    /// The same log with a clock that stamps records as a broker's would.
    #[must_use]
    pub fn stamped_by(self, clock: Clock) -> Self {
        lock(&self.topics).clock = Some(clock);
        self
    }

    /// The same log with one more topic.
    #[must_use]
    pub fn with_topic(self, topic: &str, partitions: i32) -> Self {
        self.create_topic(topic, partitions);
        self
    }

    /// Creates a topic, or does nothing if it is there.
    pub fn create_topic(&self, topic: &str, partitions: i32) {
        let partitions = (0..partitions).map(|_| Vec::new()).collect();
        let empty = Topic {
            partitions,
            order: Vec::new(),
        };
        lock(&self.topics)
            .by_name
            .entry(topic.into())
            .or_insert(empty);
        self.grown.set(());
    }

    /// Appends a record to the partition of its key (murmur2), or to the partitions in turn if it has none. `None` if
    /// the topic does not exist.
    pub fn append(&self, record: OutgoingRecord) -> Option<Record> {
        let appended = lock(&self.topics).append(record);
        self.appended(appended.as_ref());
        appended
    }

    /// Appends a record to a partition of the sender's choice, as a producer does that counts the partitions wrongly.
    /// `None` if the topic or the partition does not exist.
    pub fn append_to(&self, partition: i32, record: OutgoingRecord) -> Option<Record> {
        let appended = lock(&self.topics).append_to(partition, record);
        self.appended(appended.as_ref());
        appended
    }

    /// Appends an event that nothing caused, with `id` as its `ce_id` and `test` as its source.
    ///
    /// # Panics
    /// If the event does not serialise or its topic does not exist.
    pub fn produce<E: Event>(&self, id: &str, event: &E) -> Record {
        let identity = Identity {
            source: "test".into(),
            id: id.into(),
        };
        let record = encode_new(event, &identity, None, Timestamp::UNIX_EPOCH)
            .expect("a test's event serialises");
        self.append(record)
            .unwrap_or_else(|| panic!("topic {} does not exist; call create_topic", E::TOPIC))
    }

    /// The partitions of a topic; none if it does not exist.
    pub fn partitions(&self, topic: &str) -> Vec<TopicPartition> {
        let topics = lock(&self.topics);
        let Some((name, topic)) = topics.by_name.get_key_value(topic) else {
            return Vec::new();
        };
        (0..topic.partitions.len())
            .map(|partition| TopicPartition::new(name.clone(), partition as i32))
            .collect()
    }

    /// All records of a topic in the order in which they were appended.
    pub fn records(&self, topic: &str) -> Vec<Record> {
        let topics = lock(&self.topics);
        let Some(topic) = topics.by_name.get(topic) else {
            return Vec::new();
        };
        let order = topic.order.iter();
        order
            .map(|&(partition, index)| topic.partitions[partition][index].clone())
            .collect()
    }

    /// The names of all topics.
    pub fn topics(&self) -> Vec<Arc<str>> {
        lock(&self.topics).by_name.keys().cloned().collect()
    }

    /// At most `limit` records of a partition, from `from` on.
    pub fn read(&self, partition: &TopicPartition, from: NextOffset, limit: usize) -> Vec<Record> {
        let topics = lock(&self.topics);
        let records = topics.partition(partition);
        let start = usize::try_from(from.0).unwrap_or(0).min(records.len());
        let end = records.len().min(start.saturating_add(limit));
        records[start..end].to_vec()
    }

    /// The offset that the next record of a partition gets.
    pub fn end(&self, partition: &TopicPartition) -> NextOffset {
        NextOffset(lock(&self.topics).partition(partition).len() as i64)
    }

    /// Waits until `condition` holds; it is asked again whenever the log grows. Bound it with
    /// [`tokio::time::timeout`].
    pub async fn wait_until(&self, mut condition: impl FnMut(&Self) -> bool) {
        self.grown.until(|()| condition(self)).await;
    }

    /// Tells `witness` of every record that is appended from now on, when it is. There is one witness at most.
    pub fn witness(&self, witness: impl Fn(&Record) + Send + Sync + 'static) {
        lock(&self.topics).witness = Some(Witness(Arc::new(witness)));
    }

    /// Completes when the log grows, counted from now.
    pub(super) fn grows(&self) -> OwnedNotified {
        self.grown.changes()
    }

    fn appended(&self, record: Option<&Record>) {
        let witness = lock(&self.topics).witness.clone();
        if let (Some(Witness(witness)), Some(record)) = (witness, record) {
            witness(record);
        }
        self.grown.set(());
    }
}

impl Topics {
    fn partition(&self, partition: &TopicPartition) -> &[Record] {
        self.by_name
            .get(&partition.topic)
            .and_then(|topic| {
                topic
                    .partitions
                    .get(usize::try_from(partition.partition).ok()?)
            })
            .map_or(&[], Vec::as_slice)
    }

    fn append(&mut self, record: OutgoingRecord) -> Option<Record> {
        let partitions = self.by_name.get(&record.topic)?.partitions.len();
        let number = match &record.key {
            Some(key) => partition_of_key(key, partitions as i32),
            None => {
                self.unkeyed += 1;
                (self.unkeyed % partitions) as i32
            }
        };
        self.append_to(number, record)
    }

    fn append_to(&mut self, number: i32, record: OutgoingRecord) -> Option<Record> {
        let name = self.by_name.get_key_value(&record.topic)?.0.clone();
        let topic = self.by_name.get_mut(&name)?;
        let index = usize::try_from(number).ok()?;
        let partition = topic.partitions.get_mut(index)?;
        self.records += 1;
        let timestamp = match &self.clock {
            Some(clock) => Some(clock.now()),
            None => Timestamp::from_millisecond(self.records).ok(),
        };
        topic.order.push((index, partition.len()));
        let appended = Record {
            partition: TopicPartition::new(name, number),
            offset: Offset(partition.len() as i64),
            timestamp,
            key: record.key,
            value: record.value,
            headers: record.headers,
        };
        partition.push(appended.clone());
        Some(appended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Note;

    #[test]
    fn records_of_a_key_share_a_partition_and_count_up() {
        let log = MemoryLog::new().with_topic("notes", 4);

        let first = log.produce("1", &Note::new("a", "x"));
        log.produce("2", &Note::new("b", "y"));
        let second = log.produce("3", &Note::new("a", "z"));

        assert_eq!(first.partition, second.partition);
        assert!(first.offset < second.offset);
        assert_eq!(log.records("notes").len(), 3);
        assert_eq!(log.end(&second.partition), second.offset.next());
        assert_eq!(
            log.read(&second.partition, second.offset.next(), 9),
            Vec::new()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_test_is_woken_by_an_append() {
        let log = MemoryLog::new().with_topic("notes", 1);
        let waiting = tokio::spawn({
            let log = log.clone();
            async move { log.wait_until(|log| log.records("notes").len() == 2).await }
        });
        tokio::task::yield_now().await;

        log.produce("1", &Note::new("a", "x"));
        log.produce("2", &Note::new("a", "y"));

        waiting.await.expect("woken");
    }

    #[test]
    fn a_record_for_a_missing_topic_is_not_taken() {
        let log = MemoryLog::new();
        assert_eq!(log.append(Note::new("a", "x").outgoing("1")), None);
    }
}
