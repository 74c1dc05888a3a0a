//! Where a request belongs: its correlation id and its trace, taken from the request or made, and told in the answer.

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use longshore_event::{TraceParent, attribute};
use longshore_worker::Origin;
use tracing::{Instrument, debug_span};
use uuid::Uuid;

use super::problem::{Kind, Problem};

/// The header of the correlation id.
pub(super) const CORRELATION_ID: &str = "X-Correlation-ID";
/// Characters of a correlation id; a longer one is replaced.
pub(super) const MAX_CORRELATION_ID: usize = 128;

/// The origin of a request, as an extractor.
#[derive(Clone, Debug)]
pub(super) struct RequestOrigin(pub(super) Origin);

impl<S: Send + Sync> FromRequestParts<S> for RequestOrigin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let origin = parts.extensions.get::<Self>().cloned();
        origin.ok_or_else(|| Problem::new(Kind::Internal, "the request has no origin"))
    }
}

/// Finds the origin of a request, or gives it one.
pub(super) async fn find(mut request: Request, next: Next) -> Response {
    let correlation_id = correlation_id(request.headers());
    let trace = trace(request.headers());
    let span = debug_span!("request", method = %request.method(), path = request.uri().path(), correlation_id);
    request.extensions_mut().insert(RequestOrigin(Origin {
        correlation_id: correlation_id.clone(),
        trace,
    }));
    let mut response = next.run(request).instrument(span).await;
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&correlation_id) {
        headers.insert("x-correlation-id", value);
    }
    if let Some(Ok(value)) = trace.map(|trace| HeaderValue::from_str(&trace.to_string())) {
        headers.insert(attribute::TRACE_PARENT, value);
    }
    response
}

/// A header's value, if it is 1 to `most` visible ASCII characters. Readers of events take no others.
pub(super) fn visible(value: &HeaderValue, most: usize) -> Option<&str> {
    let text = value.to_str().ok()?;
    let fits = (1..=most).contains(&text.len());
    (fits && text.bytes().all(|byte| byte.is_ascii_graphic())).then_some(text)
}

fn correlation_id(headers: &HeaderMap) -> String {
    let given = headers.get(CORRELATION_ID);
    let given = given.and_then(|value| visible(value, MAX_CORRELATION_ID));
    given.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// A malformed header asks for a new trace (W3C Trace Context, section 3.3).
fn trace(headers: &HeaderMap) -> Option<TraceParent> {
    let given = headers.get(attribute::TRACE_PARENT);
    let given = given.and_then(|value| value.to_str().ok());
    given.and_then(TraceParent::parse).or_else(|| {
        let (trace, span) = (Uuid::new_v4().as_u128(), Uuid::new_v4().as_u64_pair().1);
        TraceParent::parse(&format!("00-{trace:032x}-{span:016x}-01"))
    })
}
