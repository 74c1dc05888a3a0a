//! `longshore topics`: what would change, change it, what there is.

mod apply;
mod list;

use clap::builder::FalseyValueParser;
use clap::{Args, Subcommand};
use longshore_kafka::{Admin, KafkaError, TopicDescription};
use longshore_topics::{ActualTopic, DesiredTopic, Plan, TopicSpec, desired_topics, plan};

use crate::arguments::{Global, TopicsDir};
use crate::output::{Colour, Output};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  longshore topics plan
  longshore topics apply --yes
  longshore topics list --topics-dir deploy/topics")]
pub(crate) enum TopicsCommand {
    /// Show what an apply would do, and do nothing
    #[command(after_help = "Example:\n  longshore topics plan --json | jq '.changes[].topic'")]
    Plan(TopicsDir),
    /// Make the topics as their files say; asks first on a terminal
    #[command(after_help = "\
Without --allow-destructive, nothing at all is done if the plan would lose records.

Examples:
  longshore topics apply
  longshore topics apply --yes --topics-dir deploy/topics --brokers kafka-1:9092,kafka-2:9092")]
    Apply(ApplyArguments),
    /// All topics, of the files and of the brokers
    #[command(after_help = "Example:\n  longshore topics list")]
    List(TopicsDir),
}

#[derive(Debug, Args)]
pub(crate) struct ApplyArguments {
    #[command(flatten)]
    directory: TopicsDir,
    /// Do not ask
    #[arg(long, short, env = "LONGSHORE_YES", value_parser = FalseyValueParser::new())]
    yes: bool,
    /// Also do what loses records: delete topics, and take partitions away by deleting and creating again
    #[arg(long, env = "LONGSHORE_ALLOW_DESTRUCTIVE", value_parser = FalseyValueParser::new())]
    allow_destructive: bool,
}

pub(crate) async fn run(global: &Global, command: TopicsCommand) -> anyhow::Result<()> {
    let output = global.output();
    match command {
        TopicsCommand::Plan(directory) => {
            let desired = desired_topics(&TopicSpec::load_dir(directory.path())?);
            let admin = Admin::connect(&global.connection())?;
            print(output, &planned(&admin, &desired).await?)
        }
        TopicsCommand::Apply(arguments) => apply::run(global, arguments).await,
        TopicsCommand::List(directory) => list::run(global, &directory).await,
    }
}

/// Makes topics as their files say, without asking. What would lose records is refused.
pub(super) async fn make(admin: &Admin, specs: &[TopicSpec]) -> anyhow::Result<()> {
    let plan = planned(admin, &desired_topics(specs)).await?;
    apply::refuse_destructive(&plan)?;
    apply::all(admin, &plan).await
}

async fn planned(admin: &Admin, desired: &[DesiredTopic]) -> Result<Plan, KafkaError> {
    let names: Vec<&str> = desired.iter().map(|topic| topic.name.as_str()).collect();
    let actual = admin.describe_topics(&names).await?;
    let actual: Vec<ActualTopic> = actual.into_iter().map(actual_topic).collect();
    Ok(plan(desired, &actual))
}

fn actual_topic(topic: TopicDescription) -> ActualTopic {
    let configs = topic.configs.into_iter();
    ActualTopic {
        name: topic.name,
        partitions: topic.partitions,
        replication: topic.replication,
        configs: configs
            .filter(|(_, config)| !config.is_default)
            .filter_map(|(name, config)| Some((name, config.value?)))
            .collect(),
    }
}

fn print(output: Output, plan: &Plan) -> anyhow::Result<()> {
    if output.json {
        return output.json(plan);
    }
    for line in plan.to_string().lines() {
        let colour = match line.trim_start().chars().next() {
            Some('+') => Some(Colour::Green),
            Some('~' | '!') => Some(Colour::Yellow),
            Some('-') => Some(Colour::Red),
            _ => None,
        };
        match colour {
            Some(colour) => output.line(output.paint(colour, line))?,
            None => output.line(line)?,
        }
    }
    Ok(())
}
