//! The topics of redrives: one for each consumer group that may get dead letters back, and one that audits all runs.

use std::collections::BTreeMap;

use longshore_event::redrive_topic;

use crate::spec::{config, configs};
use crate::{Cleanup, DesiredTopic, Retention, State, TopicSpec};

/// The topic that says who redrove or discarded what, when, and how far it got.
pub const REDRIVES_TOPIC: &str = "longshore.redrives";

/// Bytes by which a redriven record may outgrow its dead letter: where it came from, and its value before an edit.
const HEADER_BYTES: i32 = 16 * 1024;

/// All topics that the files ask for: those of each file, then the redrive topics of the groups that the files name,
/// each once, and the topic that audits them unless a file describes it.
pub fn desired_topics(specs: &[TopicSpec]) -> Vec<DesiredTopic> {
    let mut all: Vec<_> = specs.iter().flat_map(TopicSpec::topics).collect();
    let redrives = redrive_topics(specs);
    let any = redrives.values().any(|topic| topic.state == State::Present);
    all.extend(redrives.into_values());
    if any && !specs.iter().any(|spec| spec.name == REDRIVES_TOPIC) {
        all.push(audit(specs));
    }
    all
}

/// By name. A group that reads several topics has one redrive topic, which is as wide as the widest of them.
fn redrive_topics(specs: &[TopicSpec]) -> BTreeMap<String, DesiredTopic> {
    let mut all = BTreeMap::new();
    // What is present comes last and so has the last word: a group may go on with one topic while another goes.
    let (absent, present): (Vec<_>, Vec<_>) =
        specs.iter().partition(|spec| spec.state == State::Absent);
    for spec in absent.into_iter().chain(present) {
        for group in &spec.redrive_groups {
            let name = redrive_topic(group).to_string();
            let wanted = spec.redrive_topic(name.clone());
            all.entry(name)
                .and_modify(|topic: &mut DesiredTopic| merge(topic, &wanted))
                .or_insert(wanted);
        }
    }
    all
}

impl TopicSpec {
    /// Kept as long as the dead letters: it is how they are known to be redriven.
    fn redrive_topic(&self, name: String) -> DesiredTopic {
        let letters = self.dead_letters();
        let bytes = letters.max_message_bytes.saturating_add(HEADER_BYTES);
        DesiredTopic {
            name,
            state: self.state,
            partitions: self.partitions,
            replication: self.replication,
            configs: configs([
                (config::CLEANUP, Some(Cleanup::Delete.to_string())),
                (config::RETENTION, Some(letters.retention.config_value())),
                (config::MAX_MESSAGE_BYTES, Some(bytes.to_string())),
            ]),
        }
    }
}

fn merge(topic: &mut DesiredTopic, other: &DesiredTopic) {
    if topic.state != other.state {
        *topic = other.clone();
        return;
    }
    topic.partitions = topic.partitions.max(other.partitions);
    topic.replication = topic.replication.max(other.replication);
    for (name, value) in &other.configs {
        let larger = |old: &String| match name.as_str() {
            config::RETENTION => {
                let parsed = |value: &str| Retention::from_config(value);
                match (parsed(old), parsed(value)) {
                    (Some(old), Some(new)) => old.is_shorter_than(new),
                    _ => false,
                }
            }
            config::MAX_MESSAGE_BYTES => old.parse::<i64>().ok() < value.parse::<i64>().ok(),
            _ => false,
        };
        if topic.configs.get(name).is_some_and(larger) {
            topic.configs.insert(name.clone(), value.clone());
        }
    }
}

/// Kept for ever, since an audit that forgets is none; a run is a few records of a few hundred bytes. One partition, so
/// that runs stand in the order they happened.
fn audit(specs: &[TopicSpec]) -> DesiredTopic {
    let present = specs.iter().filter(|spec| spec.state == State::Present);
    DesiredTopic {
        name: REDRIVES_TOPIC.to_owned(),
        state: State::Present,
        partitions: 1,
        replication: present.filter_map(|spec| spec.replication).max(),
        configs: configs([
            (config::CLEANUP, Some(Cleanup::Delete.to_string())),
            (config::RETENTION, Some(Retention::Forever.config_value())),
        ]),
    }
}
