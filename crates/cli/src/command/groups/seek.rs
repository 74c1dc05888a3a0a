//! `longshore groups seek`: what a consumer group reads next, partition by partition.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use anyhow::bail;
use clap::Args;
use clap::builder::FalseyValueParser;
use jiff::Timestamp;
use longshore_event::{NextOffset, TopicPartition, redrive_topic};
use longshore_kafka::{Admin, GroupDescription, KafkaError};
use serde_json::json;

use crate::arguments::Global;
use crate::moment::{Moment, WRITTEN};
use crate::output::{Output, note};
use crate::table::Table;

pub(super) const HELP: &str = "\
Without --yes nothing is changed: the command shows what it would do. A group that has members is left alone, since \
they decide by themselves what they read next: stop its workers first.

WHERE is `beginning`, `end`, `-N` (N offsets before the end), a time (2026-11-23T08:00:00Z; UTC if it has no offset), \
how long ago (15m, 2h, 7d), or an offset. It is taken for each partition, and kept between its begin and its end. A worker with a store skips what its \
inbox still knows, so reading again repeats nothing that is younger than its inbox.

Examples:
  longshore groups seek order-created --to beginning
  longshore groups seek order-created --to 2h --yes
  longshore groups seek order-created --topic order.created --to -100 --yes";

#[derive(Debug, Args)]
pub(crate) struct SeekArguments {
    /// The consumer group
    group: String,
    /// Where to read next: `beginning`, `end`, `-N`, a time, how long ago, or an offset
    #[arg(
        long,
        env = "LONGSHORE_SEEK_TO",
        value_name = "WHERE",
        allow_hyphen_values = true
    )]
    to: Target,
    /// Move in this topic only; may be repeated [default: every topic that the group has committed, without its redrives]
    #[arg(
        long = "topic",
        env = "LONGSHORE_SEEK_TOPIC",
        value_name = "TOPIC",
        value_delimiter = ','
    )]
    topics: Vec<String>,
    /// Do it
    #[arg(long, short, env = "LONGSHORE_YES", value_parser = FalseyValueParser::new())]
    yes: bool,
}

/// Where to read next, in each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Beginning,
    End,
    Last(i64),
    Time(Timestamp),
    Offset(i64),
}

/// What changes in one partition.
struct Move {
    partition: TopicPartition,
    from: Option<NextOffset>,
    to: NextOffset,
    end: NextOffset,
}

pub(super) async fn run(
    global: &Global,
    admin: &Admin,
    arguments: SeekArguments,
) -> anyhow::Result<()> {
    let group = match admin.describe_group(&arguments.group).await {
        Ok(group) => Some(group),
        // Where a new group begins can be said before it first joins.
        Err(KafkaError::UnknownGroup { .. }) if !arguments.topics.is_empty() => None,
        Err(error) => return Err(error.into()),
    };
    let moves = moves(admin, &arguments, group.as_ref()).await?;
    let members = group.as_ref().map_or(0, |group| group.members.len());
    if arguments.yes && members > 0 {
        bail!(active(&arguments.group, members));
    }
    let changed: Vec<_> = moves
        .iter()
        .filter(|step| step.from != Some(step.to))
        .map(|step| (step.partition.clone(), step.to))
        .collect();
    if arguments.yes {
        admin.commit_offsets(&arguments.group, &changed).await?;
    }
    print(global.output(), &arguments, &moves)?;
    if arguments.yes {
        note(format_args!(
            "{} of {} partitions moved.",
            changed.len(),
            moves.len()
        ));
    } else if members > 0 {
        note(format_args!(
            "Nothing was changed, and --yes would be refused: {}.",
            active(&arguments.group, members)
        ));
    } else {
        note("Nothing was changed; --yes does it.");
    }
    Ok(())
}

fn active(group: &str, members: usize) -> String {
    format!("consumer group {group} has {members} active members: stop its workers first")
}

async fn moves(
    admin: &Admin,
    arguments: &SeekArguments,
    group: Option<&GroupDescription>,
) -> anyhow::Result<Vec<Move>> {
    let known = group.map_or(&[][..], |group| &group.partitions);
    let committed: BTreeMap<&TopicPartition, Option<NextOffset>> = known
        .iter()
        .map(|line| (&line.partition, line.committed))
        .collect();
    let topics: BTreeSet<&str> = if arguments.topics.is_empty() {
        // A redrive that is read again has no effect; but who seeks means the topics of the business.
        let redrives = redrive_topic(&arguments.group);
        let topics = committed.keys().map(|partition| &*partition.topic);
        topics.filter(|topic| **topic != *redrives).collect()
    } else {
        arguments.topics.iter().map(String::as_str).collect()
    };
    if topics.is_empty() {
        bail!(
            "consumer group {} has committed no offsets; --topic names what to move in",
            arguments.group
        );
    }
    let mut moves = Vec::new();
    for topic in topics {
        let bounds = admin.offsets(topic).await?;
        let times: BTreeMap<_, _> = match arguments.to {
            Target::Time(at) => admin.offsets_at(topic, at).await?.into_iter().collect(),
            _ => BTreeMap::new(),
        };
        moves.extend(bounds.into_iter().map(|bounds| {
            let (begin, end) = (bounds.begin, bounds.end);
            let to = match arguments.to {
                Target::Beginning => begin,
                Target::End => end,
                Target::Last(count) => NextOffset(end.0.saturating_sub(count)),
                Target::Time(_) => times.get(&bounds.partition).copied().unwrap_or(end),
                Target::Offset(offset) => NextOffset(offset),
            };
            Move {
                from: committed.get(&bounds.partition).copied().flatten(),
                to: to.clamp(begin, end.max(begin)),
                end,
                partition: bounds.partition,
            }
        }));
    }
    Ok(moves)
}

fn print(output: Output, arguments: &SeekArguments, moves: &[Move]) -> anyhow::Result<()> {
    if output.json {
        let partitions = moves.iter().map(|step| {
            json!({
                "topic": step.partition.topic.as_ref(),
                "partition": step.partition.partition,
                "from": step.from.map(|next| next.0),
                "to": step.to.0,
                "end": step.end.0,
            })
        });
        return output.json(&json!({
            "group": arguments.group,
            "done": arguments.yes,
            "partitions": partitions.collect::<Vec<_>>(),
        }));
    }
    let mut table = Table::new(&["PARTITION", "FROM", "TO", "CHANGE", "LAG"]);
    for step in moves {
        let from = step.from.map(|next| next.to_string()).unwrap_or_default();
        let change = match step.from {
            Some(from) => format!("{:+}", step.to.0 - from.0),
            None => "new".to_owned(),
        };
        table.row(&[
            &step.partition.to_string(),
            &from,
            &step.to.to_string(),
            &change,
            &(step.end.0 - step.to.0).to_string(),
        ]);
    }
    table.lines().try_for_each(|line| output.line(line))?;
    Ok(())
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text, Timestamp::now())
            .ok_or_else(|| format!("write beginning, end, -N, an offset, {WRITTEN}"))
    }
}

fn parse(text: &str, now: Timestamp) -> Option<Target> {
    let number = |text: &str| text.parse().ok().filter(|number: &i64| *number >= 0);
    match text {
        "beginning" => return Some(Target::Beginning),
        "end" => return Some(Target::End),
        _ => {}
    }
    if let Some(count) = text.strip_prefix('-') {
        return number(count).map(Target::Last);
    }
    if let Some(offset) = number(text) {
        return Some(Target::Offset(offset));
    }
    Moment::parse(text, now).map(|moment| Target::Time(moment.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_place_a_count_an_offset_or_a_time() {
        let now: Timestamp = "2026-11-23T08:00:00Z".parse().expect("a time");
        let time = |text: &str| Target::Time(text.parse().expect("a time"));
        for (text, target) in [
            ("beginning", Target::Beginning),
            ("end", Target::End),
            ("-10", Target::Last(10)),
            ("10", Target::Offset(10)),
            ("2026-11-23T07:00:00Z", time("2026-11-23T07:00:00Z")),
            ("15m", time("2026-11-23T07:45:00Z")),
        ] {
            assert_eq!(parse(text, now), Some(target), "{text}");
        }
        for text in ["", "-", "--1", "soon", "-x", "0s"] {
            assert_eq!(parse(text, now), None, "{text}");
        }
    }
}
