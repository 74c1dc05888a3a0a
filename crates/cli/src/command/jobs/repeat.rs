//! `longshore jobs repeat`: jobs by the clock.

use anyhow::Context;
use clap::{Args, Subcommand};
use longshore_jobs::Repeat;
use reqwest::Method;

use super::Place;
use super::client::Client;
use super::options::OptionArguments;
use crate::arguments::Global;
use crate::output::note;
use crate::table::Table;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  longshore jobs repeat set nightly --queue report --cron '0 4 * * *' --payload '{...}'
  longshore jobs repeat list")]
pub(crate) enum RepeatCommand {
    /// Add a job for each occurrence from now on; a repetition of the same name is replaced
    Set(Box<SetArguments>),
    /// List the repetitions
    List(ListArguments),
    /// Add no more jobs of a repetition
    Remove(RemoveArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Times are UTC. Five fields (minute, hour, day, month, weekday), or six with seconds first.

Examples:
  longshore jobs repeat set hourly --queue report --cron '0 * * * *' \\
    --payload '{\"from\":\"2026-01-01T00:00:00Z\",\"to\":\"2027-01-01T00:00:00Z\"}'")]
pub(crate) struct SetArguments {
    /// The repetition's name; the ids of its jobs are NAME@TIME
    name: String,
    /// The queue's name
    #[arg(long, env = "LONGSHORE_JOB_QUEUE", value_name = "NAME")]
    queue: String,
    /// When, in UTC
    #[arg(long, env = "LONGSHORE_JOB_CRON", value_name = "CRON")]
    cron: String,
    /// What to do, as JSON
    #[arg(long, env = "LONGSHORE_JOB_PAYLOAD", value_name = "JSON")]
    payload: String,
    #[command(flatten)]
    options: OptionArguments,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  longshore jobs repeat list --json")]
pub(crate) struct ListArguments {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  longshore jobs repeat remove nightly")]
pub(crate) struct RemoveArguments {
    /// The repetition's name
    name: String,
    #[command(flatten)]
    place: Place,
}

pub(crate) async fn run(global: &Global, command: RepeatCommand) -> anyhow::Result<()> {
    match command {
        RepeatCommand::Set(arguments) => set(global, *arguments).await,
        RepeatCommand::List(arguments) => list(global, arguments).await,
        RepeatCommand::Remove(arguments) => {
            let client = Client::find(&arguments.place).await?;
            client.delete(&["jobs", "repeats", &arguments.name]).await?;
            note(format_args!("{} is no longer repeated", arguments.name));
            Ok(())
        }
    }
}

async fn set(global: &Global, arguments: SetArguments) -> anyhow::Result<()> {
    let repeat = Repeat {
        name: arguments.name,
        queue: arguments.queue,
        cron: arguments.cron,
        payload: serde_json::from_str(&arguments.payload).context("--payload is no JSON")?,
        options: arguments.options.options(),
        next_at: None,
        last_at: None,
    };
    let client = Client::find(&arguments.place).await?;
    let path = ["jobs", "repeats", &repeat.name];
    let set: Repeat = client
        .write(Method::PUT, &path, &serde_json::to_value(&repeat)?)
        .await?;
    if global.json {
        return global.output().json(&set);
    }
    let next = set.next_at.map(|next| next.to_string()).unwrap_or_default();
    note(format_args!("{} is added next at {next}", set.name));
    Ok(())
}

async fn list(global: &Global, arguments: ListArguments) -> anyhow::Result<()> {
    let client = Client::find(&arguments.place).await?;
    let repeats: Vec<Repeat> = client.get(&["jobs", "repeats"], &[]).await?;
    if global.json {
        return global.output().json(&repeats);
    }
    let mut table = Table::new(&["NAME", "QUEUE", "CRON", "NEXT", "LAST"]);
    for repeat in &repeats {
        let moment = |at: Option<jiff::Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        table.row(&[
            &repeat.name,
            &repeat.queue,
            &repeat.cron,
            &moment(repeat.next_at),
            &moment(repeat.last_at),
        ]);
    }
    for line in table.lines() {
        global.output().line(line)?;
    }
    Ok(())
}
