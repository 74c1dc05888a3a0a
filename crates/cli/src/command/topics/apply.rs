//! `longshore topics apply`: does what the plan says, step by step, and waits until each step can be seen.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use longshore_kafka::{Admin, NewTopic};
use longshore_topics::{Change, Plan, TopicSpec, desired_topics};
use serde_json::json;

use super::{ApplyArguments, planned, print};
use crate::arguments::Global;
use crate::output::{Output, note};

/// How long a deleted topic may stay visible before it cannot be created again.
const DELETION: Duration = Duration::from_secs(30);
/// How often it is asked about meanwhile.
const DELETION_CHECK: Duration = Duration::from_millis(100);

pub(super) async fn run(global: &Global, arguments: ApplyArguments) -> anyhow::Result<()> {
    let output = global.output();
    let desired = desired_topics(&TopicSpec::load_dir(arguments.directory.path())?);
    let admin = Admin::connect(&global.connection())?;
    let plan = planned(&admin, &desired).await?;
    if !output.json {
        print(output, &plan)?;
    }
    if !arguments.allow_destructive {
        refuse_destructive(&plan)?;
    }
    if !plan.is_empty() && !arguments.yes && !confirmed(global.brokers())? {
        bail!("nothing was changed: it was not confirmed");
    }
    all(&admin, &plan).await?;
    report(output, &plan)
}

/// Does what the plan says.
pub(super) async fn all(admin: &Admin, plan: &Plan) -> anyhow::Result<()> {
    for (done, change) in plan.changes.iter().enumerate() {
        apply(admin, change).await.with_context(|| {
            let total = plan.changes.len();
            format!(
                "cannot change {} ({done} of {total} steps are done; apply again to go on)",
                change.topic()
            )
        })?;
    }
    Ok(())
}

pub(super) fn refuse_destructive(plan: &Plan) -> anyhow::Result<()> {
    let topics: Vec<&str> = plan.destructive().map(Change::topic).collect();
    if topics.is_empty() {
        return Ok(());
    }
    bail!(
        "nothing was changed: all records of {} would be lost; give --allow-destructive to `longshore topics apply` if that is meant",
        topics.join(", ")
    )
}

/// Asks on a terminal; without one, whoever started it has decided.
fn confirmed(brokers: &str) -> io::Result<bool> {
    if !io::stdin().is_terminal() {
        return Ok(true);
    }
    let mut terminal = io::stderr();
    write!(terminal, "Apply this to {brokers}? [y/N] ")?;
    terminal.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

async fn apply(admin: &Admin, change: &Change) -> anyhow::Result<()> {
    match change {
        Change::Create {
            topic,
            partitions,
            replication,
            configs,
        } => {
            admin
                .create_topics(&[new_topic(topic, *partitions, *replication, configs)])
                .await?;
        }
        Change::Grow { topic, to, .. } => admin.add_partitions(topic, *to).await?,
        Change::Configure { topic, configs } => {
            let changes: Vec<_> = configs
                .iter()
                .map(|change| (change.name.as_str(), change.to.as_deref()))
                .collect();
            admin.alter_configs(topic, &changes).await?;
        }
        Change::Replace {
            topic,
            to,
            replication,
            configs,
            ..
        } => {
            delete(admin, topic).await?;
            admin
                .create_topics(&[new_topic(topic, *to, *replication, configs)])
                .await?;
        }
        Change::Delete { topic } => delete(admin, topic).await?,
    }
    Ok(())
}

/// Deletes a topic and waits until it is gone, since until then it cannot be created again.
async fn delete(admin: &Admin, topic: &str) -> anyhow::Result<()> {
    admin.delete_topics(&[topic]).await?;
    let deadline = Instant::now() + DELETION;
    while !admin.describe_topics(&[topic]).await?.is_empty() {
        if Instant::now() > deadline {
            bail!(
                "topic {topic} is still there {} s after its deletion",
                DELETION.as_secs()
            );
        }
        tokio::time::sleep(DELETION_CHECK).await;
    }
    Ok(())
}

fn new_topic(
    name: &str,
    partitions: i32,
    replication: Option<i32>,
    configs: &std::collections::BTreeMap<String, String>,
) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partitions,
        // Kafka's way to say: as the broker is configured (KIP-464).
        replication: replication.unwrap_or(-1),
        configs: configs.clone(),
    }
}

fn report(output: Output, plan: &Plan) -> anyhow::Result<()> {
    if output.json {
        let applied = plan.changes.len();
        return output
            .json(&json!({"changes": plan.changes, "notes": plan.notes, "applied": applied}));
    }
    if !plan.is_empty() {
        note("Applied.");
    }
    Ok(())
}
