//! The configuration of a topic: every name Kafka knows, its type, default and legal values.
//!
//! The broker acts on sizes, retention, compaction and the type of timestamps: what is read below
//! `fault`. The others are kept, validated and described, so that tools behave as they do with Kafka.

use std::collections::BTreeMap;

use crate::log::{Compaction, Retention};

/// What was set on a topic, by name; what is not here has its default.
pub(crate) type TopicConfigs = BTreeMap<String, String>;

/// A configuration name and what may be set.
#[derive(Debug)]
pub(crate) struct ConfigKey {
    pub(crate) name: &'static str,
    pub(crate) default: &'static str,
    pub(crate) legal: Legal,
}

/// Legal values of a configuration.
#[derive(Debug)]
pub(crate) enum Legal {
    Boolean,
    /// A 32-bit integer of at least this.
    Int(i64),
    /// A 64-bit integer of at least this.
    Long(i64),
    /// A number from 0 to 1.
    Ratio,
    OneOf(&'static [&'static str]),
    /// A comma-separated list of these.
    ListOf(&'static [&'static str]),
}

/// All configurations of a topic, sorted by name.
pub(crate) const TOPIC_CONFIGS: &[ConfigKey] = &[
    key(CLEANUP_POLICY, DELETE, Legal::ListOf(&[DELETE, COMPACT])),
    key(
        "compression.type",
        "producer",
        Legal::OneOf(&["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"]),
    ),
    key(DELETE_RETENTION_MS, "86400000", Legal::Long(0)),
    key("file.delete.delay.ms", "60000", Legal::Long(0)),
    key("flush.messages", "9223372036854775807", Legal::Long(1)),
    key("flush.ms", "9223372036854775807", Legal::Long(0)),
    key("index.interval.bytes", "4096", Legal::Int(0)),
    key(MAX_COMPACTION_LAG_MS, "9223372036854775807", Legal::Long(1)),
    key(MAX_MESSAGE_BYTES, "1048588", Legal::Int(0)),
    key(
        "message.timestamp.after.max.ms",
        "9223372036854775807",
        Legal::Long(0),
    ),
    key(
        "message.timestamp.before.max.ms",
        "9223372036854775807",
        Legal::Long(0),
    ),
    key(
        MESSAGE_TIMESTAMP_TYPE,
        "CreateTime",
        Legal::OneOf(&["CreateTime", LOG_APPEND_TIME]),
    ),
    key(MIN_CLEANABLE_DIRTY_RATIO, "0.5", Legal::Ratio),
    key(MIN_COMPACTION_LAG_MS, "0", Legal::Long(0)),
    key("min.insync.replicas", "1", Legal::Int(1)),
    key("preallocate", "false", Legal::Boolean),
    key(RETENTION_BYTES, "-1", Legal::Long(-1)),
    key(RETENTION_MS, "604800000", Legal::Long(-1)),
    key(SEGMENT_BYTES, "1073741824", Legal::Int(14)),
    key("segment.index.bytes", "10485760", Legal::Int(4)),
    key("segment.jitter.ms", "0", Legal::Long(0)),
    key(SEGMENT_MS, "604800000", Legal::Long(1)),
    key("unclean.leader.election.enable", "false", Legal::Boolean),
];

const CLEANUP_POLICY: &str = "cleanup.policy";
const DELETE: &str = "delete";
const COMPACT: &str = "compact";
const DELETE_RETENTION_MS: &str = "delete.retention.ms";
const MAX_COMPACTION_LAG_MS: &str = "max.compaction.lag.ms";
const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
const MESSAGE_TIMESTAMP_TYPE: &str = "message.timestamp.type";
const LOG_APPEND_TIME: &str = "LogAppendTime";
const MIN_CLEANABLE_DIRTY_RATIO: &str = "min.cleanable.dirty.ratio";
const MIN_COMPACTION_LAG_MS: &str = "min.compaction.lag.ms";
const RETENTION_BYTES: &str = "retention.bytes";
const RETENTION_MS: &str = "retention.ms";
const SEGMENT_BYTES: &str = "segment.bytes";
const SEGMENT_MS: &str = "segment.ms";

/// The topic configuration called `name`.
pub(crate) fn find(name: &str) -> Option<&'static ConfigKey> {
    TOPIC_CONFIGS.iter().find(|key| key.name == name)
}

/// Says what is wrong with setting `name` to `value`; `None` when nothing is.
pub(crate) fn fault(name: &str, value: &str) -> Option<String> {
    let Some(key) = find(name) else {
        return Some(format!("unknown topic configuration '{name}'"));
    };
    key.legal
        .fault(value)
        .map(|expected| format!("'{value}' is not a value of {name}: {expected} is expected"))
}

/// Bytes of the largest batch that a topic with `configs` takes.
pub(crate) fn max_message_bytes(configs: &TopicConfigs) -> usize {
    number(configs, MAX_MESSAGE_BYTES)
}

/// Bytes past which a log of a topic with `configs` begins a new segment.
pub(crate) fn segment_bytes(configs: &TopicConfigs) -> u64 {
    number(configs, SEGMENT_BYTES) as u64
}

/// Whether the broker's clock replaces the producer's.
pub(crate) fn uses_log_append_time(configs: &TopicConfigs) -> bool {
    configs
        .get(MESSAGE_TIMESTAMP_TYPE)
        .is_some_and(|value| value == LOG_APPEND_TIME)
}

/// Whether records may be deleted, be it by age, by size or by offset.
pub(crate) fn is_deleted(configs: &TopicConfigs) -> bool {
    has_policy(configs, DELETE)
}

/// Whether only the last record of each key is kept.
pub(crate) fn is_compacted(configs: &TopicConfigs) -> bool {
    has_policy(configs, COMPACT)
}

/// How much of a log is kept.
pub(crate) fn retention(configs: &TopicConfigs) -> Retention {
    if !is_deleted(configs) {
        return Retention::default();
    }
    // -1 is no limit.
    Retention {
        age_ms: Some(long(configs, RETENTION_MS)).filter(|age| *age >= 0),
        bytes: u64::try_from(long(configs, RETENTION_BYTES)).ok(),
    }
}

/// How a log is compacted, if it is.
pub(crate) fn compaction(configs: &TopicConfigs) -> Option<Compaction> {
    is_compacted(configs).then(|| Compaction {
        min_dirty_ratio: text(configs, MIN_CLEANABLE_DIRTY_RATIO)
            .parse()
            .unwrap_or(0.5),
        min_lag_ms: long(configs, MIN_COMPACTION_LAG_MS),
        max_lag_ms: long(configs, MAX_COMPACTION_LAG_MS),
        delete_retention_ms: long(configs, DELETE_RETENTION_MS),
        segment_bytes: segment_bytes(configs),
    })
}

/// Milliseconds after which an active segment is closed.
pub(crate) fn segment_ms(configs: &TopicConfigs) -> i64 {
    let age_ms = long(configs, SEGMENT_MS);
    if is_compacted(configs) {
        // What is in the active segment is not compacted.
        age_ms.min(long(configs, MAX_COMPACTION_LAG_MS))
    } else {
        age_ms
    }
}

const fn key(name: &'static str, default: &'static str, legal: Legal) -> ConfigKey {
    ConfigKey {
        name,
        default,
        legal,
    }
}

fn has_policy(configs: &TopicConfigs, policy: &str) -> bool {
    let mut policies = text(configs, CLEANUP_POLICY).split(',');
    policies.any(|item| item.trim() == policy)
}

fn text<'a>(configs: &'a TopicConfigs, name: &str) -> &'a str {
    let set = configs.get(name).map(String::as_str);
    let default = || find(name).map(|key| key.default);
    set.or_else(default).unwrap_or_default()
}

/// What was set was checked to be a number.
fn long(configs: &TopicConfigs, name: &str) -> i64 {
    text(configs, name).trim().parse().unwrap_or(i64::MAX)
}

fn number(configs: &TopicConfigs, name: &str) -> usize {
    let set = configs.get(name).and_then(|value| value.parse().ok());
    let default = || find(name).and_then(|key| key.default.parse().ok());
    set.or_else(default).unwrap_or(usize::MAX)
}

impl Legal {
    fn fault(&self, value: &str) -> Option<String> {
        let at_least = |least: i64, most: i64| match value.trim().parse::<i64>() {
            Ok(number) if (least..=most).contains(&number) => None,
            _ => Some(format!("an integer from {least} to {most}")),
        };
        match self {
            Self::Boolean => (!matches!(value, "true" | "false")).then(|| "true or false".into()),
            Self::Int(least) => at_least(*least, i64::from(i32::MAX)),
            Self::Long(least) => at_least(*least, i64::MAX),
            Self::Ratio => match value.parse::<f64>() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => None,
                _ => Some("a number from 0 to 1".into()),
            },
            Self::OneOf(values) => {
                (!values.contains(&value)).then(|| format!("one of {}", values.join(", ")))
            }
            Self::ListOf(values) => {
                let legal = value.split(',').all(|item| values.contains(&item.trim()));
                (!legal).then(|| format!("a list of {}", values.join(", ")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_legal_and_the_table_is_sorted() {
        for key in TOPIC_CONFIGS {
            assert_eq!(fault(key.name, key.default), None);
        }
        assert!(TOPIC_CONFIGS.is_sorted_by_key(|key| key.name));
    }

    #[test]
    fn values_are_checked_by_type_and_range() {
        for (name, value) in [
            ("retention.ms", "-2"),
            ("retention.ms", "soon"),
            ("segment.bytes", "3000000000"),
            ("cleanup.policy", "compact,shred"),
            ("cleanup.policy", ""),
            ("compression.type", "brotli"),
            ("min.cleanable.dirty.ratio", "1.5"),
            ("preallocate", "yes"),
            ("retention.mss", "1"),
        ] {
            assert!(fault(name, value).is_some(), "{name}={value}");
        }
        for (name, value) in [
            ("retention.ms", "-1"),
            ("cleanup.policy", "compact,delete"),
            ("compression.type", "zstd"),
        ] {
            assert_eq!(fault(name, value), None);
        }
    }

    #[test]
    fn each_policy_cleans_in_its_own_way() {
        let with = |policy: &str| TopicConfigs::from([("cleanup.policy".into(), policy.into())]);
        let unlimited = Retention::default();

        let week = Retention {
            age_ms: Some(604_800_000),
            bytes: None,
        };
        assert_eq!(retention(&with("delete")), week);
        assert!(compaction(&with("delete")).is_none());
        assert_eq!(retention(&with("compact")), unlimited);
        assert!(compaction(&with("compact")).is_some());
        assert_eq!(retention(&with("compact, delete")), week);
        assert!(compaction(&with("compact, delete")).is_some());
    }

    #[test]
    fn what_is_not_set_has_its_default() {
        let mut configs = TopicConfigs::new();
        assert_eq!(max_message_bytes(&configs), 1_048_588);

        configs.insert("max.message.bytes".into(), "100".into());
        assert_eq!(max_message_bytes(&configs), 100);
    }
}
