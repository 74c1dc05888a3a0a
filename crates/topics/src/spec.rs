//! What a topic should be: the content of one TOML file, checked.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use longshore_event::dead_letter_topic;

use crate::{DesiredTopic, Retention};

/// The specification of one topic and of its dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// The topic's name, legal in Kafka.
    pub name: String,
    /// Whether it should exist at all.
    pub state: State,
    /// Partitions, at least 1.
    pub partitions: i32,
    /// Copies of each partition, at least 1; `None` leaves it to the broker's `default.replication.factor`.
    pub replication: Option<i32>,
    /// How long records are kept; `None` leaves it to the broker.
    pub retention: Option<Retention>,
    /// What happens to old records.
    pub cleanup: Cleanup,
    /// Bytes of the largest batch; `None` leaves it to the broker.
    pub max_message_bytes: Option<i32>,
    /// Other configurations, by Kafka's names.
    pub configs: BTreeMap<String, String>,
    /// Where records go that failed for good; `None` if the topic has no dead-letter topic.
    pub dead_letter: Option<DeadLetterSpec>,
    /// The consumer groups that dead letters of this topic can be redriven to; each has a topic `<group>.redrive`.
    pub redrive_groups: Vec<String>,
    /// The JSON Schema of its values, as a path that can be opened.
    pub schema: Option<PathBuf>,
    /// The field of the value that is the record's key.
    pub key: Option<String>,
    /// The file it was read from.
    pub file: PathBuf,
}

/// Whether a topic should exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is created if it is not there.
    #[default]
    Present,
    /// It is deleted if it is there, with its dead-letter topic; that needs `--allow-destructive`.
    Absent,
}

/// What happens to old records: the value of `cleanup.policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub enum Cleanup {
    /// They are deleted when their retention is over.
    #[default]
    #[serde(rename = "delete")]
    Delete,
    /// The last record of every key is kept.
    #[serde(rename = "compact")]
    Compact,
    /// Compacted, and deleted when their retention is over.
    #[serde(rename = "compact,delete", alias = "delete,compact")]
    CompactDelete,
}

impl fmt::Display for Cleanup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delete => "delete",
            Self::Compact => "compact",
            Self::CompactDelete => "compact,delete",
        })
    }
}

/// The dead-letter topic of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterSpec {
    /// Partitions, at least 1.
    pub partitions: i32,
    /// How long dead letters are kept.
    pub retention: Retention,
    /// Bytes of the largest batch; larger than the topic's, since a dead letter is the record plus its headers.
    pub max_message_bytes: i32,
}

impl DeadLetterSpec {
    /// Kafka's own default of `max.message.bytes`.
    pub(crate) const BROKER_MAX_MESSAGE_BYTES: i32 = 1_048_588;
    /// Bytes by which a dead letter may outgrow its record: the error message is cut at 4 KiB, the rest are names.
    pub(crate) const HEADER_BYTES: i32 = 16 * 1024;
    /// Long enough to look into a failure after a holiday.
    pub(crate) const RETENTION: Retention = Retention::Milliseconds(30 * 24 * 60 * 60 * 1000);

    /// What stands in no file, for a topic of so many partitions and such messages.
    pub(crate) fn of(partitions: i32, max_message_bytes: Option<i32>) -> Self {
        Self {
            partitions,
            retention: Self::RETENTION,
            max_message_bytes: max_message_bytes
                .unwrap_or(Self::BROKER_MAX_MESSAGE_BYTES)
                .saturating_add(Self::HEADER_BYTES),
        }
    }
}

impl TopicSpec {
    /// The topics that this file is about: the topic itself, then its dead-letter topic.
    pub fn topics(&self) -> Vec<DesiredTopic> {
        let topic = DesiredTopic {
            name: self.name.clone(),
            state: self.state,
            partitions: self.partitions,
            replication: self.replication,
            configs: self.all_configs(),
        };
        let dead_letters = self.dead_letter.as_ref().map(|spec| DesiredTopic {
            name: dead_letter_topic(&self.name).to_string(),
            state: self.state,
            partitions: spec.partitions,
            replication: self.replication,
            configs: configs([
                (config::CLEANUP, Some(Cleanup::Delete.to_string())),
                (config::RETENTION, Some(spec.retention.config_value())),
                (
                    config::MAX_MESSAGE_BYTES,
                    Some(spec.max_message_bytes.to_string()),
                ),
            ]),
        });
        [topic].into_iter().chain(dead_letters).collect()
    }

    /// What its dead letters need, should it have a topic for them or not.
    pub(crate) fn dead_letters(&self) -> DeadLetterSpec {
        let spec = self.dead_letter.clone();
        spec.unwrap_or_else(|| DeadLetterSpec::of(self.partitions, self.max_message_bytes))
    }

    fn all_configs(&self) -> BTreeMap<String, String> {
        let mut all = self.configs.clone();
        all.extend(configs([
            (config::CLEANUP, Some(self.cleanup.to_string())),
            (
                config::RETENTION,
                self.retention.map(Retention::config_value),
            ),
            (
                config::MAX_MESSAGE_BYTES,
                self.max_message_bytes.map(|bytes| bytes.to_string()),
            ),
        ]));
        all
    }
}

/// Kafka's names of the configurations that have a field of their own.
pub(crate) mod config {
    pub(crate) const CLEANUP: &str = "cleanup.policy";
    pub(crate) const RETENTION: &str = "retention.ms";
    pub(crate) const RETENTION_BYTES: &str = "retention.bytes";
    pub(crate) const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
}

/// Those of the entries that have a value.
pub(crate) fn configs<const N: usize>(
    entries: [(&str, Option<String>); N],
) -> BTreeMap<String, String> {
    entries
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}
