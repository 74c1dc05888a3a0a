//! The audit of redrives: who took back or gave up what, when, and how far it got, in a topic of its own.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, anyhow};
use jiff::Timestamp;
use longshore_event::{Headers, OutgoingRecord, Record, RedriveAction, redrive_topic};
use longshore_kafka::{KafkaError, KafkaPublisher};
use longshore_topics::{REDRIVES_TOPIC, name_fault};
use longshore_worker::Publisher;
use serde::{Deserialize, Serialize};

use super::letters::Letters;
use super::selection::Selection;
use crate::arguments::Global;

/// One record of the audit: everything about a run, as it stood at one moment. The last one of a run is what it is
/// resumed from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    /// The run's id, which is also the record's key.
    pub(super) run: String,
    pub(super) phase: Phase,
    pub(super) at: Timestamp,
    /// Who started it, or resumed it.
    pub(super) by: String,
    pub(super) action: Action,
    /// The dead-letter topic.
    pub(super) topic: String,
    /// The consumer group.
    pub(super) group: String,
    pub(super) filter: Selection,
    /// Edits, as they were written.
    #[serde(default)]
    pub(super) edits: Vec<String>,
    /// The command that edits. It is not run because it stands here: whoever resumes the run gives it again.
    #[serde(default)]
    pub(super) edit_with: Option<String>,
    #[serde(default)]
    pub(super) limit: Option<u64>,
    pub(super) max_redrives: u32,
    /// By partition, the end of the dead-letter topic when the run began: it is about nothing younger.
    pub(super) until: BTreeMap<i32, i64>,
    /// How many letters the run is about.
    pub(super) selected: u64,
    /// How many of them are acknowledged to be in the redrive topic.
    pub(super) acknowledged: u64,
    /// How many could not be sent.
    #[serde(default)]
    pub(super) failed: u64,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Phase {
    Started,
    Progress,
    /// Nothing is left to do.
    Ended,
    /// It was stopped, or some letters could not be sent: it can be resumed.
    Stopped,
}

/// What a run does with dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Action {
    Redrive,
    Discard,
}

impl std::convert::From<RedriveAction> for Action {
    fn from(action: RedriveAction) -> Self {
        match action {
            RedriveAction::Handle => Self::Redrive,
            RedriveAction::Discard => Self::Discard,
        }
    }
}

impl Entry {
    /// Writes the entry and waits until it is acknowledged.
    pub(super) async fn write(&self, publisher: &KafkaPublisher) -> anyhow::Result<()> {
        let record = OutgoingRecord {
            topic: REDRIVES_TOPIC.into(),
            key: Some(self.run.clone().into()),
            value: Some(serde_json::to_vec(self)?.into()),
            headers: Headers::new(),
        };
        let results = publisher.publish(std::slice::from_ref(&record)).await;
        let result = results.into_iter().next().unwrap_or(Ok(()));
        result
            .map_err(|error| anyhow!(error.source.to_string()))
            .with_context(|| format!("the run cannot be audited in {REDRIVES_TOPIC}"))
    }

    /// `None` for what is no entry: whoever may write to the topic may write anything.
    fn read(record: &Record) -> Option<Self> {
        serde_json::from_slice(record.value.as_deref()?).ok()
    }
}

/// The groups that letters of the dead-letter topic `topic` were redriven to.
pub(super) async fn groups(global: &Global, topic: &str) -> Result<BTreeSet<String>, KafkaError> {
    let mut groups = BTreeSet::new();
    each(global, |entry| {
        let legal = name_fault(&redrive_topic(&entry.group)).is_none();
        if entry.topic == topic && legal {
            groups.insert(entry.group);
        }
    })
    .await?;
    Ok(groups)
}

/// The last entry of a run.
pub(super) async fn last(global: &Global, run: &str) -> Result<Option<Entry>, KafkaError> {
    let mut last = None;
    each(global, |entry| {
        if entry.run == run {
            last = Some(entry);
        }
    })
    .await?;
    Ok(last)
}

/// Without the topic there is no entry.
async fn each(global: &Global, mut see: impl FnMut(Entry)) -> Result<(), KafkaError> {
    let mut records = match Letters::open(global, REDRIVES_TOPIC, None).await {
        Err(KafkaError::UnknownTopic { .. }) => return Ok(()),
        opened => opened?,
    };
    while let Some(record) = records.next().await? {
        if let Some(entry) = Entry::read(&record) {
            see(entry);
        }
    }
    Ok(())
}

/// Who runs this, as the operating system tells it: `user@host`.
pub(super) fn whoami() -> String {
    let user = ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    let user = user.unwrap_or_else(|| "unknown".to_owned());
    format!("{user}@{}", host())
}

fn host() -> String {
    let files = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let from_file = files
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok());
    let name = from_file
        .or_else(|| std::env::var("HOSTNAME").ok())
        .unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}
