//! The commands; [`run`] is their table of contents.

mod analytics;
mod broker;
mod completions;
mod dlq;
mod groups;
mod jobs;
mod produce;
mod saga;
mod sandbox;
mod stuck;
mod tail;
mod topics;
mod up;

use clap::Subcommand;

use crate::arguments::Arguments;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole order system on this machine and watch orders move
    Up(up::UpArguments),
    /// Compare topics with their files, and make them so
    #[command(subcommand)]
    Topics(topics::TopicsCommand),
    /// Publish a file of JSON lines
    Produce(produce::ProduceArguments),
    /// Show the records of topics
    Tail(tail::TailArguments),
    /// Look into dead-letter topics, and take dead letters back
    #[command(subcommand)]
    Dlq(dlq::DlqCommand),
    /// Look into consumer groups, and move them
    #[command(subcommand)]
    Groups(groups::GroupsCommand),
    /// Ask workers what they wait for: which offset, which key, since when, why, and when it is tried next
    Stuck(stuck::StuckArguments),
    /// Orders, revenue and times, as the analytics worker has counted them
    Analytics(analytics::AnalyticsArguments),
    /// Look into sagas: how far each is, what failed, what was taken back
    #[command(subcommand)]
    Saga(saga::SagaCommand),
    /// Add jobs, look at them, try them again, and repeat them by the clock
    #[command(subcommand)]
    Jobs(jobs::JobsCommand),
    /// Run the embedded broker alone
    Broker(broker::BrokerArguments),
    /// Run services over HTTP that stand in for product, payment, notification and carrier
    Sandbox(sandbox::SandboxArguments),
    /// Write a completion script for a shell
    Completions(completions::CompletionsArguments),
}

/// Runs a command to its end.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let global = &arguments.global;
    match arguments.command {
        Command::Up(arguments) => up::run(global, arguments).await,
        Command::Topics(command) => topics::run(global, command).await,
        Command::Produce(arguments) => produce::run(global, arguments).await,
        Command::Tail(arguments) => tail::run(global, arguments).await,
        Command::Dlq(command) => dlq::run(global, command).await,
        Command::Groups(command) => groups::run(global, command).await,
        Command::Stuck(arguments) => stuck::run(global, arguments).await,
        Command::Analytics(arguments) => analytics::run(global, arguments).await,
        Command::Saga(command) => saga::run(global, command).await,
        Command::Jobs(command) => jobs::run(global, command).await,
        Command::Broker(arguments) => broker::run(global, arguments).await,
        Command::Sandbox(arguments) => sandbox::run(global, arguments).await,
        Command::Completions(arguments) => completions::run(&arguments),
    }
}
