//! The partitions that are this worker's, each with its watermark and what it has outstanding.

use std::collections::BTreeMap;

use longshore_event::{NextOffset, Offset, Record, TopicPartition};

use crate::Metrics;
use crate::lanes::LaneScope;
use crate::metrics::TopicMetrics;
use crate::tenure::Tenure;
use crate::watermark::{Ticket, Watermark};

/// One stay of a partition with this worker. If it comes back it is another assignment, so that what was left of the
/// first stay cannot be taken for the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AssignmentId(usize);

/// Where a message belongs: its assignment, and its record there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) assignment: AssignmentId,
    /// `None` if its offset is free already: it was parked.
    ticket: Option<Ticket>,
}

#[derive(Debug)]
struct Assignment {
    partition: TopicPartition,
    watermark: Watermark,
    /// Messages that are neither finished nor dropped.
    outstanding: usize,
    /// The oldest message that is left to the next owner.
    left: Option<Ticket>,
    /// Whether what earlier owners left of it is known: before that nothing that is parked is looked at.
    is_taken_over: bool,
    /// About to move: nothing more of it is started.
    leaving: bool,
    /// What its handlers watch: they end with it.
    tenure: Tenure,
    /// What was last handed to the source.
    committed: Option<NextOffset>,
    metrics: TopicMetrics,
}

/// A partition, looked at from outside.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    pub(crate) partition: &'a TopicPartition,
    pub(crate) committed: Option<NextOffset>,
    pub(crate) watermark: Option<NextOffset>,
    pub(crate) outstanding: usize,
    pub(crate) oldest: Option<Oldest>,
}

/// The oldest message of a partition that is not finished.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Oldest {
    pub(crate) place: Place,
    pub(crate) offset: Offset,
}

#[derive(Debug)]
pub(crate) struct Assignments {
    /// By [`AssignmentId`]; ids are never used again, and a past assignment costs one empty pointer.
    all: Vec<Option<Box<Assignment>>>,
    held: BTreeMap<TopicPartition, AssignmentId>,
    /// How many are over.
    ended: usize,
    metrics: Metrics,
}

impl Assignments {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self {
            all: Vec::new(),
            held: BTreeMap::new(),
            ended: 0,
            metrics,
        }
    }

    pub(crate) fn add(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            let assignment = Assignment {
                partition: partition.clone(),
                watermark: Watermark::default(),
                outstanding: 0,
                left: None,
                is_taken_over: false,
                leaving: false,
                tenure: Tenure::default(),
                committed: None,
                metrics: self.metrics.of_topic(&partition.topic),
            };
            let id = AssignmentId(self.all.len());
            self.all.push(Some(Box::new(assignment)));
            if let Some(previous) = self.held.insert(partition.clone(), id) {
                self.end(previous);
            }
        }
    }

    /// Partitions that have moved on. What is still in flight of them no longer has a place.
    pub(crate) fn remove(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            if let Some(id) = self.held.remove(partition) {
                self.end(id);
                self.metrics.let_go(partition);
            }
        }
    }

    /// Nothing of this partition can take effect any more, though it is still here: its handlers end.
    pub(crate) fn give_up(&mut self, partition: &TopicPartition) {
        if let Some(assignment) = self.of_partition(partition) {
            assignment.tenure.end();
        }
    }

    /// They are taken over.
    pub(crate) fn taken_over(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            if let Some(assignment) = self.of_partition(partition) {
                assignment.is_taken_over = true;
            }
        }
    }

    /// From now on nothing more of these partitions is started.
    pub(crate) fn leave(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            if let Some(assignment) = self.of_partition(partition) {
                assignment.leaving = true;
            }
        }
    }

    /// Gives a record its place; `None` if its partition is not here or about to move.
    pub(crate) fn track(&mut self, record: &Record) -> Option<Place> {
        let id = *self.held.get(&record.partition)?;
        let assignment = self.all[id.0].as_mut().filter(|held| !held.leaving)?;
        assignment.metrics.consumed.inc();
        assignment.outstanding += 1;
        Some(Place {
            assignment: id,
            ticket: Some(assignment.watermark.track(record.offset)),
        })
    }

    /// Gives a parked message its place; `None` if its partition is not here or about to move.
    pub(crate) fn readmit(&mut self, partition: &TopicPartition) -> Option<Place> {
        let id = *self.held.get(partition)?;
        let assignment = self.all[id.0].as_mut().filter(|held| !held.leaving)?;
        assignment.outstanding += 1;
        Some(Place {
            assignment: id,
            ticket: None,
        })
    }

    /// The message waits for its commit.
    pub(crate) fn ready(&mut self, place: Place) {
        if let (Some(assignment), Some(ticket)) = (&mut self.all[place.assignment.0], place.ticket)
        {
            assignment.watermark.ready(ticket);
        }
    }

    /// Whether everything up to this message, in its partition, is finished or waits for its commit.
    pub(crate) fn completes_prefix(&mut self, place: Place) -> bool {
        match (&mut self.all[place.assignment.0], place.ticket) {
            (Some(assignment), Some(ticket)) => assignment.watermark.completes_prefix(ticket),
            _ => true,
        }
    }

    /// Sorts by partition, and within it by offset.
    pub(crate) fn log_order(place: Place) -> (usize, Option<Ticket>) {
        (place.assignment.0, place.ticket)
    }

    /// Every partition that is here.
    pub(crate) fn look(&self) -> impl Iterator<Item = Held<'_>> {
        self.held.values().filter_map(|id| {
            let assignment = self.all[id.0].as_deref()?;
            let oldest = assignment.watermark.oldest();
            Some(Held {
                partition: &assignment.partition,
                committed: assignment.committed,
                watermark: assignment.watermark.position(),
                outstanding: assignment.outstanding,
                oldest: oldest.map(|(ticket, offset)| Oldest {
                    place: Place {
                        assignment: *id,
                        ticket: Some(ticket),
                    },
                    offset,
                }),
            })
        })
    }

    /// How many stays have ended so far.
    pub(crate) fn ended(&self) -> usize {
        self.ended
    }

    /// Whether a message of this place may still take effect.
    pub(crate) fn holds(&self, place: Place) -> bool {
        self.all[place.assignment.0].is_some()
    }

    /// Whether a message of this place may still be started.
    pub(crate) fn may_start(&self, place: Place) -> bool {
        self.all[place.assignment.0]
            .as_ref()
            .is_some_and(|assignment| !assignment.leaving)
    }

    /// Whether this partition is here, and not about to move.
    pub(crate) fn is_worked_on(&self, partition: &TopicPartition) -> bool {
        let id = self.held.get(partition);
        let assignment = id.and_then(|id| self.all[id.0].as_ref());
        assignment.is_some_and(|assignment| !assignment.leaving)
    }

    /// Whether what is parked of this partition may be drained: it is worked on, and taken over in this stay. A reading
    /// of an earlier one may come back in between.
    pub(crate) fn may_drain(&self, partition: &TopicPartition) -> bool {
        let id = self.held.get(partition);
        let assignment = id.and_then(|id| self.all[id.0].as_ref());
        assignment.is_some_and(|assignment| assignment.is_taken_over && !assignment.leaving)
    }

    /// The partition of a message; `None` if it has moved on.
    pub(crate) fn partition(&self, place: Place) -> Option<TopicPartition> {
        let assignment = self.all[place.assignment.0].as_ref()?;
        Some(assignment.partition.clone())
    }

    /// What a handler of this message watches; `None` if its partition has moved on.
    pub(crate) fn tenure(&self, place: Place) -> Option<&Tenure> {
        let assignment = self.all[place.assignment.0].as_ref()?;
        Some(&assignment.tenure)
    }

    pub(crate) fn metrics(&self, place: Place) -> Option<&TopicMetrics> {
        let assignment = self.all[place.assignment.0].as_ref()?;
        Some(&assignment.metrics)
    }

    /// The message is finished: it no longer holds the watermark back.
    pub(crate) fn finish(&mut self, place: Place) {
        if let Some(assignment) = &mut self.all[place.assignment.0] {
            assignment.outstanding -= 1;
            if let Some(ticket) = place.ticket {
                assignment.watermark.finish(ticket);
            }
        }
    }

    /// The message is left to the next owner: it holds the watermark back for good.
    pub(crate) fn abandon(&mut self, place: Place) {
        if let Some(assignment) = &mut self.all[place.assignment.0] {
            assignment.outstanding -= 1;
            let left = assignment.left.into_iter().chain(place.ticket);
            assignment.left = left.min();
        }
    }

    /// Messages of these partitions that can still be finished here. Where commits are prefixes of the log, nothing
    /// behind a message that is left to the next owner can.
    pub(crate) fn outstanding(&mut self, partitions: &[TopicPartition], scope: LaneScope) -> usize {
        let mut outstanding = 0;
        for partition in partitions {
            if let Some(assignment) = self.of_partition(partition) {
                let left = assignment.left.filter(|_| scope == LaneScope::Partition);
                if !left.is_some_and(|left| assignment.watermark.has_reached(left)) {
                    outstanding += assignment.outstanding;
                }
            }
        }
        outstanding
    }

    pub(crate) fn partitions(&self) -> Vec<TopicPartition> {
        let mut partitions: Vec<_> = self.held.keys().cloned().collect();
        partitions.sort();
        partitions
    }

    /// The watermarks of these partitions, where anything was finished.
    pub(crate) fn watermarks(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Vec<(TopicPartition, NextOffset)> {
        partitions
            .iter()
            .filter_map(|partition| {
                let next = self.of_partition(partition)?.watermark.next()?;
                Some((partition.clone(), next))
            })
            .collect()
    }

    /// The watermark of each partition of which anything came.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (&TopicPartition, NextOffset)> {
        let held = self.held.values().filter_map(|id| self.all[id.0].as_ref());
        held.filter_map(|one| Some((&one.partition, one.watermark.position()?)))
    }

    /// The watermarks that have moved since this was last asked.
    pub(crate) fn take_moved(&mut self) -> Vec<(TopicPartition, NextOffset)> {
        let mut moved = Vec::new();
        for id in self.held.values() {
            let Some(assignment) = &mut self.all[id.0] else {
                continue;
            };
            let next = assignment.watermark.next();
            if let Some(offset) = next.filter(|_| next != assignment.committed) {
                assignment.committed = next;
                moved.push((assignment.partition.clone(), offset));
            }
        }
        moved
    }

    fn end(&mut self, id: AssignmentId) {
        if let Some(assignment) = self.all[id.0].take() {
            assignment.tenure.end();
            self.ended += 1;
        }
    }

    fn of_partition(&mut self, partition: &TopicPartition) -> Option<&mut Assignment> {
        let id = self.held.get(partition)?;
        self.all[id.0].as_deref_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_event::Headers;
    use prometheus_client::registry::Registry;

    fn record(offset: i64) -> Record {
        Record {
            partition: TopicPartition::new("t", 0),
            offset: Offset(offset),
            timestamp: None,
            key: None,
            value: None,
            headers: Headers::new(),
        }
    }

    #[test]
    fn what_lies_behind_a_message_that_is_left_is_waited_for_unless_commits_are_prefixes() {
        let mut assignments = Assignments::new(Metrics::register(&mut Registry::default(), "g"));
        let partitions = [TopicPartition::new("t", 0)];
        assignments.add(&partitions);
        let places: Vec<_> = (0..4)
            .map(|offset| assignments.track(&record(offset)).expect("it is here"))
            .collect();
        let outstanding = |assignments: &mut Assignments| {
            [LaneScope::Group, LaneScope::Partition]
                .map(|scope| assignments.outstanding(&partitions, scope))
        };
        assignments.ready(places[3]);
        assert_eq!(outstanding(&mut assignments), [4, 4]);

        assignments.abandon(places[2]);
        assignments.abandon(places[1]);
        assert_eq!(
            outstanding(&mut assignments),
            [2, 2],
            "the first is to be waited for"
        );
        assignments.finish(places[0]);
        assert_eq!(outstanding(&mut assignments), [1, 0]);
    }
}
