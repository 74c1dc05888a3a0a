//! One request and its whole answer, and what the answer means before its content is looked at.

use bytes::{Bytes, BytesMut};
use reqwest::{Request, StatusCode};
use serde::de::DeserializeOwned;

use crate::{CallError, Nonsense, Problem, Service, Unavailability};

/// An answer.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// No whole answer.
#[derive(Debug)]
pub(crate) enum Broken {
    Connection(reqwest::Error),
    TooLong { status: u16, limit: usize },
}

impl Exchange {
    pub(crate) async fn run(
        http: &reqwest::Client,
        request: Request,
        limit: usize,
    ) -> Result<Self, Broken> {
        let broken = |error: reqwest::Error| Broken::Connection(error.without_url());
        let mut response = http.execute(request).await.map_err(broken)?;
        let status = response.status().as_u16();
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > limit {
                return Err(Broken::TooLong { status, limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Self {
            status,
            body: body.freeze(),
        })
    }

    /// The answer if it is one. 409 is among those that may pass: it says that a call with the same key is still being
    /// worked on, which is what a try finds that comes after one that took too long.
    pub(crate) fn judged(
        self,
        service: Service,
        url: impl FnOnce() -> String,
    ) -> Result<Self, CallError> {
        const PASSING: [StatusCode; 4] = [
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::CONFLICT,
            StatusCode::TOO_EARLY,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        let status = self.status;
        let problem = || Problem::read(status, &self.body);
        match StatusCode::from_u16(status) {
            Ok(code) if code.is_success() => Ok(self),
            Ok(code) if code.is_server_error() || PASSING.contains(&code) => {
                Err(CallError::Unavailable {
                    service,
                    url: url(),
                    status: Some(status),
                    source: Unavailability::Refused(problem()),
                })
            }
            Ok(code) if code.is_client_error() => Err(CallError::Rejected {
                service,
                url: url(),
                status,
                source: problem(),
            }),
            _ => Err(CallError::Nonsense {
                service,
                url: url(),
                status,
                source: Nonsense::Unexpected(problem()),
            }),
        }
    }
}

impl Broken {
    pub(crate) fn into_error(self, service: Service, url: String) -> CallError {
        match self {
            Self::Connection(error) => CallError::Unavailable {
                service,
                url,
                status: error.status().map(|status| status.as_u16()),
                source: Unavailability::Connection(error),
            },
            Self::TooLong { status, limit } => CallError::Nonsense {
                service,
                url,
                status,
                source: Nonsense::TooLong(limit),
            },
        }
    }
}

/// The content of an answer. An empty body is JSON's null.
pub(crate) fn decode<A: DeserializeOwned>(body: &[u8]) -> Result<A, Nonsense> {
    let body = if body.is_empty() { b"null" } else { body };
    serde_json::from_slice(body).map_err(Nonsense::Undecodable)
}
