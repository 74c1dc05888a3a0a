//! What edited values must keep to, by topic: the JSON Schema, and the field that is the key.

use std::collections::HashMap;
use std::path::Path;

use longshore_event::Record;
use longshore_topics::{Schema, TopicSpec, key_of};
use serde_json::Value;

use super::edit::Edits;
use crate::output::note;
use crate::record::printable_bytes;

/// Those of the topics directory that describe a topic.
#[derive(Debug, Default)]
pub(super) struct Schemas(HashMap<String, Rules>);

/// What a topic's file asks of a value.
#[derive(Debug)]
struct Rules {
    schema: Option<Schema>,
    key_field: Option<String>,
}

impl Schemas {
    /// None are needed where nothing is edited. A directory that is not there is told, so that nobody takes silence for
    /// approval.
    pub(super) fn load(edits: &Edits, dir: &Path) -> anyhow::Result<Self> {
        if edits.is_empty() {
            return Ok(Self::default());
        }
        if !dir.is_dir() {
            let dir = dir.display();
            note(format_args!(
                "There is no directory {dir} (--topics-dir): edited values are not checked, nor that they keep their key."
            ));
            return Ok(Self::default());
        }
        let mut topics = HashMap::new();
        for spec in TopicSpec::load_dir(dir)? {
            let rules = Rules {
                schema: spec.schema.map(Schema::load).transpose()?,
                key_field: spec.key,
            };
            topics.insert(spec.name, rules);
        }
        Ok(Self(topics))
    }

    /// Accepts what an edit has made of the value of `record`, which failed in `topic`, or says what is wrong with it.
    pub(super) fn check(&self, topic: &str, record: &Record, edited: &[u8]) -> Result<(), String> {
        let Some(rules) = self.0.get(topic) else {
            return Ok(());
        };
        if let Some(schema) = &rules.schema {
            valid(topic, schema, edited)?;
        }
        match &rules.key_field {
            Some(field) => keeps_key(topic, field, record, edited),
            None => Ok(()),
        }
    }
}

fn valid(topic: &str, schema: &Schema, edited: &[u8]) -> Result<(), String> {
    let value: Value = serde_json::from_slice(edited)
        .map_err(|error| format!("the edited value is no JSON: {error}"))?;
    schema.validate(&value).map_err(|violations| {
        let all: Vec<_> = violations.iter().map(ToString::to_string).collect();
        format!(
            "the edited value is not what {topic} takes: {}",
            all.join("; ")
        )
    })
}

/// The record keeps its key, whatever its value says: one that says something else would be handled out of the order of
/// the key that it names. An edit may mend a value that did not have the record's key.
fn keeps_key(topic: &str, field: &str, record: &Record, edited: &[u8]) -> Result<(), String> {
    let (old, new) = (
        text_of(record.value.as_deref().unwrap_or_default(), field),
        text_of(edited, field),
    );
    let key = record.key.as_deref();
    if new == old || new.is_some() && new.as_deref().map(str::as_bytes) == key {
        return Ok(());
    }
    let told = |text: Option<&str>| text.map_or("nothing".to_owned(), |text| format!("{text:?}"));
    Err(format!(
        "the edit changes {field}, the key field of {topic}, from {} to {}, and the record would keep its key {}; leave {field} as it is, or discard the dead letter and publish the right event with `longshore produce`",
        told(old.as_deref()),
        told(new.as_deref()),
        key.map_or("(none)".into(), printable_bytes)
    ))
}

/// The text of a field; `None` if it has none, or the value is no JSON.
fn text_of(value: &[u8], field: &str) -> Option<String> {
    let value: Value = serde_json::from_slice(value).ok()?;
    key_of(&value, field).ok().map(std::borrow::Cow::into_owned)
}
