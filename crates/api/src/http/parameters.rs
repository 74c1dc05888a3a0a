//! The other parts of a request: ids in the path, parameters of the query, the idempotency key.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;

use super::body::is_plain;
use super::origin::visible;
use super::problem::{Kind, Problem, Violation};
use crate::query::Slice;

/// Characters of an id.
pub(super) const MAX_ID: usize = 200;
/// Characters of an idempotency key.
pub(super) const MAX_KEY: usize = 255;
/// The header of the idempotency key.
pub(super) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// The id in the path. What can be nobody's id is not found.
#[derive(Debug)]
pub(super) struct Id(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let nothing = || Problem::new(Kind::NotFound, "nothing has such an id");
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| nothing())?;
        if id.chars().count() > MAX_ID || !is_plain(&id) {
            return Err(nothing());
        }
        Ok(Self(id))
    }
}

/// The key that makes a repeated request the same request, if there is one.
#[derive(Debug)]
pub(super) struct IdempotencyKey(pub(super) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else {
            return Ok(Self(None));
        };
        let key = visible(value, MAX_KEY).filter(|_| values.next().is_none());
        let Some(key) = key else {
            let detail = format!("must be one key of 1 to {MAX_KEY} visible ASCII characters");
            return Err(Problem::invalid(vec![Violation::header(
                IDEMPOTENCY_KEY,
                detail,
            )]));
        };
        Ok(Self(Some(key.to_owned())))
    }
}

/// The parameters of the query, read one by one; what is wrong with them is told together. Others are passed over.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    given: Vec<(String, String)>,
    violations: Vec<Violation>,
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::from_request_parts(parts, state).await;
        let Query(given) =
            query.map_err(|error| Problem::new(Kind::Malformed, error.body_text()))?;
        Ok(Self {
            given,
            violations: Vec::new(),
        })
    }
}

impl Parameters {
    /// A parameter, if it is given; `read` says what is wrong with it.
    pub(super) fn read<T>(
        &mut self,
        name: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let mut values = self.given.iter().filter(|(given, _)| given == name);
        let (_, value) = values.next()?;
        let read = match values.next() {
            None => read(value),
            Some(_) => Err("must be given once".to_owned()),
        };
        match read {
            Ok(value) => Some(value),
            Err(detail) => {
                self.violations.push(Violation::parameter(name, detail));
                None
            }
        }
    }

    /// `page` and `limit`.
    pub(super) fn slice(&mut self) -> Slice {
        Slice {
            page: self
                .read("page", |text| between(text, Slice::MAX_PAGE))
                .unwrap_or(1),
            limit: self
                .read("limit", |text| between(text, Slice::MAX_LIMIT))
                .unwrap_or(Slice::DEFAULT_LIMIT),
        }
    }

    /// The end of reading.
    ///
    /// # Errors
    /// All that was wrong.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.violations {
            none if none.is_empty() => Ok(()),
            violations => Err(Problem::invalid(violations)),
        }
    }
}

fn between(text: &str, most: i64) -> Result<i64, String> {
    match i64::from_str(text) {
        Ok(number) if (1..=most).contains(&number) => Ok(number),
        _ => Err(format!("must be a number from 1 to {most}")),
    }
}
