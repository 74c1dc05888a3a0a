//! Answers that are no success, as problem documents, and what a request must bring.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use longshore_orders::ServiceError;
use longshore_services::{IDEMPOTENCY_KEY, read_key};
use serde::de::DeserializeOwned;
use serde_json::json;

/// A problem document (RFC 9457).
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            status,
            title,
            detail,
        }
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let (status, title, source) = match error {
            ServiceError::Unavailable { source, .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "Not available", source)
            }
            ServiceError::Rejected { source, .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, "Rejected", source)
            }
        };
        Self::new(status, title, source.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": "about:blank",
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let kind = HeaderValue::from_static("application/problem+json");
        (
            self.status,
            [(header::CONTENT_TYPE, kind)],
            body.to_string(),
        )
            .into_response()
    }
}

/// The `Idempotency-Key` that every write must have.
pub(crate) fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let key = headers.get(IDEMPOTENCY_KEY);
    let key = key.and_then(|value| read_key(value.as_bytes()));
    key.ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "No idempotency key",
            "a write needs the header Idempotency-Key; the same key means the same effect, once",
        )
    })
}

/// The body of a request.
pub(crate) fn body<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "Not the expected body",
            error.to_string(),
        )
    })
}
