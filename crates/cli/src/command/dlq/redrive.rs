//! `longshore dlq redrive` and `discard`: dead letters go back to one consumer group, or are given up; once and only once.
//!
//! Two passes: [`plan`] reads the dead-letter topic, decides and edits, and is all that a dry run does; [`send`] reads it
//! again and publishes what was decided. What stands in the redrive topic is never sent again, whatever became of the
//! run that sent it, so that a run can be stopped at any moment and resumed.
//!
//! The order of the steps of a run that sends is what makes it exact. [`writer`] begins first, which fences every other
//! run for the group and ends what one left open; then it is read what stands in the redrive topic, and only then is
//! decided what goes.

mod arguments;
mod edit;
mod example;
mod job;
mod letter;
mod plan;
mod schemas;
mod send;
mod target;
mod writer;

use std::collections::BTreeSet;

use anyhow::bail;
use longshore_event::RedriveAction;
use longshore_kafka::Admin;

use super::settled::Settled;
use crate::arguments::Global;
pub(super) use arguments::{DISCARD_HELP, REDRIVE_HELP};
pub(crate) use arguments::{DiscardArguments, RedriveArguments};
use job::Job;
use plan::Plan;
use writer::Writer;

/// Runs either of the two.
pub(super) async fn run(
    global: &Global,
    action: RedriveAction,
    arguments: RedriveArguments,
) -> anyhow::Result<()> {
    let yes = arguments.run.yes;
    arguments.run.selection.refuse_nonsense()?;
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
    let writer = match yes {
        true => Some(Writer::begin(&job).await?),
        false => None,
    };
    let settled = match &writer {
        // That the redrive topic is there is known; a broker that has not heard of it must not pass for an empty one.
        Some(writer) => writer.settled().await?,
        None => {
            let groups = BTreeSet::from([job.group.clone()]);
            Settled::in_groups(global, &job.topic, groups).await?
        }
    };
    let plan = Plan::make(&job, &settled).await?;
    plan.refuse_faults()?;
    match writer {
        // A run whose last acks were lost may have nothing left but to say in the audit that it ended.
        Some(writer) if job.is_resumed || !plan.is_empty() => {
            send::all(&job, writer, plan, settled.of_run(&job.id)).await
        }
        _ => plan.print(&job, yes, refusal.as_deref()),
    }
}
