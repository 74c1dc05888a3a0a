//! A producer into a log in memory, which can be cut off, slowed down, or made to fail on a given record.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longshore_event::OutgoingRecord;
use longshore_worker::{CommitError, PublishError, PublishErrorKind, Publisher};

use super::{MemoryLog, Watched, lock};

/// A [`Publisher`] into a [`MemoryLog`]. Clones share the faults. A record for a topic that the log does not have
/// fails with [`PublishErrorKind::UnknownTopic`].
#[derive(Clone, Debug)]
pub struct MemoryPublisher {
    log: MemoryLog,
    faults: Arc<Mutex<Faults>>,
    gate: Watched<Gate>,
}

#[derive(Debug, Default)]
struct Faults {
    /// By the number of the record, counting from 1, of all that were ever tried.
    by_record: BTreeMap<u64, PublishErrorKind>,
    by_topic: BTreeMap<String, PublishErrorKind>,
    latency: Duration,
    attempts: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Open,
    /// Nothing is sent.
    Down,
    /// Records are sent, but no acknowledgement comes back.
    Silent,
}

impl MemoryPublisher {
    /// A producer without faults.
    pub fn new(log: &MemoryLog) -> Self {
        Self {
            log: log.clone(),
            faults: Arc::default(),
            gate: Watched::new(Gate::Open),
        }
    }

    /// Fails the `n`-th record from now, once; the next one is 1.
    pub fn fail_record(&self, n: u64, kind: PublishErrorKind) {
        let mut faults = lock(&self.faults);
        let number = faults.attempts + n;
        faults.by_record.insert(number, kind);
    }

    /// Fails every record for the topic until [`MemoryPublisher::accept_topic`].
    pub fn refuse_topic(&self, topic: &str, kind: PublishErrorKind) {
        lock(&self.faults).by_topic.insert(topic.to_owned(), kind);
    }

    /// Ends [`MemoryPublisher::refuse_topic`].
    pub fn accept_topic(&self, topic: &str) {
        lock(&self.faults).by_topic.remove(topic);
    }

    /// From now on nothing is sent: calls wait until [`MemoryPublisher::available`].
    pub fn unavailable(&self) {
        self.gate.set(Gate::Down);
    }

    /// From now on records are sent, but calls do not return until [`MemoryPublisher::available`]. A worker that is
    /// dropped meanwhile has published without knowing.
    pub fn lose_acknowledgements(&self) {
        self.gate.set(Gate::Silent);
    }

    /// Ends both kinds of outage.
    pub fn available(&self) {
        self.gate.set(Gate::Open);
    }

    /// Each call takes this long, in tokio's time.
    pub fn set_latency(&self, latency: Duration) {
        lock(&self.faults).latency = latency;
    }

    /// Records that were tried, sent or not.
    pub fn attempts(&self) -> u64 {
        lock(&self.faults).attempts
    }

    /// Publishes all of these if `commit` succeeds, or none: where one cannot be published, it is not asked.
    ///
    /// # Errors
    /// What `commit` says; [`CommitError::Unavailable`] about the first record that cannot be published.
    pub(super) async fn transact(
        &self,
        records: &[&OutgoingRecord],
        commit: impl FnOnce() -> Result<(), CommitError>,
    ) -> Result<(), CommitError> {
        self.reach().await;
        for record in records {
            let fault = lock(&self.faults).next(&record.topic);
            let is_missing = self.log.partitions(&record.topic).is_empty();
            let fault = fault.or(is_missing.then_some(PublishErrorKind::UnknownTopic));
            if let Some(kind) = fault {
                return Err(CommitError::Unavailable(refusal(record, kind).into()));
            }
        }
        commit()?;
        for record in records {
            // Nobody takes a topic away; it was there a moment ago.
            self.log.append((*record).clone());
        }
        self.pass(|gate| gate != Gate::Open).await;
        Ok(())
    }

    async fn reach(&self) {
        let latency = lock(&self.faults).latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        self.pass(|gate| gate == Gate::Down).await;
    }

    async fn pass(&self, blocked: impl Fn(Gate) -> bool) {
        self.gate.until(|gate| !blocked(gate)).await;
    }

    fn send(&self, record: &OutgoingRecord) -> Result<(), PublishError> {
        let fault = lock(&self.faults).next(&record.topic);
        match fault {
            Some(kind) => Err(refusal(record, kind)),
            None if self.log.append(record.clone()).is_some() => Ok(()),
            None => Err(refusal(record, PublishErrorKind::UnknownTopic)),
        }
    }
}

fn refusal(record: &OutgoingRecord, kind: PublishErrorKind) -> PublishError {
    PublishError {
        topic: record.topic.clone(),
        kind,
        source: "a fault of the test".into(),
    }
}

impl Publisher for MemoryPublisher {
    async fn publish(&self, records: &[OutgoingRecord]) -> Vec<Result<(), PublishError>> {
        self.reach().await;
        let results = records.iter().map(|record| self.send(record)).collect();
        self.pass(|gate| gate != Gate::Open).await;
        results
    }
}

impl Faults {
    fn next(&mut self, topic: &str) -> Option<PublishErrorKind> {
        self.attempts += 1;
        let by_record = self.by_record.remove(&self.attempts);
        by_record.or_else(|| self.by_topic.get(topic).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Note;

    fn notes(ids: &[&str]) -> Vec<OutgoingRecord> {
        ids.iter()
            .map(|id| Note::new("a", id).outgoing(id))
            .collect()
    }

    #[tokio::test]
    async fn the_chosen_record_fails_and_its_neighbours_are_sent() {
        let log = MemoryLog::new().with_topic("notes", 1);
        let publisher = MemoryPublisher::new(&log);
        publisher.fail_record(2, PublishErrorKind::TooLarge);

        let results = publisher.publish(&notes(&["1", "2", "3"])).await;

        let failed: Vec<_> = results.iter().map(Result::is_err).collect();
        assert_eq!(failed, [false, true, false]);
        assert_eq!(log.records("notes").len(), 2);
    }

    #[tokio::test]
    async fn a_missing_topic_fails_until_it_is_created() {
        let log = MemoryLog::new();
        let publisher = MemoryPublisher::new(&log);

        let first = publisher.publish(&notes(&["1"])).await;
        log.create_topic("notes", 1);
        let second = publisher.publish(&notes(&["1"])).await;

        let error = first[0].as_ref().expect_err("no topic");
        assert_eq!(error.kind, PublishErrorKind::UnknownTopic);
        assert!(second[0].is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_makes_calls_wait() {
        let log = MemoryLog::new().with_topic("notes", 1);
        let publisher = MemoryPublisher::new(&log);
        publisher.unavailable();
        let call = tokio::spawn({
            let publisher = publisher.clone();
            async move { publisher.publish(&notes(&["1"])).await }
        });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!call.is_finished());
        assert!(log.records("notes").is_empty());

        publisher.available();

        assert!(call.await.expect("done")[0].is_ok());
        assert_eq!(log.records("notes").len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn without_acknowledgements_records_are_sent_but_the_call_hangs() {
        let log = MemoryLog::new().with_topic("notes", 1);
        let publisher = MemoryPublisher::new(&log);
        publisher.lose_acknowledgements();

        let records = notes(&["1"]);
        let call = tokio::time::timeout(Duration::from_secs(9), publisher.publish(&records));

        assert!(call.await.is_err());
        assert_eq!(log.records("notes").len(), 1);
    }
}
