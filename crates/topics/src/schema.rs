//! JSON Schemas of values: what is wrong with a value and where, and which of its fields is the key.

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A JSON Schema, compiled once and used for every value of a topic.
#[derive(Clone, Debug)]
pub struct Schema {
    validator: jsonschema::Validator,
}

/// What is wrong with a value, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// A JSON Pointer (RFC 6901) into the value; empty for the value itself.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

/// Violations of one value that are told; a value that is something else altogether has one for every field.
const MAX_VIOLATIONS: usize = 10;
/// Characters of one message, since it may quote the value.
const MAX_MESSAGE_CHARS: usize = 200;

impl Schema {
    /// Reads and compiles the schema at `path`. A `$ref` to another document is refused, so that checking a value
    /// never waits for a network.
    ///
    /// # Errors
    /// The file cannot be read or is no JSON Schema.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, SchemaError> {
        let path = path.as_ref();
        let text = fs::read(path).map_err(|source| SchemaError::Read {
            path: path.into(),
            source,
        })?;
        let schema = serde_json::from_slice(&text).map_err(|source| SchemaError::Json {
            path: path.into(),
            source,
        })?;
        Self::compile(&schema).map_err(|reason| SchemaError::Invalid {
            path: path.into(),
            reason,
        })
    }

    /// Compiles a schema that is in memory.
    ///
    /// # Errors
    /// A sentence that says why it is no JSON Schema.
    pub fn compile(schema: &Value) -> Result<Self, String> {
        jsonschema::options()
            .should_validate_formats(true)
            .build(schema)
            .map(|validator| Self { validator })
            .map_err(|error| error.to_string())
    }

    /// Accepts the value or says what is wrong with it.
    ///
    /// # Errors
    /// The first few [`Violation`]s.
    pub fn validate(&self, value: &Value) -> Result<(), Vec<Violation>> {
        if self.validator.is_valid(value) {
            return Ok(());
        }
        let violations = self.validator.iter_errors(value).take(MAX_VIOLATIONS);
        Err(violations
            .map(|error| Violation {
                path: error.instance_path().to_string(),
                message: shortened(error.to_string()),
            })
            .collect())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// The text of the field `field` of `value`: a string as it is, a number or a boolean as JSON writes it. A field of a
/// field is named with dots: `order.id`.
///
/// # Errors
/// The field is not there, or has no text.
pub fn key_of<'a>(value: &'a Value, field: &str) -> Result<Cow<'a, str>, KeyError> {
    let found = value.get(field).or_else(|| {
        field
            .split('.')
            .try_fold(value, |value, part| value.get(part))
    });
    let reason = match found {
        Some(Value::String(text)) if text.is_empty() => "is empty",
        Some(Value::String(text)) => return Ok(Cow::Borrowed(text)),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => {
            return Ok(Cow::Owned(value.to_string()));
        }
        Some(Value::Null) => "is null",
        Some(Value::Array(_)) => "is an array",
        Some(Value::Object(_)) => "is an object",
        None => "is missing",
    };
    Err(KeyError {
        field: field.to_owned(),
        reason,
    })
}

/// A value without a usable key.
#[derive(Debug, thiserror::Error)]
#[error("the key field {field} {reason}")]
pub struct KeyError {
    /// The field.
    pub field: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A file that is no schema.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The file cannot be read.
    #[error("cannot read the schema {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is no JSON.
    #[error("the schema {} is no JSON", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the JSON reader says.
        source: serde_json::Error,
    },
    /// The file is JSON, but no JSON Schema.
    #[error("{} is no JSON Schema: {reason}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

fn shortened(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE_CHARS) {
        message.truncate(end);
        message.push('…');
    }
    message
}
