//! What a handler's error asks the runtime to do next.

use std::any::type_name;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use longshore_event::ErrorKind;

use crate::StoreError;

/// An error with a decision: try again, or give up on this message.
///
/// Every [`std::error::Error`] turns into a transient failure with `?`. It is no `Error` itself, since that would
/// take the `?` away.
pub struct Failure {
    kind: ErrorKind,
    is_outage: bool,
    error_type: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// Trying again may help: a time-out, a lock, a service that is down.
    pub fn transient<E: Into<Box<dyn Error + Send + Sync>>>(error: E) -> Self {
        Self::new(ErrorKind::Transient, error)
    }

    /// Trying again cannot help: the message goes to the dead-letter topic at once.
    pub fn permanent<E: Into<Box<dyn Error + Send + Sync>>>(error: E) -> Self {
        Self::new(ErrorKind::Permanent, error)
    }

    /// Says nothing about the message: what its own store or services need is out of reach. The message waits in its
    /// lane and is tried again for ever; such a run does not count as an attempt.
    ///
    /// An error raised with `?` is one by itself if it is a [`StoreError::Unavailable`] or an [`Outage`], or caused by one.
    pub fn outage<E: Into<Box<dyn Error + Send + Sync>>>(error: E) -> Self {
        Self {
            is_outage: true,
            ..Self::transient(error)
        }
    }

    /// Whether it is an outage, which is waited for.
    pub fn is_outage(&self) -> bool {
        self.is_outage
    }

    /// What it asks for.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The error's type, without its path.
    pub fn error_type(&self) -> &'static str {
        self.error_type
    }

    /// The error and its causes, from the outermost, joined by `: `.
    pub fn message(&self) -> String {
        chain(self.source.as_ref())
    }

    pub(crate) fn undecodable(error: &longshore_event::DecodeError) -> Self {
        Self {
            kind: ErrorKind::Undecodable,
            is_outage: false,
            error_type: error.name(),
            source: chain(error).into(),
        }
    }

    fn new<E: Into<Box<dyn Error + Send + Sync>>>(kind: ErrorKind, error: E) -> Self {
        Self {
            kind,
            is_outage: false,
            error_type: short_name(type_name::<E>()),
            source: error.into(),
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        if says_out_of_reach(&error) {
            return Self::outage(error);
        }
        Self::transient(error)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failure: {}", self.kind.as_str(), self.message())
    }
}

/// Decides at the `?`: `.permanent()?`.
pub trait FailureExt<T> {
    /// Makes the error a permanent failure.
    ///
    /// # Errors
    /// As the result it is called on.
    fn permanent(self) -> Result<T, Failure>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> FailureExt<T> for Result<T, E> {
    fn permanent(self) -> Result<T, Failure> {
        self.map_err(Failure::permanent)
    }
}

/// An error and its causes, from the outermost, joined by `: `. Some errors, such as those of sqlx, tell their cause
/// themselves; it is not told again.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.ends_with(&text) {
            message = format!("{message}: {text}");
        }
        cause = error.source();
    }
    message
}

/// A cause that makes an error an outage at the `?`: what is needed is out of reach, and was not even asked about this
/// message.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Outage(String);

impl Outage {
    /// An outage, with its reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// Whether the error, or what caused it, is an outage or an unavailable store. Errors that are shared come in an [`Arc`].
fn says_out_of_reach(error: &(dyn Error + 'static)) -> bool {
    if error.is::<Outage>() {
        return true;
    }
    let shared = error
        .downcast_ref::<Arc<StoreError>>()
        .map(|store| &**store);
    let store = error.downcast_ref::<StoreError>().or(shared);
    match store {
        Some(StoreError::Unavailable(_)) => true,
        Some(_) => false,
        None => error.source().is_some_and(says_out_of_reach),
    }
}

/// `a::b::C<d::E>` as `C`, and what is in a box by its own name; a plain string, or an error of any type, as `Error`.
fn short_name(name: &'static str) -> &'static str {
    if name.starts_with("dyn ") {
        return "Error";
    }
    let (path, inner) = name.split_once('<').unwrap_or((name, ""));
    match path.rsplit("::").next().unwrap_or(path) {
        "&str" | "String" | "Cow" => "Error",
        "Box" | "Arc" => short_name(inner),
        last => last.trim_end_matches('>'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<u8, Failure> {
        Ok(text.parse::<u8>()?)
    }

    #[test]
    fn a_question_mark_makes_a_transient_failure_that_knows_its_type() {
        let failure = parse("x").expect_err("no number");
        assert_eq!(failure.kind(), ErrorKind::Transient);
        assert_eq!(failure.error_type(), "ParseIntError");
    }

    #[test]
    fn an_unavailable_store_is_an_outage_and_a_rejected_statement_is_not() {
        let unavailable = Failure::from(StoreError::Unavailable("away".into()));
        let rejected = Failure::from(StoreError::Rejected("no such table".into()));
        assert!(unavailable.is_outage());
        assert!(!rejected.is_outage());
    }

    #[test]
    fn what_an_outage_causes_is_an_outage() {
        #[derive(Debug, thiserror::Error)]
        #[error("not asked")]
        struct NotAsked(#[source] Outage);

        let failure = Failure::from(NotAsked(Outage::new("it is down")));
        assert!(failure.is_outage());
        assert_eq!(failure.message(), "not asked: it is down");
    }

    #[test]
    fn a_permanent_failure_says_so() {
        let failure = "x".parse::<u8>().permanent().expect_err("no number");
        assert_eq!(failure.kind(), ErrorKind::Permanent);
        assert_eq!(Failure::permanent("no").error_type(), "Error");
    }

    #[test]
    fn a_box_is_not_the_type_of_the_error_in_it() {
        let any: Box<dyn Error + Send + Sync> = fmt::Error.into();
        assert_eq!(Failure::transient(any).error_type(), "Error");
        let known: Box<std::num::ParseIntError> =
            Box::new("x".parse::<u8>().expect_err("no number"));
        assert_eq!(Failure::transient(known).error_type(), "ParseIntError");
        let unavailable = Arc::new(StoreError::Unavailable("away".into()));
        assert_eq!(Failure::from(unavailable).error_type(), "StoreError");
    }

    #[test]
    fn a_cause_that_the_error_tells_itself_is_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("connecting: {0}")]
        struct Connecting(#[source] Outage);

        let failure = Failure::transient(Connecting(Outage::new("it is down")));
        assert_eq!(failure.message(), "connecting: it is down");
    }
}
