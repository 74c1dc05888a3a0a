//! `longshore jobs list`: the queues, and their jobs.

use clap::Args;
use longshore_jobs::{JobState, JobView, QueueView};
use serde_json::json;

use super::Place;
use super::client::Client;
use crate::arguments::Global;
use crate::output::{Colour, Output};
use crate::table::Table;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore jobs list
  longshore jobs list --queue email --state failed --limit 200
  longshore jobs list --json | jq '.jobs[].lastError'")]
pub(crate) struct ListArguments {
    /// Jobs of this queue alone
    #[arg(long, env = "LONGSHORE_JOB_QUEUE", value_name = "NAME")]
    queue: Option<String>,
    /// Jobs in this state alone: delayed, waiting, active, completed, failed or duplicate
    #[arg(long, env = "LONGSHORE_JOB_STATE", value_name = "STATE", value_parser = state)]
    state: Option<JobState>,
    /// The most jobs to list, up to 1000
    #[arg(
        long,
        env = "LONGSHORE_JOB_LIMIT",
        default_value = "50",
        value_name = "N"
    )]
    limit: usize,
    #[command(flatten)]
    place: Place,
}

fn state(text: &str) -> Result<JobState, String> {
    JobState::parse(text).ok_or_else(|| {
        let names: Vec<_> = JobState::ALL.into_iter().map(JobState::as_str).collect();
        format!("one of {}", names.join(", "))
    })
}

pub(crate) async fn run(global: &Global, arguments: ListArguments) -> anyhow::Result<()> {
    let client = Client::find(&arguments.place).await?;
    let mut query = vec![("limit", arguments.limit.to_string())];
    query.extend(arguments.queue.map(|queue| ("queue", queue)));
    query.extend(
        arguments
            .state
            .map(|state| ("state", state.as_str().to_owned())),
    );
    let queues: Vec<QueueView> = client.get(&["jobs", "queues"], &[]).await?;
    let jobs: Vec<JobView> = client.get(&["jobs"], &query).await?;
    if global.json {
        return global
            .output()
            .json(&json!({"queues": queues, "jobs": jobs}));
    }
    print_queues(global.output(), &queues)?;
    if !jobs.is_empty() {
        global.output().line("")?;
        print_jobs(global.output(), &jobs)?;
    }
    Ok(())
}

fn print_queues(output: Output, queues: &[QueueView]) -> std::io::Result<()> {
    let mut heading = vec!["QUEUE"];
    let states = JobState::ALL.map(|state| state.as_str().to_uppercase());
    heading.extend(states.iter().map(String::as_str));
    let mut table = Table::new(&heading);
    for queue in queues {
        let count = |state| queue.jobs.get(&state).copied().unwrap_or(0).to_string();
        let counts = JobState::ALL.map(count);
        let mut row = vec![queue.name.as_str()];
        row.extend(counts.iter().map(String::as_str));
        table.row(&row);
    }
    for line in table.lines() {
        output.line(line)?;
    }
    for queue in queues.iter().filter(|queue| queue.paused) {
        let paused = output.paint(Colour::Yellow, "paused");
        output.line(format_args!("{} is {paused}", queue.name))?;
    }
    Ok(())
}

fn print_jobs(output: Output, jobs: &[JobView]) -> std::io::Result<()> {
    let mut table = Table::new(&[
        "JOB", "QUEUE", "STATE", "PRIORITY", "ATTEMPTS", "DUE", "ERROR",
    ]);
    for job in jobs {
        let due = job.due_at.map(|due| due.to_string()).unwrap_or_default();
        table.row(&[
            &job.id,
            &job.queue,
            job.state.as_str(),
            &job.priority.to_string(),
            &format!("{}/{}", job.attempts_made, job.attempts),
            &due,
            job.last_error.as_deref().unwrap_or_default(),
        ]);
    }
    for line in table.lines() {
        output.line(line)?;
    }
    Ok(())
}
