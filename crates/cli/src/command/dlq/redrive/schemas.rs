//! The JSON Schemas that edited values must keep to, by topic.

use std::collections::HashMap;
use std::path::Path;

use longshore_topics::{Schema, TopicSpec};
use serde_json::Value;

use super::edit::Edits;
use crate::output::note;

/// Those of the topics directory that describe a topic with a schema.
#[derive(Debug, Default)]
pub(super) struct Schemas(HashMap<String, Schema>);

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
                "There is no directory {dir} (--topics-dir): edited values are not checked."
            ));
            return Ok(Self::default());
        }
        let mut schemas = HashMap::new();
        for spec in TopicSpec::load_dir(dir)? {
            if let Some(path) = spec.schema {
                schemas.insert(spec.name, Schema::load(path)?);
            }
        }
        Ok(Self(schemas))
    }

    /// Accepts an edited value of `topic`, or says what is wrong with it.
    pub(super) fn check(&self, topic: &str, value: &[u8]) -> Result<(), String> {
        let Some(schema) = self.0.get(topic) else {
            return Ok(());
        };
        let value: Value = serde_json::from_slice(value)
            .map_err(|error| format!("the edited value is no JSON: {error}"))?;
        schema.validate(&value).map_err(|violations| {
            let all: Vec<_> = violations.iter().map(ToString::to_string).collect();
            format!(
                "the edited value is not what {topic} takes: {}",
                all.join("; ")
            )
        })
    }
}
