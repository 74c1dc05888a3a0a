//! `longshore dlq`: which records failed for good, why, what was in them, and how they get back.
//!
//! [`letters`] reads a dead-letter topic, [`selection`] says which of its letters are meant, [`settled`] which were
//! redriven or discarded already. [`redrive`] takes them back, and [`audit`] tells who did.

mod audit;
mod letters;
mod list;
mod redrive;
mod selection;
mod settled;
mod show;
mod stats;

use std::str::FromStr;

use clap::{Args, Subcommand};
use longshore_event::{Offset, RedriveAction, dead_letter_topic};

use crate::arguments::Global;
use crate::output::warn_on_standard_error;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
TOPIC is a topic or its dead-letter topic: order.created is read as order.created.dlq. A name that ends with dlq or dlt \
is taken as it is, and so is any other with --exact. Dead letters of Longshore, of share groups (KIP-1191), Spring \
Kafka, Kafka Connect, Kafka Streams and Watermill are understood.

Examples:
  longshore dlq stats order.created
  longshore dlq list order.created --since 2h --error timeout
  longshore dlq show order.created 0/12
  longshore dlq redrive order.created --fingerprint 8c41d6ff02a1e9b3
  longshore dlq discard order.created --key o-17 --yes")]
pub(crate) enum DlqCommand {
    /// How many dead letters there are, by what went wrong
    #[command(after_help = "\
Failures with the same cause have the same fingerprint.

Examples:
  longshore dlq stats order.created
  longshore dlq stats order.created --since 2026-11-23 --json
  longshore dlq stats orders.DLT")]
    Stats(stats::StatsArguments),
    /// One line for every dead letter of a topic
    #[command(after_help = "\
Examples:
  longshore dlq list order.created
  longshore dlq list order.created --state open --fingerprint 8c41d6ff02a1e9b3
  longshore dlq list order.created.dlq --header ce_source=shop --json")]
    List(list::ListArguments),
    /// One dead letter with its headers, its cause and its value
    #[command(after_help = "\
With --json, the record as `longshore tail --json` tells it, with the state and the failure of `longshore dlq list --json`.

Examples:
  longshore dlq show order.created 0/12
  longshore dlq show order.created 0/12 --json | jq .failure")]
    Show(ShowArguments),
    /// Take dead letters back to the consumer group in which they failed, once and only once
    #[command(after_help = redrive::REDRIVE_HELP)]
    Redrive(redrive::RedriveArguments),
    /// Give dead letters up: nothing is handled, and a key that waits for them goes on
    #[command(after_help = redrive::DISCARD_HELP)]
    Discard(redrive::DiscardArguments),
}

/// Whose dead letters.
#[derive(Clone, Debug, Args)]
pub(super) struct TopicArguments {
    /// The topic, or its dead-letter topic
    #[arg(value_name = "TOPIC", value_parser = crate::parse::name)]
    name: String,
    /// TOPIC is the dead-letter topic, whatever its name
    #[arg(long, env = "LONGSHORE_DLQ_EXACT", value_parser = clap::builder::FalseyValueParser::new())]
    exact: bool,
}

impl TopicArguments {
    /// The name of the dead-letter topic.
    fn dead_letters(&self) -> String {
        let lower = self.name.to_ascii_lowercase();
        let ends = [".dlq", "-dlq", "_dlq", ".dlt", "-dlt", "_dlt"];
        if self.exact || ends.iter().any(|end| lower.ends_with(end)) {
            return self.name.clone();
        }
        dead_letter_topic(&self.name).to_string()
    }
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    #[command(flatten)]
    topic: TopicArguments,
    /// Where it stands in the dead-letter topic, as `longshore dlq list` tells it
    #[arg(value_name = "PARTITION/OFFSET")]
    place: Place,
}

pub(crate) async fn run(global: &Global, command: DlqCommand) -> anyhow::Result<()> {
    // Outages are waited for, and told by the log.
    warn_on_standard_error();
    match command {
        DlqCommand::Stats(arguments) => stats::run(global, &arguments).await,
        DlqCommand::List(arguments) => list::run(global, &arguments).await,
        DlqCommand::Show(arguments) => {
            show::run(global, &arguments.topic.dead_letters(), arguments.place).await
        }
        DlqCommand::Redrive(arguments) => {
            redrive::run(global, RedriveAction::Handle, arguments).await
        }
        DlqCommand::Discard(arguments) => {
            redrive::run(global, RedriveAction::Discard, arguments.into()).await
        }
    }
}

/// The place of a record in its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Place {
    partition: i32,
    offset: Offset,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |text: &str| {
            let (partition, offset) = text.split_once('/')?;
            let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
            (partition >= 0 && offset >= 0).then_some(Self {
                partition,
                offset: Offset(offset),
            })
        };
        parse(text).ok_or_else(|| "write PARTITION/OFFSET, such as 0/12".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_and_its_dead_letter_topic_name_the_same() {
        let dead_letters = |name: &str, exact| {
            let name = name.to_owned();
            TopicArguments { name, exact }.dead_letters()
        };
        assert_eq!(dead_letters("a", false), "a.dlq");
        for name in ["a.dlq", "a.DLT", "a-dlt", "connect_dlq"] {
            assert_eq!(dead_letters(name, false), name);
        }
        assert_eq!(dead_letters("poison", true), "poison");
    }

    #[test]
    fn a_place_is_a_partition_and_an_offset() {
        let place = Place {
            partition: 0,
            offset: Offset(12),
        };
        assert_eq!("0/12".parse(), Ok(place));
        for text in ["", "0", "0/", "/1", "a/b", "-1/0", "0/-1", "0/1/2"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
