//! Problem documents (RFC 9457): what was wrong, in a form that programs can tell apart.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::{error, warn};

use crate::command::{
    CancelOrderError, CreateOrderError, CreateUserError, DeleteUserError, UpdateUserError,
};
use crate::{AnalyticsError, Fault};

/// The media type.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Tells kinds of problems apart, whatever the words.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The kind in words.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// What is wrong with which part of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Violation>,
}

/// A part of a request that is wrong. One of `pointer`, `parameter` and `header` says which.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Violation {
    /// What is wrong with it.
    pub detail: String,
    /// A JSON pointer (RFC 6901) into the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// A parameter of the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// A header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
}

/// The kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Kind {
    /// Nothing is there.
    #[serde(rename = "urn:longshore:problem:not-found")]
    NotFound,
    /// What is there does not do that.
    #[serde(rename = "urn:longshore:problem:method-not-allowed")]
    MethodNotAllowed,
    /// The body is no JSON.
    #[serde(rename = "urn:longshore:problem:malformed")]
    Malformed,
    /// The body is not said to be JSON.
    #[serde(rename = "urn:longshore:problem:unsupported-media-type")]
    UnsupportedMediaType,
    /// The body is too large.
    #[serde(rename = "urn:longshore:problem:too-large")]
    TooLarge,
    /// Something in the request is not as it must be.
    #[serde(rename = "urn:longshore:problem:invalid")]
    Invalid,
    /// The idempotency key stands for another request.
    #[serde(rename = "urn:longshore:problem:key-reused")]
    KeyReused,
    /// Another user has the email address.
    #[serde(rename = "urn:longshore:problem:email-taken")]
    EmailTaken,
    /// The order can no longer be cancelled.
    #[serde(rename = "urn:longshore:problem:too-late")]
    TooLate,
    /// It took too long.
    #[serde(rename = "urn:longshore:problem:timeout")]
    Timeout,
    /// Too much is going on.
    #[serde(rename = "urn:longshore:problem:overloaded")]
    Overloaded,
    /// What is needed is not there.
    #[serde(rename = "urn:longshore:problem:unavailable")]
    Unavailable,
    /// A fault of ours.
    #[serde(rename = "urn:longshore:problem:internal")]
    Internal,
}

impl Kind {
    /// The status of answers of this kind.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Invalid | Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::EmailTaken | Self::TooLate => StatusCode::CONFLICT,
            Self::Timeout | Self::Overloaded | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The kind in words.
    pub fn title(self) -> &'static str {
        match self {
            Self::NotFound => "There is nothing here",
            Self::MethodNotAllowed => "This cannot be done here",
            Self::Malformed => "The body is not JSON",
            Self::UnsupportedMediaType => "The body must be application/json",
            Self::TooLarge => "The body is too large",
            Self::Invalid => "The request is not valid",
            Self::KeyReused => "The idempotency key was used for another request",
            Self::EmailTaken => "Another user has this email address",
            Self::TooLate => "The order can no longer be cancelled",
            Self::Timeout => "It took too long",
            Self::Overloaded => "Too many requests at once",
            Self::Unavailable => "Not available at the moment",
            Self::Internal => "Something is wrong on our side",
        }
    }
}

impl Problem {
    /// A problem of a kind.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            title: kind.title().to_owned(),
            status: kind.status().as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
        }
    }

    /// Parts of the request are wrong.
    pub fn invalid(errors: Vec<Violation>) -> Self {
        let detail = match errors.as_slice() {
            [only] => only.detail.clone(),
            several => format!("{} parts of the request are not valid", several.len()),
        };
        Self {
            errors,
            ..Self::new(Kind::Invalid, detail)
        }
    }

    /// There is no such thing.
    pub(crate) fn not_found(what: &str, id: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is no {what} {id}"))
    }
}

impl Violation {
    /// A place in the body.
    pub fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: Some(pointer.into()),
            detail: detail.into(),
            ..Self::default()
        }
    }

    /// A parameter of the query.
    pub fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self {
            parameter: Some(name.to_owned()),
            detail: detail.into(),
            ..Self::default()
        }
    }

    /// A header.
    pub fn header(name: &str, detail: impl Into<String>) -> Self {
        Self {
            header: Some(name.to_owned()),
            detail: detail.into(),
            ..Self::default()
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<Fault> for Problem {
    /// What went wrong inside is for the log, not for whoever asked.
    fn from(fault: Fault) -> Self {
        error!(
            error = &fault as &dyn std::error::Error,
            "a request could not be processed"
        );
        match fault {
            Fault::Unavailable(_) => Self::new(
                Kind::Unavailable,
                "the store does not answer; whether a change took effect is not known until it is sent again",
            ),
            Fault::Defect(_) => Self::new(Kind::Internal, fault.to_string()),
        }
    }
}

impl From<AnalyticsError> for Problem {
    fn from(error: AnalyticsError) -> Self {
        warn!(
            error = &error as &dyn std::error::Error,
            "analytics cannot be told"
        );
        Self::new(Kind::Unavailable, error.to_string())
    }
}

impl From<CreateUserError> for Problem {
    fn from(error: CreateUserError) -> Self {
        match error {
            CreateUserError::EmailTaken => Self::new(Kind::EmailTaken, error.to_string()),
            CreateUserError::Fault(fault) => fault.into(),
        }
    }
}

impl From<UpdateUserError> for Problem {
    fn from(error: UpdateUserError) -> Self {
        match error {
            UpdateUserError::NotFound(_) => Self::new(Kind::NotFound, error.to_string()),
            UpdateUserError::EmailTaken => Self::new(Kind::EmailTaken, error.to_string()),
            UpdateUserError::Fault(fault) => fault.into(),
        }
    }
}

impl From<DeleteUserError> for Problem {
    fn from(error: DeleteUserError) -> Self {
        match error {
            DeleteUserError::NotFound(_) => Self::new(Kind::NotFound, error.to_string()),
            DeleteUserError::Fault(fault) => fault.into(),
        }
    }
}

impl From<CreateOrderError> for Problem {
    fn from(error: CreateOrderError) -> Self {
        match error {
            CreateOrderError::NoTotal(reason) => {
                Self::invalid(vec![Violation::at("/items", reason.to_string())])
            }
            CreateOrderError::KeyReused => Self::new(Kind::KeyReused, error.to_string()),
            CreateOrderError::Fault(fault) => fault.into(),
        }
    }
}

impl From<CancelOrderError> for Problem {
    fn from(error: CancelOrderError) -> Self {
        match error {
            CancelOrderError::NotFound(_) => Self::new(Kind::NotFound, error.to_string()),
            CancelOrderError::TooLate(_) => Self::new(Kind::TooLate, error.to_string()),
            CancelOrderError::Fault(fault) => fault.into(),
        }
    }
}
