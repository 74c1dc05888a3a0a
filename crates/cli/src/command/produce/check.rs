//! What a line must be: JSON, as the topic's schema has it, with a key. All lines are checked before one is sent.

use anyhow::Context;
use bytes::Bytes;
use longshore_topics::{Schema, TopicSpec, key_of};
use serde_json::Value;
use uuid::Uuid;

use super::input::{Input, Line};
use super::{ProduceArguments, note_unchecked};
use crate::output::note;

/// What is asked of the lines for one topic.
#[derive(Debug)]
pub(super) struct Rules {
    topic: String,
    schema: Option<Schema>,
    key_field: Option<String>,
    id_field: Option<String>,
}

/// What a good line says of its record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identified {
    pub(super) key: Option<Bytes>,
    /// From the field that the id is derived from, if one is.
    pub(super) id: Option<Uuid>,
}

/// How many lines passed and how many did not.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) good: u64,
    pub(super) bad: u64,
}

impl Rules {
    /// Those of the topic's file, with what the command line says instead.
    pub(super) fn of(arguments: &ProduceArguments) -> anyhow::Result<Self> {
        let dir = arguments.directory.path();
        let specs = if dir.is_dir() {
            TopicSpec::load_dir(dir)?
        } else {
            Vec::new()
        };
        let spec = specs.into_iter().find(|spec| spec.name == arguments.topic);
        let (schema, key) = spec.map_or((None, None), |spec| (spec.schema, spec.key));
        let key_field = arguments.key_field.clone().or(key);
        if schema.is_none() {
            note_unchecked(&arguments.topic, dir, key_field.is_some());
        }
        Ok(Self {
            topic: arguments.topic.clone(),
            schema: schema.map(Schema::load).transpose()?,
            key_field,
            id_field: arguments.id_field.clone(),
        })
    }

    /// Accepts a line, or says all that is wrong with it.
    pub(super) fn check(&self, line: &[u8]) -> Result<Identified, Vec<String>> {
        let value: Value = match serde_json::from_slice(line) {
            Ok(value) => value,
            Err(error) => return Err(vec![format!("no JSON: {error}")]),
        };
        let mut faults = Vec::new();
        if let Some(Err(violations)) = self.schema.as_ref().map(|schema| schema.validate(&value)) {
            faults.extend(violations.iter().map(ToString::to_string));
        }
        let mut text_of = |field: &Option<String>| {
            let found = key_of(&value, field.as_deref()?);
            found.map_err(|error| faults.push(error.to_string())).ok()
        };
        let key = text_of(&self.key_field).map(|key| Bytes::copy_from_slice(key.as_bytes()));
        let id = text_of(&self.id_field).map(|text| self.derived_id(&text));
        if faults.is_empty() {
            Ok(Identified { key, id })
        } else {
            Err(faults)
        }
    }

    /// The topic is part of it: an order's number is the same in order.created and order.paid, the event is not.
    fn derived_id(&self, text: &str) -> Uuid {
        let name = format!("longshore-cli/{}/{text}", self.topic);
        Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())
    }
}

/// Checks every line; tells every bad one.
pub(super) fn all(input: &Input, rules: &Rules) -> anyhow::Result<Checked> {
    let mut checked = Checked::default();
    input
        .for_each(|Line { number, bytes }| {
            match rules.check(bytes) {
                Ok(_) => checked.good += 1,
                Err(faults) => {
                    checked.bad += 1;
                    for fault in faults {
                        note(format_args!("{}:{number}: {fault}", input.name()));
                    }
                }
            }
            Ok(())
        })
        .context("the lines cannot be checked")?;
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules() -> Rules {
        let schema = json!({
            "type": "object", "required": ["orderId"], "properties": {"n": {"type": "integer"}}
        });
        Rules {
            topic: "order.created".into(),
            schema: Some(Schema::compile(&schema).expect("a schema")),
            key_field: Some("orderId".into()),
            id_field: Some("orderId".into()),
        }
    }

    #[test]
    fn a_good_line_gives_its_key_and_always_the_same_id() {
        let first = rules().check(br#"{"orderId":"o-1","n":1}"#).expect("good");
        let again = rules().check(br#"{"n":2,"orderId":"o-1"}"#).expect("good");
        let other = rules().check(br#"{"orderId":"o-2"}"#).expect("good");

        assert_eq!(first.key.as_deref(), Some(&b"o-1"[..]));
        assert_eq!(first, again);
        assert_ne!(first.id, other.id);
    }

    #[test]
    fn a_derived_id_differs_between_topics() {
        let mut other = rules();
        other.topic = "order.paid".into();
        assert_ne!(rules().derived_id("o-1"), other.derived_id("o-1"));
    }

    #[test]
    fn everything_that_is_wrong_with_a_line_is_told() {
        let faults = rules().check(br#"{"n":"x"}"#).expect_err("bad");
        let all = faults.join("; ");
        assert!(
            all.contains("/n: ") && all.contains("orderId is missing"),
            "{all}"
        );
        let faults = rules().check(b"{").expect_err("bad");
        assert!(faults[0].starts_with("no JSON"), "{faults:?}");
    }
}
