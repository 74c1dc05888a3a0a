//! One run: what it is about, as the command line says it or as the audit of a stopped run does.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::PathBuf;

use anyhow::{Context, bail};
use longshore_event::{AnyDeadLetter, RedriveAction};
use longshore_kafka::Admin;
use longshore_topics::REDRIVES_TOPIC;
use uuid::Uuid;

use super::arguments::RedriveArguments;
use super::edit::Edits;
use super::plan::Plan;
use super::schemas::Schemas;
use crate::arguments::Global;
use crate::command::dlq::audit;
use crate::command::dlq::letters::Letters;
use crate::command::dlq::selection::Selection;
use crate::command::dlq::settled::owner;
use crate::output::note;

/// One run, new or resumed.
pub(super) struct Job<'a> {
    pub(super) global: &'a Global,
    pub(super) id: String,
    pub(super) by: String,
    pub(super) action: RedriveAction,
    /// The dead-letter topic.
    pub(super) topic: String,
    pub(super) group: String,
    pub(super) selection: Selection,
    pub(super) edits: Edits,
    pub(super) schemas: Schemas,
    /// Where they are from, if that was said.
    pub(super) topics_dir: Option<PathBuf>,
    pub(super) limit: Option<u64>,
    pub(super) max_redrives: u32,
    /// By partition, the end of the dead-letter topic: the run is about nothing younger.
    pub(super) until: BTreeMap<i32, i64>,
    pub(super) rate: Option<f64>,
    pub(super) is_resumed: bool,
}

impl<'a> Job<'a> {
    /// `None` if there are no letters from which the group could be told, so that there is nothing to do; that was told.
    pub(super) async fn new(
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
                    note(format_args!("There are no such dead letters in {topic}."));
                    if global.json {
                        let nothing = Plan::default();
                        let nothing = nothing.as_json(verb(action), run.yes, &topic, None, None);
                        global.output().json(&nothing)?;
                    }
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
            schemas: Schemas::load(&edits, arguments.directory.path())?,
            topics_dir: arguments.directory.given_topics_dir,
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

    pub(super) async fn resumed(
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
                REDRIVES_TOPIC
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
            schemas: Schemas::load(&edits, arguments.directory.path())?,
            topics_dir: arguments.directory.given_topics_dir,
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
    pub(super) fn verb(&self) -> &'static str {
        verb(self.action)
    }
}

fn verb(action: RedriveAction) -> &'static str {
    match action {
        RedriveAction::Handle => "redrive",
        RedriveAction::Discard => "discard",
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
