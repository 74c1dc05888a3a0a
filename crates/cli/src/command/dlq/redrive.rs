//! `longshore dlq redrive` and `discard`: dead letters go back to one consumer group, or are given up; once and only once.
//!
//! Two passes: [`plan`] reads the dead-letter topic, decides and edits, and is all that a dry run does; [`send`] reads it
//! again and publishes what was decided. What stands in the redrive topic is never sent again, whatever became of the
//! run that sent it, so that a run can be stopped at any moment and resumed.

mod edit;
mod plan;
mod schemas;
mod send;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use anyhow::{Context, bail};
use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args};
use longshore_event::{AnyDeadLetter, RedriveAction};
use longshore_kafka::Admin;
use uuid::Uuid;

use super::letters::Letters;
use super::selection::Selection;
use super::settled::{Settled, owner};
use super::{TopicArguments, audit};
use crate::arguments::{Global, TopicsDir};
use crate::command::produce::rate;
use edit::{Edit, Edits};
use plan::Plan;
use schemas::Schemas;

/// How often a letter may have been redriven before this refuses to do it again, unless more is asked for.
const MAX_REDRIVES: u32 = 5;

pub(super) const REDRIVE_HELP: &str = "\
Without --yes nothing is sent: the command shows what it would do. With it, each letter goes to GROUP.redrive, a topic \
that only this consumer group reads, and its workers handle it as if it stood where it first failed. A letter that was \
redriven or discarded before is skipped, so the same command twice does nothing the second time. One that fails again is \
another dead letter.

--group is needed when letters of several groups are meant, and for letters of other systems than Longshore.

Edits are made before anything is sent; edited values must be what the topic's JSON Schema asks for. The value before \
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

pub(super) const DISCARD_HELP: &str = "\
Without --yes nothing is done: the command shows what it would do. The dead letters stay where they are until their \
retention is over; a note in GROUP.redrive says that they were given up, so that `longshore dlq list` shows it, a redrive \
skips them, and a key that a strict worker keeps parked goes on.

Examples:
  longshore dlq discard order.created --fingerprint 8c41d6
  longshore dlq discard order.created --key o-17 --yes
  longshore dlq discard order.created --until 2026-11-01 --as oncall --yes";

/// What redrive and discard have in common.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    topic: TopicArguments,
    #[command(flatten)]
    selection: Selection,
    /// The one consumer group that is meant
    #[arg(long, env = "LONGSHORE_DLQ_GROUP", value_name = "GROUP")]
    group: Option<String>,
    /// Do it
    #[arg(long, short, env = "LONGSHORE_YES", value_parser = FalseyValueParser::new())]
    yes: bool,
    /// Letters a second, such as 50 or 50/s; as fast as they are acknowledged if not given
    #[arg(long, env = "LONGSHORE_RATE", value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// At most so many letters
    #[arg(long, env = "LONGSHORE_DLQ_LIMIT", value_name = "N")]
    limit: Option<NonZeroU64>,
    /// Go on with a run that was stopped; what it is about stands in its audit
    #[arg(
        long,
        env = "LONGSHORE_DLQ_RESUME",
        value_name = "RUN",
        conflicts_with_all = ["fingerprint", "key", "error", "since", "until", "headers", "group", "limit"]
    )]
    resume: Option<String>,
    /// Who does it, for the audit [default: user@host]
    #[arg(long = "as", env = "LONGSHORE_AS", value_name = "NAME")]
    by: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RedriveArguments {
    #[command(flatten)]
    run: RunArguments,
    /// Put a JSON value where a JSON Pointer leads; may be repeated. In the environment: one a line
    #[arg(
        long = "edit",
        env = "LONGSHORE_DLQ_EDIT",
        value_name = "POINTER=JSON",
        value_delimiter = '\n',
        action = ArgAction::Append,
        conflicts_with = "resume"
    )]
    edits: Vec<Edit>,
    /// Give each value to the standard input of this shell command; what it writes is the new value
    #[arg(long, env = "LONGSHORE_DLQ_EDIT_WITH", value_name = "COMMAND")]
    edit_with: Option<String>,
    /// Refuse letters that were redriven so often before
    #[arg(
        long,
        env = "LONGSHORE_DLQ_MAX_REDRIVES",
        value_name = "N",
        default_value_t = MAX_REDRIVES,
        conflicts_with = "resume"
    )]
    max_redrives: u32,
    #[command(flatten)]
    directory: TopicsDir,
}

#[derive(Debug, Args)]
pub(crate) struct DiscardArguments {
    #[command(flatten)]
    run: RunArguments,
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
                topics_dir: "topics".into(),
            },
        }
    }
}

/// One run, new or resumed.
struct Job<'a> {
    global: &'a Global,
    id: String,
    by: String,
    action: RedriveAction,
    /// The dead-letter topic.
    topic: String,
    group: String,
    selection: Selection,
    edits: Edits,
    schemas: Schemas,
    limit: Option<u64>,
    max_redrives: u32,
    /// By partition, the end of the dead-letter topic: the run is about nothing younger.
    until: BTreeMap<i32, i64>,
    rate: Option<f64>,
    is_resumed: bool,
}

/// Runs either of the two.
pub(super) async fn run(
    global: &Global,
    action: RedriveAction,
    arguments: RedriveArguments,
) -> anyhow::Result<()> {
    let yes = arguments.run.yes;
    let job = match arguments.run.resume.clone() {
        Some(id) => Job::resumed(global, action, arguments, id).await?,
        None => match Job::new(global, action, arguments).await? {
            Some(job) => job,
            None => return Ok(()),
        },
    };
    let admin = Admin::connect(&global.connection())?;
    let refusal = target::refusal(&admin, &job.group).await?;
    if let (true, Some(refusal)) = (yes, &refusal) {
        bail!("nothing was sent: {refusal}");
    }
    let groups = BTreeSet::from([job.group.clone()]);
    let settled = Settled::in_groups(global, &job.topic, groups).await?;
    let plan = Plan::make(&job, &settled).await?;
    plan.refuse_faults()?;
    // A run whose last acks were lost may have nothing left but to say in the audit that it ended.
    if yes && (job.is_resumed || !plan.is_empty()) {
        return send::all(&job, &plan, settled.of_run(&job.id)).await;
    }
    plan.print(&job, yes, refusal.as_deref())
}

impl<'a> Job<'a> {
    /// `None` if there is nothing to do, which was told.
    async fn new(
        global: &'a Global,
        action: RedriveAction,
        arguments: RedriveArguments,
    ) -> anyhow::Result<Option<Self>> {
        let run = arguments.run;
        let topic = run.topic.dead_letters();
        let until = ends(global, &topic).await?;
        let group = match run.group {
            Some(group) => group,
            None => match only_group(global, &topic, &run.selection).await? {
                Some(group) => group,
                None => {
                    crate::output::note(format_args!("There are no such dead letters in {topic}."));
                    return Ok(None);
                }
            },
        };
        let edits = Edits {
            edits: arguments.edits,
            command: arguments.edit_with,
        };
        Ok(Some(Self {
            global,
            id: Uuid::now_v7().to_string(),
            by: run.by.unwrap_or_else(audit::whoami),
            action,
            schemas: Schemas::load(&edits, &arguments.directory.topics_dir)?,
            edits,
            topic,
            group,
            selection: run.selection,
            limit: run.limit.map(NonZeroU64::get),
            max_redrives: arguments.max_redrives,
            until,
            rate: run.rate,
            is_resumed: false,
        }))
    }

    async fn resumed(
        global: &'a Global,
        action: RedriveAction,
        arguments: RedriveArguments,
        id: String,
    ) -> anyhow::Result<Self> {
        let run = arguments.run;
        let topic = run.topic.dead_letters();
        let Some(entry) = audit::last(global, &id).await? else {
            bail!(
                "there is no run {id} in {}; see `longshore tail {0} --from beginning --exit`",
                longshore_topics::REDRIVES_TOPIC
            );
        };
        if entry.topic != topic || entry.action != action.into() {
            let of = &entry.topic;
            bail!(
                "run {id} is a {:?} of {of}, not a {:?} of {topic}",
                entry.action,
                audit::Action::from(action)
            );
        }
        // What stands in a topic is never executed: whoever resumes the run says the command again.
        if entry.edit_with != arguments.edit_with {
            match entry.edit_with {
                Some(command) => bail!(
                    "run {id} edits with a command: give --edit-with again, as it was: {command}"
                ),
                None => bail!("run {id} edits with no command: leave --edit-with out"),
            }
        }
        let edits = entry.edits.iter().map(|edit| edit.parse());
        let edits = Edits {
            edits: edits
                .collect::<Result<_, String>>()
                .map_err(anyhow::Error::msg)
                .with_context(|| format!("the audit of run {id} is damaged"))?,
            command: arguments.edit_with,
        };
        Ok(Self {
            global,
            id,
            by: run.by.unwrap_or_else(audit::whoami),
            action,
            schemas: Schemas::load(&edits, &arguments.directory.topics_dir)?,
            edits,
            topic,
            group: entry.group,
            selection: entry.filter,
            limit: entry.limit,
            max_redrives: entry.max_redrives,
            until: entry.until,
            rate: run.rate,
            is_resumed: true,
        })
    }

    /// What the command is called.
    fn verb(&self) -> &'static str {
        match self.action {
            RedriveAction::Handle => "redrive",
            RedriveAction::Discard => "discard",
        }
    }
}

async fn ends(global: &Global, topic: &str) -> anyhow::Result<BTreeMap<i32, i64>> {
    let bounds = Admin::connect(&global.connection())?.offsets(topic).await?;
    let ends = bounds.into_iter();
    Ok(ends
        .map(|bounds| (bounds.partition.partition, bounds.end.0))
        .collect())
}

/// The group of the letters that are meant, if it is one and they say it themselves.
async fn only_group(
    global: &Global,
    topic: &str,
    selection: &Selection,
) -> anyhow::Result<Option<String>> {
    let since = selection.since.map(|since| since.0);
    let mut letters = Letters::open(global, topic, since).await?;
    let mut groups: BTreeMap<String, u64> = BTreeMap::new();
    let mut foreign = 0;
    while let Some(record) = letters.next().await? {
        let Some(letter) = AnyDeadLetter::read(&record) else {
            continue;
        };
        if !selection.holds(&record, Some(&letter)) {
            continue;
        }
        match owner(&letter) {
            Some(group) => *groups.entry(group.to_owned()).or_default() += 1,
            None => foreign += 1,
        }
    }
    if foreign > 0 {
        bail!(
            "{foreign} of the dead letters were written by another system than Longshore: --group says which consumer group is to get them"
        );
    }
    if groups.len() > 1 {
        let groups = groups
            .iter()
            .map(|(group, count)| format!("{group} ({count})"));
        let groups = groups.collect::<Vec<_>>().join(", ");
        bail!("dead letters of several consumer groups are meant: {groups}; --group names one");
    }
    Ok(groups.into_keys().next())
}
