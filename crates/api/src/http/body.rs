//! The body of a request: JSON of a bounded size, checked field by field.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::Segment;

use super::problem::{Kind, Problem, Violation};

/// Bytes of a body.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// Violations that are told; a body has room for thousands.
const MAX_VIOLATIONS: usize = 50;

/// What can be said of a body beyond its shape.
pub(super) trait Validate {
    /// Adds what is wrong with it.
    fn validate(&self, check: &mut Check);
}

/// A body that is valid.
#[derive(Debug)]
pub(super) struct Valid<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Validate> FromRequest<S> for Valid<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(&request) {
            let detail = "say `Content-Type: application/json`, and send JSON";
            return Err(Problem::new(Kind::UnsupportedMediaType, detail));
        }
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(|rejection| match rejection.status() {
            status if status == Kind::TooLarge.status() => Problem::new(
                Kind::TooLarge,
                format!("at most {MAX_BYTES} bytes are taken"),
            ),
            _ => Problem::new(Kind::Malformed, rejection.body_text()),
        })?;
        let body: T = parse(&bytes)?;
        let mut check = Check::default();
        body.validate(&mut check);
        match check.violations {
            none if none.is_empty() => Ok(Self(body)),
            violations => Err(Problem::invalid(violations)),
        }
    }
}

fn is_json(request: &Request) -> bool {
    let value = request.headers().get(header::CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok());
    let essence = text.and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(error.path());
        let reason = error.into_inner();
        match reason.classify() {
            Category::Data => Problem::invalid(vec![misfit(pointer, &reason)]),
            Category::Syntax | Category::Eof | Category::Io => {
                Problem::new(Kind::Malformed, reason.to_string())
            }
        }
    })?;
    let end = reader.end();
    end.map_err(|error| Problem::new(Kind::Malformed, error.to_string()))?;
    Ok(parsed)
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    path.iter()
        .fold(String::new(), |pointer, segment| match segment {
            Segment::Seq { index } => format!("{pointer}/{index}"),
            Segment::Map { key } => pointer + "/" + &escaped(key),
            Segment::Enum { .. } | Segment::Unknown => pointer,
        })
}

/// RFC 6901, section 3.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// A field that is missing or unknown is named in the reason alone: the path leads to where it should be.
fn misfit(pointer: String, reason: &serde_json::Error) -> Violation {
    let text = reason.to_string();
    // The place in the text is of no use next to a pointer.
    let detail = text.split(" at line ").next().unwrap_or(&text);
    let missing = detail.strip_prefix("missing field `");
    let field = missing.and_then(|rest| rest.split('`').next());
    match field {
        Some(field) => Violation::at(format!("{pointer}/{}", escaped(field)), detail),
        None => Violation::at(pointer, detail),
    }
}

/// Collects what is wrong with a body.
#[derive(Debug, Default)]
pub(super) struct Check {
    violations: Vec<Violation>,
}

impl Check {
    /// Adds a violation unless `holds`.
    pub(super) fn that(&mut self, holds: bool, pointer: &str, detail: &str) {
        if !holds && self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation::at(pointer, detail));
        }
    }

    /// A text of 1 to `most` characters, none of them a control character: databases and mails do not take those.
    pub(super) fn text(&mut self, text: &str, most: usize, pointer: &str) {
        let length = text.chars().count();
        let detail = format!("must have 1 to {most} characters");
        self.that((1..=most).contains(&length), pointer, &detail);
        self.that(is_plain(text), pointer, "must not hold control characters");
    }
}

/// What [`is_plain`] says, as the pattern of a schema.
pub(super) const PLAIN: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";

/// Whether a text has no control characters.
pub(super) fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    /// What it holds is of no interest, only whether it can be read.
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(rename = "in/ner")]
        _inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[serde(rename = "count")]
        _count: u32,
    }

    fn pointer_of(text: &str) -> Option<String> {
        let problem = parse::<Outer>(text.as_bytes()).expect_err(text);
        problem.errors.into_iter().next()?.pointer
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        for (text, expected) in [
            (
                r#"{"in/ner":[{"count":1},{"count":-1}]}"#,
                "/in~1ner/1/count",
            ),
            (r#"{"in/ner":[{}]}"#, "/in~1ner/0/count"),
            (r#"{"in/ner":[{"count":1,"cuont":2}]}"#, "/in~1ner/0/cuont"),
            (r#"{}"#, "/in~1ner"),
            (r#"7"#, ""),
        ] {
            assert_eq!(pointer_of(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for text in ["", "{", "{]", r#"{"in/ner":[]} x"#, "\u{0}"] {
            let problem = parse::<Outer>(text.as_bytes()).expect_err(text);
            assert_eq!(problem.kind, Kind::Malformed, "{text}");
        }
    }
}
