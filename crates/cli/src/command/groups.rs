//! `longshore groups`: which consumer groups there are, who is in them, how far behind they are, and moving one.

mod seek;

use anyhow::Context;
use clap::Subcommand;
use longshore_event::TopicPartition;
use longshore_kafka::{Admin, GroupDescription};
use serde_json::json;

use crate::arguments::Global;
use crate::output::{Output, counted};
use crate::parse::name;
use crate::table::Table;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  longshore groups list
  longshore groups describe order-created
  longshore groups seek order-created --to 2h")]
pub(crate) enum GroupsCommand {
    /// All consumer groups
    #[command(after_help = "Example:\n  longshore groups list --json")]
    List,
    /// Members, committed offsets and lag of one consumer group
    #[command(after_help = "Example:\n  longshore groups describe order-created")]
    Describe {
        /// The consumer group
        #[arg(value_parser = name)]
        group: String,
    },
    /// Let a consumer group read from somewhere else
    #[command(after_help = seek::HELP)]
    Seek(seek::SeekArguments),
}

pub(crate) async fn run(global: &Global, command: GroupsCommand) -> anyhow::Result<()> {
    let admin = Admin::connect(&global.connection())?;
    match command {
        GroupsCommand::List => list(global.output(), &admin).await,
        GroupsCommand::Describe { group } => {
            let group = admin.describe_group(&group).await?;
            if global.json {
                global.output().json(&as_json(&group))
            } else {
                print(global.output(), &group).context("cannot print")
            }
        }
        GroupsCommand::Seek(arguments) => seek::run(global, &admin, arguments).await,
    }
}

async fn list(output: Output, admin: &Admin) -> anyhow::Result<()> {
    let groups = admin.groups().await?;
    if output.json {
        let groups = groups.iter().map(
            |group| json!({"group": group.name, "state": group.state, "protocol": group.protocol}),
        );
        return output.json(&groups.collect::<Vec<_>>());
    }
    let mut table = Table::new(&["GROUP", "STATE", "PROTOCOL"]);
    for group in &groups {
        table.row(&[&group.name, &group.state, &group.protocol]);
    }
    for line in table.lines() {
        output.line(line)?;
    }
    Ok(())
}

fn print(output: Output, group: &GroupDescription) -> std::io::Result<()> {
    let lag: i64 = group.partitions.iter().map(|partition| partition.lag).sum();
    let assignor = if group.assignor.is_empty() {
        String::new()
    } else {
        format!(", {}", group.assignor)
    };
    output.line(format_args!(
        "{}: {}{assignor}, {}, lag {lag}",
        group.name,
        group.state,
        counted(group.members.len() as u64, "member", "members")
    ))?;
    if !group.members.is_empty() {
        let mut table = Table::new(&["MEMBER", "INSTANCE", "CLIENT", "HOST", "PARTITIONS"]);
        for member in &group.members {
            let instance = member.instance_id.as_deref().unwrap_or_default();
            let assignment = names(&member.assignment).join(" ");
            table.row(&[
                &member.id,
                instance,
                &member.client_id,
                &member.host,
                &assignment,
            ]);
        }
        output.line("")?;
        table.lines().try_for_each(|line| output.line(line))?;
    }
    if !group.partitions.is_empty() {
        let mut table = Table::new(&["PARTITION", "COMMITTED", "END", "LAG", "MEMBER"]);
        for partition in &group.partitions {
            let committed = partition.committed.map(|next| next.to_string());
            table.row(&[
                &partition.partition.to_string(),
                committed.as_deref().unwrap_or_default(),
                &partition.end.to_string(),
                &partition.lag.to_string(),
                partition.member.as_deref().unwrap_or_default(),
            ]);
        }
        output.line("")?;
        table.lines().try_for_each(|line| output.line(line))?;
    }
    Ok(())
}

fn as_json(group: &GroupDescription) -> serde_json::Value {
    let members = group.members.iter().map(|member| {
        json!({
            "id": member.id,
            "instanceId": member.instance_id,
            "clientId": member.client_id,
            "host": member.host,
            "partitions": names(&member.assignment),
        })
    });
    let partitions = group.partitions.iter().map(|partition| {
        json!({
            "topic": partition.partition.topic.as_ref(),
            "partition": partition.partition.partition,
            "committed": partition.committed.map(|next| next.0),
            "end": partition.end.0,
            "lag": partition.lag,
            "member": partition.member,
        })
    });
    json!({
        "group": group.name,
        "state": group.state,
        "assignor": group.assignor,
        "members": members.collect::<Vec<_>>(),
        "partitions": partitions.collect::<Vec<_>>(),
    })
}

fn names(partitions: &[TopicPartition]) -> Vec<String> {
    partitions.iter().map(ToString::to_string).collect()
}
