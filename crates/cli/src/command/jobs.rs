//! `longshore jobs`: what the jobs' worker has to do, over its admin port: a SQLite store is its process's alone.

mod add;
mod client;
mod list;
mod options;
mod repeat;
mod show;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::arguments::Global;
use crate::output::note;

use client::Client;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
The worker answers where its --admin-listen says. Without --worker, that of the `longshore up` that uses DIR is asked.
Jobs can also be added by publishing: longshore produce jobs.email --file jobs.jsonl

Examples:
  longshore jobs list --state failed
  longshore jobs add email --payload '{\"to\":\"ada@example.org\",\"subject\":\"Hello\",\"text\":\"Hi\"}' --priority 5
  longshore jobs show 0197f3a2-5c1e-7d11-9b7e-2f4f6f9d8a10")]
pub(crate) enum JobsCommand {
    /// Add a job, and print its id
    Add(add::AddArguments),
    /// List jobs, the last added first, with what each queue holds
    List(list::ListArguments),
    /// Show one job with its payload and its log
    Show(OneArguments),
    /// Give a job that has failed another life, with all its attempts
    Retry(OneArguments),
    /// Remove a job that does not run
    Remove(OneArguments),
    /// Start no more jobs of a queue; what runs goes on
    Pause(QueueArguments),
    /// Start jobs of a queue again
    Resume(QueueArguments),
    /// Add jobs by a cron expression
    #[command(subcommand)]
    Repeat(repeat::RepeatCommand),
}

/// Where the worker of the jobs is.
#[derive(Clone, Debug, Args)]
pub(crate) struct Place {
    /// The admin address of the jobs' worker
    #[arg(long, env = "LONGSHORE_JOBS_WORKER", value_name = "HOST:PORT", value_parser = crate::parse::host_port)]
    worker: Option<String>,
    /// The directory of `longshore up`
    #[arg(
        long,
        env = "LONGSHORE_DATA",
        default_value = ".longshore",
        value_name = "DIR"
    )]
    data: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore jobs show 0197f3a2-5c1e-7d11-9b7e-2f4f6f9d8a10
  longshore jobs retry 0197f3a2-5c1e-7d11-9b7e-2f4f6f9d8a10 --worker 127.0.0.1:8080")]
pub(crate) struct OneArguments {
    /// The job's id
    id: String,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore jobs pause email
  longshore jobs resume email --worker 127.0.0.1:8080")]
pub(crate) struct QueueArguments {
    /// The queue's name
    queue: String,
    #[command(flatten)]
    place: Place,
}

/// Runs a command to its end.
pub(crate) async fn run(global: &Global, command: JobsCommand) -> anyhow::Result<()> {
    match command {
        JobsCommand::Add(arguments) => add::run(global, arguments).await,
        JobsCommand::List(arguments) => list::run(global, arguments).await,
        JobsCommand::Show(arguments) => show::run(global, arguments).await,
        JobsCommand::Repeat(command) => repeat::run(global, command).await,
        JobsCommand::Retry(OneArguments { id, place }) => {
            Client::find(&place)
                .await?
                .post(&["jobs", &id, "retry"])
                .await?;
            note(format_args!("job {id} is tried again"));
            Ok(())
        }
        JobsCommand::Remove(OneArguments { id, place }) => {
            Client::find(&place).await?.delete(&["jobs", &id]).await?;
            note(format_args!("job {id} is removed"));
            Ok(())
        }
        JobsCommand::Pause(QueueArguments { queue, place }) => {
            let client = Client::find(&place).await?;
            client.post(&["jobs", "queues", &queue, "pause"]).await?;
            note(format_args!(
                "queue {queue} is paused: nothing more of it is started"
            ));
            Ok(())
        }
        JobsCommand::Resume(QueueArguments { queue, place }) => {
            let client = Client::find(&place).await?;
            client.post(&["jobs", "queues", &queue, "resume"]).await?;
            note(format_args!("queue {queue} goes on"));
            Ok(())
        }
    }
}
