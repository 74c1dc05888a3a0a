//! What a seek moves where, and what is special about it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use longshore_event::{NextOffset, TopicPartition, redrive_topic};
use longshore_kafka::{Admin, GroupDescription, PartitionBounds};
use serde_json::{Value, json};

use super::{SeekArguments, Target};
use crate::output::note;

/// Offsets that are not in their partitions and are told one by one.
const MAX_CLAMPED_TOLD: usize = 20;

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) moves: Vec<Move>,
    /// Whether the group has never committed anything, nor has members.
    pub(super) is_new_group: bool,
    /// Topics in which a group that there is has committed nothing.
    pub(super) new_topics: Vec<String>,
}

/// What changes in one partition.
#[derive(Debug)]
pub(super) struct Move {
    pub(super) partition: TopicPartition,
    pub(super) from: Option<NextOffset>,
    pub(super) to: NextOffset,
    pub(super) end: NextOffset,
    /// The offset that was asked for, if the partition does not have it.
    clamped: Option<NextOffset>,
}

impl Plan {
    pub(super) async fn make(
        admin: &Admin,
        arguments: &SeekArguments,
        group: Option<&GroupDescription>,
    ) -> anyhow::Result<Self> {
        let committed = committed(group);
        let mut plan = Self {
            moves: Vec::new(),
            is_new_group: group.is_none(),
            new_topics: Vec::new(),
        };
        for topic in topics(arguments, &committed)? {
            let mut bounds = admin.offsets(&topic).await?;
            only(&mut bounds, &topic, &arguments.partitions)?;
            let times: BTreeMap<_, _> = match arguments.to {
                Target::Time(at) => admin.offsets_at(&topic, at).await?.into_iter().collect(),
                _ => BTreeMap::new(),
            };
            plan.moves.extend(bounds.into_iter().map(|bounds| {
                let at = times.get(&bounds.partition).copied();
                Move::new(arguments.to, &committed, bounds, at)
            }));
            let is_known = committed.keys().any(|known| *known.topic == *topic);
            if group.is_some() && !is_known {
                plan.new_topics.push(topic);
            }
        }
        Ok(plan)
    }

    pub(super) fn changed(&self) -> Vec<(TopicPartition, NextOffset)> {
        let changed = self.moves.iter().filter(|step| step.from != Some(step.to));
        changed
            .map(|step| (step.partition.clone(), step.to))
            .collect()
    }

    /// What may be a slip: a name that nobody has, or an offset that is not there.
    pub(super) fn tell_special(&self, arguments: &SeekArguments) {
        let group = &arguments.group;
        let is_made = if arguments.yes { "was" } else { "will be" };
        if self.is_new_group {
            note(format_args!(
                "Consumer group {group} has never read anything here and {is_made} made: is it the right one?"
            ));
        }
        for topic in &self.new_topics {
            note(format_args!(
                "Consumer group {group} had no offsets in {topic}: is it the right topic?"
            ));
        }
        let clamped = self.moves.iter().filter_map(Move::told_clamped);
        clamped.clone().take(MAX_CLAMPED_TOLD).for_each(note);
        let untold = clamped.count().saturating_sub(MAX_CLAMPED_TOLD);
        if untold > 0 {
            note(format_args!("The same in {untold} more."));
        }
    }
}

impl Move {
    /// `at` is the offset of the time that is asked for; `None` if nothing is as young.
    fn new(
        target: Target,
        committed: &BTreeMap<TopicPartition, NextOffset>,
        bounds: PartitionBounds,
        at: Option<NextOffset>,
    ) -> Self {
        let (begin, end) = (bounds.begin, bounds.end);
        let asked = match target {
            Target::Beginning => begin,
            Target::End => end,
            Target::Last(count) => NextOffset(end.0.saturating_sub(count)),
            Target::Time(_) => at.unwrap_or(end),
            Target::Offset(offset) => NextOffset(offset),
        };
        let to = asked.clamp(begin, end.max(begin));
        // The last N of fewer are all of them, and no surprise.
        let is_clamped = matches!(target, Target::Offset(_)) && asked != to;
        Self {
            from: committed.get(&bounds.partition).copied(),
            to,
            end,
            clamped: is_clamped.then_some(asked),
            partition: bounds.partition,
        }
    }

    pub(super) fn as_json(&self) -> Value {
        json!({
            "topic": self.partition.topic.as_ref(),
            "partition": self.partition.partition,
            "from": self.from.map(|next| next.0),
            "to": self.to.0,
            "end": self.end.0,
            "clampedFrom": self.clamped.map(|asked| asked.0),
        })
    }

    fn told_clamped(&self) -> Option<String> {
        let asked = self.clamped?;
        let side = match asked > self.to {
            true => "beyond the end",
            false => "before the beginning",
        };
        let (partition, to) = (&self.partition, self.to);
        Some(format!(
            "Offset {asked} is {side} of {partition}: {to} is taken instead."
        ))
    }
}

fn committed(group: Option<&GroupDescription>) -> BTreeMap<TopicPartition, NextOffset> {
    let known = group.map_or(&[][..], |group| &group.partitions);
    let committed = known
        .iter()
        .filter_map(|line| Some((line.partition.clone(), line.committed?)));
    committed.collect()
}

/// The topics to move in.
fn topics(
    arguments: &SeekArguments,
    committed: &BTreeMap<TopicPartition, NextOffset>,
) -> anyhow::Result<BTreeSet<String>> {
    if !arguments.topics.is_empty() {
        return Ok(arguments.topics.iter().cloned().collect());
    }
    // A redrive that is read again has no effect; but who seeks means the topics of the business.
    let redrives = redrive_topic(&arguments.group);
    let topics = committed
        .keys()
        .map(|partition| partition.topic.to_string());
    let topics: BTreeSet<_> = topics.filter(|topic| **topic != *redrives).collect();
    if topics.is_empty() {
        bail!(
            "consumer group {} has committed no offsets; --topic names what to move in",
            arguments.group
        );
    }
    Ok(topics)
}

/// Keeps the partitions that are asked for, if any are.
fn only(bounds: &mut Vec<PartitionBounds>, topic: &str, asked: &[i32]) -> anyhow::Result<()> {
    let is_there = |asked: i32| bounds.iter().any(|one| one.partition.partition == asked);
    if let Some(missing) = asked.iter().find(|asked| !is_there(**asked)) {
        bail!(
            "{topic} has no partition {missing}; it has {}, numbered from 0",
            bounds.len()
        );
    }
    bounds.retain(|one| asked.is_empty() || asked.contains(&one.partition.partition));
    Ok(())
}
