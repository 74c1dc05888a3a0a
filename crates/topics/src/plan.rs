//! The difference between the topics that should be and those that are: a pure function, and what it finds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use crate::spec::config;
use crate::{ActualTopic, DesiredTopic, Retention, State};

/// What an apply would do, in this order. Empty when everything is as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What would be done.
    pub changes: Vec<Change>,
    /// Differences that no apply can settle.
    pub notes: Vec<String>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum Change {
    /// The topic is not there: create it.
    Create {
        /// The topic.
        topic: String,
        /// Partitions.
        partitions: i32,
        /// Copies of each partition; `None` is the broker's default.
        replication: Option<i32>,
        /// What to set on it.
        configs: BTreeMap<String, String>,
    },
    /// It has too few partitions: add some.
    Grow {
        /// The topic.
        topic: String,
        /// Partitions now.
        from: i32,
        /// Partitions then.
        to: i32,
    },
    /// Some of its configurations differ: set them.
    Configure {
        /// The topic.
        topic: String,
        /// The configurations that differ.
        configs: Vec<ConfigChange>,
    },
    /// It has too many partitions, and Kafka cannot take any away: delete it and create it again. Its records are lost.
    Replace {
        /// The topic.
        topic: String,
        /// Partitions now.
        from: i32,
        /// Partitions then.
        to: i32,
        /// Copies of each partition; `None` is the broker's default.
        replication: Option<i32>,
        /// What to set on it.
        configs: BTreeMap<String, String>,
    },
    /// It should not be there: delete it. Its records are lost.
    Delete {
        /// The topic.
        topic: String,
    },
}

/// A configuration that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigChange {
    /// Kafka's name of it.
    pub name: String,
    /// What is set now; `None` is the broker's default.
    pub from: Option<String>,
    /// What will be set; `None` goes back to the broker's default.
    pub to: Option<String>,
}

/// Compares what should be with what is. Topics that `desired` does not name are left alone.
///
/// A configuration that is set on a topic but stands in no file goes back to the broker's default, so that the files
/// tell the whole truth.
pub fn plan(desired: &[DesiredTopic], actual: &[ActualTopic]) -> Plan {
    let actual: HashMap<&str, &ActualTopic> = actual
        .iter()
        .map(|topic| (topic.name.as_str(), topic))
        .collect();
    let mut plan = Plan::default();
    for topic in desired {
        match (topic.state, actual.get(topic.name.as_str())) {
            (State::Present, None) => plan.changes.push(create(topic)),
            (State::Present, Some(actual)) => plan.compare(topic, actual),
            (State::Absent, Some(_)) => plan.changes.push(Change::Delete {
                topic: topic.name.clone(),
            }),
            (State::Absent, None) => {}
        }
    }
    plan
}

impl Plan {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The steps that lose records.
    pub fn destructive(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.is_destructive())
    }

    fn compare(&mut self, desired: &DesiredTopic, actual: &ActualTopic) {
        let topic = || desired.name.clone();
        if let Some(replication) = desired.replication
            && replication != actual.replication
        {
            self.notes.push(format!(
                "{} has replication {} and should have {replication}: apply does not move replicas; use kafka-reassign-partitions",
                actual.name, actual.replication
            ));
        }
        if desired.partitions < actual.partitions {
            self.changes.push(Change::Replace {
                topic: topic(),
                from: actual.partitions,
                to: desired.partitions,
                replication: desired.replication,
                configs: desired.configs.clone(),
            });
            return;
        }
        if desired.partitions > actual.partitions {
            self.changes.push(Change::Grow {
                topic: topic(),
                from: actual.partitions,
                to: desired.partitions,
            });
        }
        let configs = config_changes(&desired.configs, &actual.configs);
        if !configs.is_empty() {
            self.changes.push(Change::Configure {
                topic: topic(),
                configs,
            });
        }
    }
}

impl Change {
    /// The topic that is changed.
    pub fn topic(&self) -> &str {
        match self {
            Self::Create { topic, .. }
            | Self::Grow { topic, .. }
            | Self::Configure { topic, .. }
            | Self::Replace { topic, .. }
            | Self::Delete { topic } => topic,
        }
    }

    /// Whether the topic's records are lost.
    pub fn is_destructive(&self) -> bool {
        matches!(self, Self::Replace { .. } | Self::Delete { .. })
    }

    /// What whoever applies it should know first.
    pub fn warnings(&self) -> Vec<String> {
        match self {
            Self::Grow { .. } => vec![
                "keys move to other partitions: new records of a key may be handled before its old ones".into(),
            ],
            Self::Replace { .. } => vec![
                "Kafka cannot take partitions away: the topic is deleted with all its records, and created again".into(),
            ],
            Self::Delete { .. } => vec!["the topic is deleted with all its records".into()],
            Self::Configure { configs, .. } => {
                configs.iter().filter_map(ConfigChange::warning).collect()
            }
            Self::Create { .. } => Vec::new(),
        }
    }
}

impl ConfigChange {
    fn warning(&self) -> Option<String> {
        let to = self.to.as_deref();
        let loses = match self.name.as_str() {
            config::RETENTION => {
                let parsed = |value: Option<&str>| value.and_then(Retention::from_config);
                match (parsed(to), parsed(self.from.as_deref())) {
                    (Some(to), Some(from)) => to.is_shorter_than(from),
                    // What the broker's default is, is not known here.
                    _ => true,
                }
            }
            config::RETENTION_BYTES => to != Some("-1"),
            config::CLEANUP => true,
            _ => false,
        };
        loses.then(|| {
            format!(
                "{} changes which records are kept: old ones may be deleted",
                self.name
            )
        })
    }
}

fn create(topic: &DesiredTopic) -> Change {
    Change::Create {
        topic: topic.name.clone(),
        partitions: topic.partitions,
        replication: topic.replication,
        configs: topic.configs.clone(),
    }
}

fn config_changes(
    desired: &BTreeMap<String, String>,
    actual: &BTreeMap<String, String>,
) -> Vec<ConfigChange> {
    let names: BTreeSet<&String> = desired.keys().chain(actual.keys()).collect();
    names
        .into_iter()
        .filter(|name| !same_value(name, desired.get(*name), actual.get(*name)))
        .map(|name| ConfigChange {
            name: name.clone(),
            from: actual.get(name).cloned(),
            to: desired.get(name).cloned(),
        })
        .collect()
}

/// `cleanup.policy` is a set: its order means nothing.
fn same_value(name: &str, one: Option<&String>, other: Option<&String>) -> bool {
    let items = |value: Option<&String>| -> Option<BTreeSet<String>> {
        value.map(|value| {
            value
                .split(',')
                .map(|item| item.trim().to_owned())
                .collect()
        })
    };
    one == other || (name == config::CLEANUP && items(one) == items(other))
}
