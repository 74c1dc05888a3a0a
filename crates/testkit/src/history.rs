//! What a log must look like when all is done: nothing lost, nothing doubled, in order, each message with one end.
//!
//! A [`History`] is every record of every topic, as they stand in the log. [`History::check`] holds it against the
//! [`Stage`]s that wrote it: workers that answer each message with exactly one follow-on event or one dead letter.
//! A record may stand in the log again with the same id and the same bytes, since a crash between sending and noting
//! it sends again; readers know it by its id. [`check_effects`] is for the books of the outside world, which must
//! not even show that.

mod check;
mod violation;

use std::collections::BTreeMap;

use longshore_event::Record;

use check::Check;
pub use violation::Violation;

/// A worker: the group, what it reads, and where its follow-on events go.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// The consumer group, which is also the `ce_source` of what it publishes.
    pub group: &'a str,
    /// The topic that it reads.
    pub reads: &'a str,
    /// The topics that it publishes to; for each message to one of them.
    pub publishes: &'a [&'a str],
}

/// What a history that is in order holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Messages, by identity, over all stages.
    pub messages: usize,
    /// Follow-on events, by id.
    pub follow_ons: usize,
    /// Dead letters, by the position of the record that failed.
    pub dead_letters: usize,
    /// Follow-on events and dead letters that stand in the log once more.
    pub repeats: usize,
}

/// Every record of every topic.
#[derive(Clone, Debug)]
pub struct History {
    topics: BTreeMap<String, Vec<Record>>,
}

impl History {
    /// A history of these records, in whatever order they were read.
    pub fn new(records: impl IntoIterator<Item = Record>) -> Self {
        let mut topics: BTreeMap<String, Vec<Record>> = BTreeMap::new();
        for record in records {
            let topic = record.partition.topic.to_string();
            topics.entry(topic).or_default().push(record);
        }
        for records in topics.values_mut() {
            records.sort_by_key(|record| (record.partition.partition, record.offset));
        }
        Self { topics }
    }

    /// The records of a topic, by partition and offset.
    pub fn topic(&self, topic: &str) -> &[Record] {
        self.topics.get(topic).map_or(&[], Vec::as_slice)
    }

    /// Holds the history against the stages that wrote it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn check(&self, stages: &[Stage<'_>]) -> Result<Summary, Vec<Violation>> {
        let mut summary = Summary::default();
        let mut violations = Vec::new();
        for stage in stages {
            Check::new(self, stage, &mut summary, &mut violations).run();
        }
        if violations.is_empty() {
            return Ok(summary);
        }
        Err(violations)
    }
}

/// Checks that each effect on the outside world, named by what it is and whom it concerns, happened once, and counts
/// them.
///
/// # Errors
/// [`Violation::Repeated`] for each that happened more often.
pub fn check_effects(effects: impl IntoIterator<Item = String>) -> Result<usize, Vec<Violation>> {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for effect in effects {
        *times.entry(effect).or_default() += 1;
    }
    let count = times.len();
    let repeated = times.into_iter().filter(|(_, times)| *times > 1);
    let violations: Vec<_> = repeated
        .map(|(effect, times)| Violation::Repeated { effect, times })
        .collect();
    if violations.is_empty() {
        return Ok(count);
    }
    Err(violations)
}
