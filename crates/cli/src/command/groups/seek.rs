//! `longshore groups seek`: what a consumer group reads next, partition by partition.

mod plan;

use std::str::FromStr;

use anyhow::bail;
use clap::Args;
use clap::builder::FalseyValueParser;
use jiff::Timestamp;
use longshore_kafka::{Admin, KafkaError};
use serde_json::json;

use crate::arguments::Global;
use crate::moment::{Moment, WRITTEN};
use crate::output::{Output, counted, note, wrong_usage};
use crate::parse::name;
use crate::table::Table;
use plan::{Move, Plan};

pub(super) const HELP: &str = "\
Without --yes nothing is changed: the command shows what it would do. A group that has members is left alone, since \
they decide by themselves what they read next: stop its workers first.

WHERE is `beginning`, `end`, `-N` (N offsets before the end), a time (2026-11-23T08:00:00Z; UTC if it has no offset), \
how long ago (15m, 2h, 7d), or an offset. It is taken for each partition, and kept between its begin and its end. A group that has never read \
anything is made, if --topic says where it is to begin. A worker with a store skips what its \
inbox still knows, so reading again repeats nothing that is younger than its inbox.

Examples:
  longshore groups seek order-created --to beginning
  longshore groups seek order-created --to 2h --yes
  longshore groups seek order-created --topic order.created --to -100 --yes
  longshore groups seek order-created --topic order.created --partition 2 --to 4711 --yes";

#[derive(Debug, Args)]
pub(crate) struct SeekArguments {
    /// The consumer group
    #[arg(value_parser = name)]
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
        value_delimiter = ',',
        value_parser = name
    )]
    topics: Vec<String>,
    /// Move this partition of the one --topic only; may be repeated [default: all]
    #[arg(
        long = "partition",
        env = "LONGSHORE_SEEK_PARTITION",
        value_name = "N",
        value_delimiter = ',',
        value_parser = clap::value_parser!(i32).range(0..)
    )]
    partitions: Vec<i32>,
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

pub(super) async fn run(
    global: &Global,
    admin: &Admin,
    arguments: SeekArguments,
) -> anyhow::Result<()> {
    if !arguments.partitions.is_empty() && arguments.topics.len() != 1 {
        return Err(wrong_usage(
            "--partition needs the one --topic that it is of",
        ));
    }
    let group = match admin.describe_group(&arguments.group).await {
        Ok(group) => Some(group),
        // Where a new group begins can be said before it first joins.
        Err(KafkaError::UnknownGroup { .. }) if !arguments.topics.is_empty() => None,
        Err(error) => return Err(error.into()),
    };
    let plan = Plan::make(admin, &arguments, group.as_ref()).await?;
    let members = group.as_ref().map_or(0, |group| group.members.len());
    let refusal = (members > 0).then(|| active(&arguments.group, members));
    if let (true, Some(refusal)) = (arguments.yes, &refusal) {
        bail!("{refusal}");
    }
    let changed = plan.changed();
    if arguments.yes {
        admin.commit_offsets(&arguments.group, &changed).await?;
    }
    print(global.output(), &arguments, &plan, refusal.as_deref())?;
    plan.tell_special(&arguments);
    if arguments.yes {
        note(format_args!(
            "{} of {} moved.",
            changed.len(),
            counted(plan.moves.len() as u64, "partition", "partitions")
        ));
    } else if let Some(refusal) = refusal {
        note(format_args!(
            "Nothing was changed, and --yes would be refused: {refusal}."
        ));
    } else {
        note("Nothing was changed; --yes does it.");
    }
    Ok(())
}

fn active(group: &str, members: usize) -> String {
    let members = counted(members as u64, "active member", "active members");
    format!("consumer group {group} has {members}: stop its workers first")
}

fn print(
    output: Output,
    arguments: &SeekArguments,
    plan: &Plan,
    refusal: Option<&str>,
) -> anyhow::Result<()> {
    if output.json {
        return output.json(&json!({
            "group": arguments.group,
            "done": arguments.yes,
            "newGroup": plan.is_new_group,
            "newTopics": plan.new_topics,
            "partitions": plan.moves.iter().map(Move::as_json).collect::<Vec<_>>(),
            "refusal": refusal,
        }));
    }
    let mut table = Table::new(&["PARTITION", "FROM", "TO", "CHANGE", "LAG"]);
    for step in &plan.moves {
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
