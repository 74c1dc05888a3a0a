//! What redrive and discard are told on the command line.

use std::num::NonZeroU64;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args};

use super::edit::Edit;
use crate::arguments::TopicsDir;
use crate::command::dlq::TopicArguments;
use crate::command::dlq::selection::Selection;
use crate::command::produce::rate;
use crate::parse::{name, whole_number};

/// How often a letter may have been redriven before this refuses to do it again, unless more is asked for.
const MAX_REDRIVES: u32 = 5;

pub(in crate::command::dlq) const REDRIVE_HELP: &str = "\
Without --yes nothing is sent: the command shows what it would do. With it, each letter goes to GROUP.redrive, a topic \
that only this consumer group reads, and its workers handle it as if it stood where it first failed. A letter that was \
redriven or discarded before is skipped, so the same command twice does nothing the second time. One that fails again is \
another dead letter.

Letters are sent in Kafka transactions of the id GROUP/redrive/longshore, which one run at a time can have: whoever begins \
ends any other run for the group, which says that it was fenced and how to go on with it, and what a killed run left \
half sent. So no letter goes twice, whatever happens to runs. A run that was stopped, killed or fenced goes on with --resume.

--group is needed when letters of several groups are meant, and for letters of other systems than Longshore.

Edits are made before anything is sent; edited values must be what the topic's JSON Schema asks for, and keep the field \
that the topic's file names as the key. A dry run shows the first of them before and after. The value before \
stays in the header longshore-redrive-original-value if it has at most 12 KiB, and in the dead letter. Who did what is \
told in the topic longshore.redrives.

Examples:
  longshore dlq redrive order.created
  longshore dlq redrive order.created --fingerprint 8c41d6 --limit 1 --yes
  longshore dlq redrive order.created --since 2h --rate 50 --yes
  longshore dlq redrive order.created --key o-17 --edit '/items/0/quantity=1' --yes
  longshore dlq redrive order.created --edit-with 'jq -c .currency=\"USD\"'
  longshore dlq redrive orders.DLT --group billing --yes
  longshore dlq redrive order.created --resume 0193b8a2-... --yes";

pub(in crate::command::dlq) const DISCARD_HELP: &str = "\
Without --yes nothing is done: the command shows what it would do. The dead letters stay where they are until their \
retention is over; a note in GROUP.redrive says that they were given up, so that `longshore dlq list` shows it, a redrive \
skips them, and a key that a strict worker keeps parked goes on. As with a redrive, whoever begins with --yes ends any \
other run for the group, and no letter is noted twice.

Examples:
  longshore dlq discard order.created --fingerprint 8c41d6
  longshore dlq discard order.created --key o-17 --yes
  longshore dlq discard order.created --until 2026-11-01 --as oncall --yes";

/// What redrive and discard have in common.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(super) topic: TopicArguments,
    #[command(flatten)]
    pub(super) selection: Selection,
    /// The one consumer group that is meant
    #[arg(long, env = "LONGSHORE_DLQ_GROUP", value_name = "GROUP", value_parser = name)]
    pub(super) group: Option<String>,
    /// Do it, and end any other run for the group
    #[arg(long, short, env = "LONGSHORE_YES", value_parser = FalseyValueParser::new())]
    pub(super) yes: bool,
    /// Letters a second, such as 50 or 50/s; as fast as they are acknowledged if not given
    #[arg(long, env = "LONGSHORE_RATE", value_name = "N", value_parser = rate, allow_negative_numbers = true)]
    pub(super) rate: Option<f64>,
    /// At most so many letters
    #[arg(long, env = "LONGSHORE_DLQ_LIMIT", value_name = "N", value_parser = whole_number, allow_negative_numbers = true)]
    pub(super) limit: Option<NonZeroU64>,
    /// Go on with a run that was stopped; what it is about stands in its audit
    #[arg(
        long,
        env = "LONGSHORE_DLQ_RESUME",
        value_name = "RUN",
        conflicts_with_all = ["fingerprint", "key", "error", "since", "until", "headers", "group", "limit"]
    )]
    pub(super) resume: Option<String>,
    /// Who does it, for the audit (default: USER at HOST)
    #[arg(long = "as", env = "LONGSHORE_AS", value_name = "NAME")]
    pub(super) by: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RedriveArguments {
    #[command(flatten)]
    pub(super) run: RunArguments,
    /// Put a JSON value where a JSON Pointer leads; may be repeated. In the environment: one a line
    #[arg(
        long = "edit",
        env = "LONGSHORE_DLQ_EDIT",
        value_name = "POINTER=JSON",
        value_delimiter = '\n',
        action = ArgAction::Append,
        conflicts_with = "resume"
    )]
    pub(super) edits: Vec<Edit>,
    /// Give each value to the standard input of this shell command; what it writes, at most 512 KiB, is the new value
    #[arg(long, env = "LONGSHORE_DLQ_EDIT_WITH", value_name = "COMMAND")]
    pub(super) edit_with: Option<String>,
    /// Refuse letters that were redriven so often before
    #[arg(
        long,
        env = "LONGSHORE_DLQ_MAX_REDRIVES",
        value_name = "N",
        default_value_t = MAX_REDRIVES,
        conflicts_with = "resume"
    )]
    pub(super) max_redrives: u32,
    #[command(flatten)]
    pub(super) directory: TopicsDir,
}

#[derive(Debug, Args)]
pub(crate) struct DiscardArguments {
    #[command(flatten)]
    pub(super) run: RunArguments,
}

impl std::convert::From<DiscardArguments> for RedriveArguments {
    fn from(arguments: DiscardArguments) -> Self {
        Self {
            run: arguments.run,
            edits: Vec::new(),
            edit_with: None,
            // Giving up what is redriven again and again is what the guard is for.
            max_redrives: u32::MAX,
            directory: TopicsDir {
                given_topics_dir: None,
            },
        }
    }
}
