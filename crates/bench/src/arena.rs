//! The benchmark as a whole: a broker, a full topic, the contestants in turns, the report.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, bail};
use longshore_broker::{Broker, BrokerConfig};
use longshore_event::{Event, Identity, encode_new};
use longshore_kafka::{Admin, Connection, KafkaPublisher, NewTopic};
use longshore_worker::Publisher;
use tokio::process::Command;

use crate::Arguments;
use crate::contestant::{Contestant, Figures, Task};
use crate::note::{Echo, Note};
use crate::report::Report;

/// Records in one call of the publisher while the topic is filled.
const FILL: usize = 5_000;
const PARTITIONS: i32 = 6;

pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let (broker, brokers) = broker(arguments, scratch.path()).await?;
    let connection = Connection::new(&brokers);
    let topic = fill(&connection, arguments).await?;
    let mut report = Report::default();
    for round in 0..arguments.rounds {
        for contestant in Contestant::ALL {
            let scratch = tempfile::tempdir_in(scratch.path())?;
            let run = uuid::Uuid::new_v4().simple().to_string();
            let store = store(arguments, scratch.path());
            let task = Task {
                contestant,
                brokers: brokers.clone(),
                store,
                output: output(&connection, &run).await?,
                input: topic.clone(),
                group: format!("bench-{run}"),
                messages: contestant.share(arguments.messages),
            };
            let figures = compete(&task).await?;
            println!("round {}: {contestant}: {figures}", round + 1);
            report.add(contestant, figures);
        }
    }
    println!("\n{report}");
    if let Some(broker) = broker {
        broker.shutdown().await;
    }
    Ok(())
}

/// The broker to run on, with its address: an embedded one unless there is another.
pub(crate) async fn broker(
    arguments: &Arguments,
    scratch: &Path,
) -> anyhow::Result<(Option<Broker>, String)> {
    let (broker, brokers) = match &arguments.brokers {
        Some(brokers) => (None, brokers.clone()),
        None => {
            let broker = Broker::start(BrokerConfig::new(scratch.join("broker"))).await?;
            let address = broker.bootstrap();
            (Some(broker), address)
        }
    };
    let kind = match broker {
        Some(_) => "embedded broker",
        None => "Kafka",
    };
    println!(
        "{} messages, {} keys, {} rounds, {kind} at {brokers}, store {}",
        arguments.messages,
        arguments.keys,
        arguments.rounds,
        arguments.store.split(':').next().unwrap_or("?")
    );
    Ok((broker, brokers))
}

/// The store of one run: a new file, or a schema of the group's own in a database.
pub(crate) fn store(arguments: &Arguments, scratch: &Path) -> String {
    match arguments.store.as_str() {
        "sqlite" => format!("sqlite:{}", scratch.join("store.db").display()),
        url => url.to_owned(),
    }
}

/// Fills a topic of its own with notes.
pub(crate) async fn fill(connection: &Connection, arguments: &Arguments) -> anyhow::Result<String> {
    let topic = format!("bench.{}", uuid::Uuid::new_v4().simple());
    create(connection, &topic).await?;
    let publisher = KafkaPublisher::connect(connection)?;
    for start in (0..arguments.messages).step_by(FILL) {
        let end = arguments.messages.min(start + FILL);
        let records = (start..end)
            .map(|n| {
                let note = Note::number(n, arguments.keys);
                let identity = Identity {
                    source: "bench".into(),
                    id: n.to_string().into(),
                };
                let mut record = encode_new(
                    &note,
                    &identity,
                    None,
                    std::time::SystemTime::now().try_into()?,
                )?;
                record.topic = topic.as_str().into();
                Ok(record)
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        for result in publisher.publish(&records).await {
            result?;
        }
    }
    Ok(topic)
}

async fn output(connection: &Connection, run: &str) -> anyhow::Result<String> {
    let topic = format!("{}.{run}", Echo::TOPIC);
    create(connection, &topic).await?;
    Ok(topic)
}

pub(crate) async fn create(connection: &Connection, topic: &str) -> anyhow::Result<()> {
    let topic = NewTopic {
        name: topic.to_owned(),
        partitions: PARTITIONS,
        replication: 1,
        configs: std::collections::BTreeMap::new(),
    };
    Ok(Admin::connect(connection)?.create_topics(&[topic]).await?)
}

/// Runs one contestant in a process of its own.
async fn compete(task: &Task) -> anyhow::Result<Figures> {
    let output = Command::new(std::env::current_exe()?)
        .arg("--contestant")
        .arg(serde_json::to_string(task)?)
        .stderr(Stdio::inherit())
        .output()
        .await?;
    if !output.status.success() {
        bail!("{} ended with {}", task.contestant, output.status);
    }
    serde_json::from_slice(&output.stdout).context("a contestant prints its figures as JSON")
}
