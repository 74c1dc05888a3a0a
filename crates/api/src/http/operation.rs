//! What is documented of an endpoint.

use axum::http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::problem::Kind;

/// Makes the schema of a type, among the components of the document.
type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// An operation of OpenAPI, before its schemas are made.
pub(super) struct Operation {
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) parameters: Vec<Value>,
    pub(super) body: Option<SchemaOf>,
    pub(super) answers: Vec<Answer>,
    pub(super) problems: Vec<Kind>,
}

/// An answer that is no problem.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) description: &'static str,
    pub(super) content: Option<(&'static str, SchemaOf)>,
    /// Operations that take a parameter from its body, with the name of both.
    pub(super) links: &'static [(&'static str, &'static str)],
}

impl Operation {
    pub(super) fn new(tag: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self {
            id,
            tag,
            summary,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// The JSON it takes; what can be wrong with one goes with it.
    pub(super) fn takes<T: JsonSchema>(mut self) -> Self {
        self.body = Some(|generator| generator.subschema_for::<T>());
        self.fails(&[
            Kind::Malformed,
            Kind::UnsupportedMediaType,
            Kind::TooLarge,
            Kind::Invalid,
        ])
    }

    /// The JSON it answers.
    pub(super) fn answers<T: JsonSchema>(
        mut self,
        status: StatusCode,
        description: &'static str,
    ) -> Self {
        let schema: SchemaOf = |generator| generator.subschema_for::<T>();
        self.answers.push(Answer {
            status,
            description,
            content: Some(("application/json", schema)),
            links: &[],
        });
        self
    }

    /// It answers text.
    pub(super) fn answers_text(
        mut self,
        status: StatusCode,
        media_type: &'static str,
        description: &'static str,
    ) -> Self {
        self.answers.push(Answer {
            status,
            description,
            content: Some((media_type, |_| json_schema!({"type": "string"}))),
            links: &[],
        });
        self
    }

    /// It answers nothing but that.
    pub(super) fn answers_nothing(mut self, status: StatusCode, description: &'static str) -> Self {
        self.answers.push(Answer {
            status,
            description,
            content: None,
            links: &[],
        });
        self
    }

    /// What can be done next with what the last answer holds: operations, each with the parameter that it takes from there.
    pub(super) fn leads_to(mut self, links: &'static [(&'static str, &'static str)]) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.links = links;
        }
        self
    }

    /// Problems it may have.
    pub(super) fn fails(mut self, kinds: &[Kind]) -> Self {
        for kind in kinds {
            if !self.problems.contains(kind) {
                self.problems.push(*kind);
            }
        }
        self
    }

    /// A parameter of the query.
    pub(super) fn query(self, name: &str, description: &str, schema: Value) -> Self {
        self.parameter(name, "query", false, description, schema)
            .fails(&[Kind::Invalid, Kind::Malformed])
    }

    /// A header.
    pub(super) fn header(self, name: &str, description: &str, schema: Value) -> Self {
        self.parameter(name, "header", false, description, schema)
            .fails(&[Kind::Invalid])
    }

    /// The id in the path.
    pub(super) fn id(self, name: &str) -> Self {
        let schema =
            json!({"type": "string", "minLength": 1, "maxLength": super::parameters::MAX_ID});
        self.parameter(name, "path", true, "Which one", schema)
            .fails(&[Kind::NotFound])
    }

    fn parameter(
        mut self,
        name: &str,
        place: &str,
        required: bool,
        description: &str,
        schema: Value,
    ) -> Self {
        self.parameters.push(json!({
            "name": name, "in": place, "required": required, "description": description, "schema": schema,
        }));
        self
    }
}
