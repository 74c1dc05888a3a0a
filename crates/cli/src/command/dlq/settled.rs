//! What became of dead letters: which were redriven or discarded, by what stands in the redrive topics of groups.
//!
//! The redrive topic is the truth, not the audit: a record is in it or not, whatever became of the run that sent it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use longshore_event::{AnyDeadLetter, Redrive, RedriveAction, redrive_topic};
use longshore_kafka::KafkaError;

use super::Place;
use super::audit;
use super::letters::Letters;
use crate::arguments::Global;

/// What became of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(super) enum State {
    /// Nothing yet.
    Open,
    /// It went back to its consumer group. If it failed there again, that is another dead letter.
    Redriven,
    /// It was given up.
    Discarded,
}

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Redriven => "redriven",
            Self::Discarded => "discarded",
        }
    }
}

/// The dead letters of one topic that are settled: some 60 bytes for each that is.
#[derive(Debug, Default)]
pub(super) struct Settled {
    marks: HashMap<Place, Vec<(Arc<str>, RedriveAction)>>,
    runs: HashMap<String, u64>,
}

impl Settled {
    /// Looks into the redrive topics of all groups that the audit knows for this dead-letter topic.
    pub(super) async fn of(global: &Global, topic: &str) -> Result<Self, KafkaError> {
        let groups = audit::groups(global, topic).await?;
        Self::in_groups(global, topic, groups).await
    }

    /// Looks into the redrive topics of these groups. One that does not exist has redriven nothing.
    pub(super) async fn in_groups(
        global: &Global,
        topic: &str,
        groups: BTreeSet<String>,
    ) -> Result<Self, KafkaError> {
        let mut settled = Self::default();
        for group in groups {
            match Letters::open(global, &redrive_topic(&group), None).await {
                Err(KafkaError::UnknownTopic { .. }) => {}
                opened => settled.read(opened?, topic, &group).await?,
            }
        }
        Ok(settled)
    }

    /// Looks into the redrive topic of this group, which exists, without a word about it.
    pub(super) async fn silently(
        global: &Global,
        topic: &str,
        group: &str,
    ) -> Result<Self, KafkaError> {
        let mut settled = Self::default();
        let redriven = Letters::open_silently(global, &redrive_topic(group), None).await?;
        settled.read(redriven, topic, group).await?;
        Ok(settled)
    }

    async fn read(
        &mut self,
        mut redriven: Letters,
        topic: &str,
        group: &str,
    ) -> Result<(), KafkaError> {
        let group: Arc<str> = group.into();
        while let Some(record) = redriven.next().await? {
            if let Some(redrive) = Redrive::read(&record.headers) {
                self.add(topic, &group, redrive);
            }
        }
        Ok(())
    }

    fn add(&mut self, topic: &str, group: &Arc<str>, redrive: Redrive) {
        let Some(of) = redrive.of.filter(|of| *of.partition.topic == *topic) else {
            return;
        };
        let place = Place {
            partition: of.partition.partition,
            offset: of.offset,
        };
        let marks = self.marks.entry(place).or_default();
        // Earlier versions sent without transactions, and a record may be there twice.
        if !marks.iter().any(|(other, _)| other == group) {
            *self.runs.entry(redrive.run).or_default() += 1;
            marks.push((Arc::clone(group), redrive.action));
        }
    }

    /// What became of the letter at `place`. One that belongs to a group is settled by this group alone.
    pub(super) fn state(&self, place: Place, letter: Option<&AnyDeadLetter>) -> State {
        let owner = letter.and_then(owner);
        let marks = self.marks.get(&place).into_iter().flatten();
        let mut marks = marks.filter(|(group, _)| owner.is_none_or(|owner| owner == &**group));
        match marks.next() {
            None => State::Open,
            Some((_, RedriveAction::Handle)) => State::Redriven,
            Some((_, RedriveAction::Discard)) => State::Discarded,
        }
    }

    /// Whether the letter at `place` is settled for `group`.
    pub(super) fn has(&self, place: Place, group: &str) -> bool {
        let marks = self.marks.get(&place);
        marks.is_some_and(|marks| marks.iter().any(|(other, _)| &**other == group))
    }

    /// How many letters a run has settled.
    pub(super) fn of_run(&self, run: &str) -> u64 {
        self.runs.get(run).copied().unwrap_or(0)
    }
}

/// The group of ours that a letter belongs to. Groups in other systems' letters are other systems' groups.
pub(super) fn owner(letter: &AnyDeadLetter) -> Option<&str> {
    match letter.dialect {
        longshore_event::Dialect::Longshore => letter.group.as_deref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_event::{Offset, Position, TopicPartition};

    fn place(offset: i64) -> Place {
        Place {
            partition: 0,
            offset: Offset(offset),
        }
    }

    fn redrive(topic: &str, offset: i64, action: RedriveAction) -> Redrive {
        let position = |topic: &str| Position {
            partition: TopicPartition::new(topic, 0),
            offset: Offset(offset),
        };
        Redrive {
            origin: position("a"),
            count: 1,
            action,
            run: "r".into(),
            of: Some(position(topic)),
        }
    }

    #[test]
    fn a_letter_is_settled_once_and_only_by_what_was_made_from_it() {
        let mut settled = Settled::default();
        let group: Arc<str> = "g".into();
        settled.add("a.dlq", &group, redrive("a.dlq", 1, RedriveAction::Handle));
        settled.add("a.dlq", &group, redrive("a.dlq", 1, RedriveAction::Handle));
        settled.add("a.dlq", &group, redrive("a.dlq", 2, RedriveAction::Discard));
        settled.add("a.dlq", &group, redrive("b.dlq", 3, RedriveAction::Handle));

        assert_eq!(settled.state(place(1), None), State::Redriven);
        assert_eq!(settled.state(place(2), None), State::Discarded);
        assert_eq!(settled.state(place(3), None), State::Open);
        assert_eq!(settled.of_run("r"), 2);
        assert!(settled.has(place(1), "g") && !settled.has(place(1), "other"));
    }
}
