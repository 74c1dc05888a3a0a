//! One TOML file as serde sees it, and the checks that turn it into a [`TopicSpec`]. Every fault knows its place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use longshore_event::{dead_letter_topic, redrive_topic};
use serde::Deserialize;
use toml::Spanned;

use crate::spec::config;
use crate::{Cleanup, DeadLetterSpec, Retention, State, TopicSpec, name_fault};

/// What is wrong, and where in the text; no place for what is missing.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) span: Option<Range<usize>>,
    pub(crate) reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    name: Spanned<String>,
    #[serde(default)]
    state: State,
    partitions: Option<Spanned<i64>>,
    replication: Option<Spanned<i64>>,
    retention: Option<Spanned<String>>,
    #[serde(default)]
    cleanup: Cleanup,
    max_message_bytes: Option<Spanned<i64>>,
    schema: Option<Spanned<String>>,
    key: Option<Spanned<String>>,
    #[serde(default)]
    configs: BTreeMap<Spanned<String>, Spanned<toml::Value>>,
    dead_letter: Option<DeadLetterDocument>,
    redrive: Option<RedriveDocument>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeadLetterDocument {
    #[serde(default = "yes")]
    enabled: bool,
    partitions: Option<Spanned<i64>>,
    retention: Option<Spanned<String>>,
    max_message_bytes: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RedriveDocument {
    groups: Vec<Spanned<String>>,
}

/// Reads the text of `file`, which stands in `dir`.
///
/// # Errors
/// All faults of the file; but only the first one if it is not the TOML it should be.
pub(crate) fn parse(text: &str, dir: &Path, file: &Path) -> Result<TopicSpec, Vec<Fault>> {
    let document: Document = toml::from_str(text).map_err(|error| {
        vec![Fault {
            span: error.span(),
            reason: error.message().trim().replace('\n', " "),
        }]
    })?;
    let mut faults = Faults::default();
    let spec = faults.spec(document, dir, file);
    if faults.0.is_empty() {
        Ok(spec)
    } else {
        Err(faults.0)
    }
}

/// Collects what is wrong; a value that is wrong is replaced by one that lets the checks go on.
#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn spec(&mut self, document: Document, dir: &Path, file: &Path) -> TopicSpec {
        let name = document.name.as_ref().clone();
        if let Some(reason) = name_fault(&name) {
            self.at(&document.name, reason);
        }
        if document.partitions.is_none() && document.state == State::Present {
            self.missing(format!(
                "topic {name} has no partitions; add `partitions = 3`"
            ));
        }
        let partitions = self.positive(document.partitions, "partitions");
        let max_message_bytes = self.positive(document.max_message_bytes, "max_message_bytes");
        let dead_letter = self.dead_letter(
            &document.name,
            document.dead_letter,
            partitions.unwrap_or(1),
            max_message_bytes,
        );
        let schema = document.schema.map(|schema| {
            let path = dir.join(schema.as_ref());
            if !path.is_file() {
                let path = path.display();
                self.at(&schema, format!("there is no schema at {path}"));
            }
            path
        });
        TopicSpec {
            name,
            state: document.state,
            partitions: partitions.unwrap_or(1),
            replication: self.replication(document.replication),
            retention: document.retention.and_then(|text| self.retention(&text)),
            cleanup: document.cleanup,
            max_message_bytes,
            configs: self.configs(document.configs),
            dead_letter,
            redrive_groups: self.redrive_groups(document.redrive),
            schema,
            key: document.key.map(|key| {
                if key.as_ref().is_empty() {
                    self.at(&key, "key must name a field of the value".into());
                }
                key.into_inner()
            }),
            file: file.to_owned(),
        }
    }

    fn dead_letter(
        &mut self,
        topic: &Spanned<String>,
        document: Option<DeadLetterDocument>,
        partitions: i32,
        max_message_bytes: Option<i32>,
    ) -> Option<DeadLetterSpec> {
        let document = match document {
            Some(document) if document.enabled => Some(document),
            Some(_) => return None,
            // A dead-letter topic that has a file of its own needs no dead letters.
            None if topic.as_ref().ends_with(".dlq") => return None,
            None => None,
        };
        let name = dead_letter_topic(topic.as_ref());
        if let (Some(reason), None) = (name_fault(&name), name_fault(topic.as_ref())) {
            self.at(
                topic,
                format!("no room for the dead-letter topic: {reason}"),
            );
        }
        let mut spec = DeadLetterSpec::of(partitions, max_message_bytes);
        let least = spec.max_message_bytes;
        if let Some(document) = document {
            spec.partitions = self
                .positive(document.partitions, "partitions")
                .unwrap_or(partitions);
            if let Some(retention) = document.retention.and_then(|text| self.retention(&text)) {
                spec.retention = retention;
            }
            let given = document.max_message_bytes.as_ref().map(Spanned::span);
            if let Some(bytes) = self.positive(document.max_message_bytes, "max_message_bytes") {
                spec.max_message_bytes = bytes;
            }
            if spec.max_message_bytes < least {
                self.0.push(Fault {
                    span: given,
                    reason: format!("max_message_bytes must be at least {least}: a dead letter is the record plus its headers"),
                });
            }
        }
        Some(spec)
    }

    fn redrive_groups(&mut self, document: Option<RedriveDocument>) -> Vec<String> {
        let mut groups: Vec<String> = Vec::new();
        for group in document.into_iter().flat_map(|document| document.groups) {
            let name = group.as_ref();
            if name.is_empty() {
                self.at(&group, "a consumer group has a name".into());
            } else if groups.contains(name) {
                self.at(&group, format!("group {name} is named twice"));
            } else if let Some(reason) = name_fault(&redrive_topic(name)) {
                let reason = format!("no redrive topic for group {name}: {reason}");
                self.at(&group, reason);
            }
            groups.push(group.into_inner());
        }
        groups
    }

    fn replication(&mut self, value: Option<Spanned<i64>>) -> Option<i32> {
        let span = value.as_ref().map(Spanned::span);
        let number = self.positive(value, "replication")?;
        if number > i32::from(i16::MAX) {
            self.0.push(Fault {
                span,
                reason: format!("replication must be at most {}, not {number}", i16::MAX),
            });
        }
        Some(number)
    }

    fn positive(&mut self, value: Option<Spanned<i64>>, field: &str) -> Option<i32> {
        let value = value?;
        match i32::try_from(*value.as_ref()) {
            Ok(number) if number > 0 => Some(number),
            _ => {
                let found = value.as_ref();
                self.at(
                    &value,
                    format!("{field} must be from 1 to {}, not {found}", i32::MAX),
                );
                None
            }
        }
    }

    fn retention(&mut self, text: &Spanned<String>) -> Option<Retention> {
        text.as_ref()
            .parse()
            .map_err(|reason| self.at(text, reason))
            .ok()
    }

    fn configs(
        &mut self,
        configs: BTreeMap<Spanned<String>, Spanned<toml::Value>>,
    ) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for (name, value) in configs {
            let field = match name.as_ref().as_str() {
                config::CLEANUP => Some("cleanup"),
                config::RETENTION => Some("retention"),
                config::MAX_MESSAGE_BYTES => Some("max_message_bytes"),
                _ => None,
            };
            if let Some(field) = field {
                self.at(
                    &name,
                    format!("use the field `{field}` for {}", name.as_ref()),
                );
            }
            match config_value(value.as_ref()) {
                Some(text) => {
                    all.insert(name.into_inner(), text);
                }
                None => self.at(
                    &value,
                    format!("{} must be a string, a number or a boolean; quote the whole name: \"a.b\" = 1", name.as_ref()),
                ),
            }
        }
        all
    }

    fn at<T>(&mut self, place: &Spanned<T>, reason: String) {
        self.0.push(Fault {
            span: Some(place.span()),
            reason,
        });
    }

    fn missing(&mut self, reason: String) {
        self.0.push(Fault { span: None, reason });
    }
}

fn config_value(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn yes() -> bool {
    true
}
