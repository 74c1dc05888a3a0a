//! `longshore topics list`: files and brokers side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use longshore_kafka::Admin;
use longshore_topics::{
    ActualTopic, DesiredTopic, LoadError, State, TopicSpec, desired_topics, plan,
};
use serde_json::json;

use super::actual_topic;
use crate::arguments::{Global, TopicsDir};
use crate::output::note;
use crate::table::Table;

pub(super) async fn run(global: &Global, directory: &TopicsDir) -> anyhow::Result<()> {
    let specs = specs(directory)?;
    let admin = Admin::connect(&global.connection())?;
    let actual: BTreeMap<String, ActualTopic> = admin
        .topics()
        .await?
        .into_iter()
        .map(|topic| (topic.name.clone(), actual_topic(topic)))
        .collect();
    let desired = desired_topics(&specs);
    let desired: BTreeMap<&str, &DesiredTopic> = desired
        .iter()
        .map(|topic| (topic.name.as_str(), topic))
        .collect();
    let names: BTreeSet<&str> = actual
        .keys()
        .map(String::as_str)
        .chain(desired.keys().copied())
        .collect();
    let rows = names.into_iter().filter_map(|name| {
        let (desired, actual) = (desired.get(name).copied(), actual.get(name));
        Some((name, actual, status(desired, actual)?))
    });
    if global.json {
        let rows = rows.map(|(name, actual, status)| {
            json!({
                "topic": name,
                "partitions": actual.map(|topic| topic.partitions),
                "replication": actual.map(|topic| topic.replication),
                "configs": actual.map(|topic| &topic.configs),
                "status": status,
            })
        });
        return global.output().json(&rows.collect::<Vec<_>>());
    }
    let mut table = Table::new(&["TOPIC", "PARTITIONS", "REPLICATION", "STATUS"]);
    for (name, actual, status) in rows {
        let number = |get: fn(&ActualTopic) -> i32| {
            actual
                .map(|topic| get(topic).to_string())
                .unwrap_or_default()
        };
        let (partitions, replication) = (
            number(|topic| topic.partitions),
            number(|topic| topic.replication),
        );
        table.row(&[name, &partitions, &replication, status]);
    }
    for line in table.lines() {
        global.output().line(line)?;
    }
    Ok(())
}

/// Without the default directory it is no error here: the topics of the brokers can be listed all the same.
fn specs(directory: &TopicsDir) -> Result<Vec<TopicSpec>, LoadError> {
    match TopicSpec::load_dir(directory.path()) {
        Err(LoadError::Read { path, source }) if source.kind() == io::ErrorKind::NotFound => {
            let path = path.display();
            note(format_args!(
                "There is no directory {path} (--topics-dir): listing the brokers' topics only."
            ));
            Ok(Vec::new())
        }
        loaded => loaded,
    }
}

/// `None` for a topic that should not be there and is not.
fn status(desired: Option<&DesiredTopic>, actual: Option<&ActualTopic>) -> Option<&'static str> {
    Some(match (desired, actual) {
        (None, _) => "no file",
        (Some(desired), None) if desired.state == State::Absent => return None,
        (Some(_), None) => "missing",
        (Some(desired), Some(actual)) => {
            let plan = plan(std::slice::from_ref(desired), std::slice::from_ref(actual));
            if plan.is_empty() && plan.notes.is_empty() {
                "as its file says"
            } else {
                "differs"
            }
        }
    })
}
