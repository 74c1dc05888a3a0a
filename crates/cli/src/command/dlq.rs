//! `longshore dlq`: which records failed for good, why, and what was in them.

mod list;
mod show;

use std::str::FromStr;

use clap::{Args, Subcommand};
use longshore_event::{Offset, dead_letter_topic};

use crate::arguments::Global;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  longshore dlq list order.created
  longshore dlq show order.created 0/12")]
pub(crate) enum DlqCommand {
    /// One line for every dead letter of a topic
    #[command(
        after_help = "Examples:\n  longshore dlq list order.created\n  longshore dlq list order.created.dlq --json"
    )]
    List(ListArguments),
    /// One dead letter with its headers, its cause and its value
    #[command(after_help = "Example:\n  longshore dlq show order.created 0/12")]
    Show(ShowArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// The topic, or its dead-letter topic
    topic: String,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// The topic, or its dead-letter topic
    topic: String,
    /// Where it stands in the dead-letter topic, as `longshore dlq list` tells it
    #[arg(value_name = "PARTITION/OFFSET")]
    place: Place,
}

pub(crate) async fn run(global: &Global, command: DlqCommand) -> anyhow::Result<()> {
    match command {
        DlqCommand::List(arguments) => list::run(global, &topic_of(&arguments.topic)).await,
        DlqCommand::Show(arguments) => {
            show::run(global, &topic_of(&arguments.topic), arguments.place).await
        }
    }
}

/// The place of a record in its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

fn topic_of(name: &str) -> String {
    if name.ends_with(".dlq") {
        return name.to_owned();
    }
    dead_letter_topic(name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_and_its_dead_letter_topic_name_the_same() {
        assert_eq!(topic_of("a"), "a.dlq");
        assert_eq!(topic_of("a.dlq"), "a.dlq");
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
