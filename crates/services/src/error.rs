//! How a call may fail, sorted by what the caller does next.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use longshore_worker::{Failure, Outage};
use serde::Deserialize;

use crate::Service;

/// Characters of an answer that an error tells.
const EXCERPT: usize = 300;

/// A call without a useful answer. What was asked for may have been done all the same.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Ask again later.
    #[error("calling {service} at {url} failed")]
    Unavailable {
        /// Which service.
        service: Service,
        /// What was called.
        url: String,
        /// What it answered, if it did.
        status: Option<u16>,
        /// Why.
        source: Unavailability,
    },
    /// The request is wrong, and will be wrong next time.
    #[error("{service} rejects the request to {url}")]
    Rejected {
        /// Which service.
        service: Service,
        /// What was called.
        url: String,
        /// What it answered.
        status: u16,
        /// What it says.
        source: Problem,
    },
    /// It answered, with what cannot be made sense of.
    #[error("{service} answers {url} with nonsense")]
    Nonsense {
        /// Which service.
        service: Service,
        /// What was called.
        url: String,
        /// What it answered.
        status: u16,
        /// What is wrong with it.
        source: Nonsense,
    },
    /// The request cannot be written down, and was not sent.
    #[error("the request to {service} is no JSON")]
    Unsendable {
        /// Which service.
        service: Service,
        /// Why.
        source: serde_json::Error,
    },
}

/// Why a service is not available.
#[derive(Debug, thiserror::Error)]
pub enum Unavailability {
    /// It has failed so often that it is not asked.
    #[error("its circuit breaker is open")]
    NotAsked(#[source] Outage),
    /// No connection, or a broken one.
    #[error("the connection failed")]
    Connection(#[source] reqwest::Error),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// It says so itself: 5xx, 429 and the like.
    #[error("it refuses for now")]
    Refused(#[source] Problem),
}

/// What is wrong with an answer.
#[derive(Debug, thiserror::Error)]
pub enum Nonsense {
    /// It is longer than an answer may be.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// It is not the JSON that was expected.
    #[error("it is not what was expected")]
    Undecodable(#[source] serde_json::Error),
    /// It sends the caller elsewhere, or says nothing that a caller can act on.
    #[error("{0}")]
    Unexpected(Problem),
}

/// What a service says of a failure: the title and detail of a problem document (RFC 9457), or the start of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The status code.
    pub status: u16,
    /// What it says.
    pub text: String,
}

impl CallError {
    /// What the runtime should do with the message that the call was made for. The same as `?`, but for a request that
    /// is rejected, which is a dead letter.
    ///
    /// While its breaker is open, a service has not been asked, so nothing is known of the message: it is an outage,
    /// which waits in its lane and counts no attempt. Tries that did fail count, so that a message that makes its service
    /// fail ends as a dead letter, and does not probe for ever.
    pub fn failure(self) -> Failure {
        match self {
            Self::Rejected { .. } | Self::Unsendable { .. } => Failure::permanent(self),
            Self::Unavailable { .. } | Self::Nonsense { .. } => self.into(),
        }
    }

    /// Whether the service was not asked, because its breaker is open.
    pub fn is_not_asked(&self) -> bool {
        let Self::Unavailable { source, .. } = self else {
            return false;
        };
        matches!(source, Unavailability::NotAsked(_))
    }

    /// Whether the same request may have another answer in a moment.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether it speaks against the service, and not against the request.
    pub(crate) fn is_its_fault(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Nonsense { .. })
    }
}

impl Problem {
    pub(crate) fn read(status: u16, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Document {
            title: Option<String>,
            detail: Option<String>,
        }
        let document = serde_json::from_slice(body).ok();
        let text = match document {
            Some(Document {
                title: Some(title),
                detail: Some(detail),
            }) => format!("{title}: {detail}"),
            Some(Document {
                title: Some(text),
                detail: None,
            }) => text,
            Some(Document {
                detail: Some(text), ..
            }) => text,
            _ => String::from_utf8_lossy(body).trim().to_owned(),
        };
        let text = text.chars().filter(|c| !c.is_control());
        Self {
            status,
            text: text.take(EXCERPT).collect(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text.as_str() {
            "" => write!(f, "status {}", self.status),
            text => write!(f, "status {}: {text}", self.status),
        }
    }
}

impl Error for Problem {}
