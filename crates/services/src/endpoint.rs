//! The journey of one call: tried, timed, judged, and tried again while that may help.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longshore_worker::Outage;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use crate::breaker::{Breaker, Refused};
use crate::exchange::{Exchange, decode};
use crate::key::{IDEMPOTENCY_KEY, write_key};
use crate::metrics::Metrics;
use crate::{
    BreakerState, CallContext, CallError, CallSettings, Service, ServiceHealth, ServiceReport,
    Unavailability,
};

/// One service. Clones share its breaker.
///
/// # Contract
/// - Reading is repeated, and so is writing, since there is no writing without an idempotency key: the same key means
///   the same effect, once. What fails in a way that may pass is tried [`CallSettings::tries`] times.
/// - A try takes at most [`CallSettings::timeout`]. Dropping a call's future ends it; it may have had its effect.
/// - While the breaker is open nothing is sent, and the call fails at once.
#[derive(Clone, Debug)]
pub struct Endpoint(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    service: Service,
    base: Url,
    settings: CallSettings,
    http: reqwest::Client,
    breaker: Breaker,
    metrics: Metrics,
}

impl Endpoint {
    pub(crate) fn new(
        service: Service,
        base: &Url,
        settings: CallSettings,
        http: reqwest::Client,
        metrics: Metrics,
    ) -> Self {
        metrics.breaker(service, BreakerState::Closed);
        Self(Arc::new(Inner {
            service,
            base: base.clone(),
            settings,
            http,
            breaker: Breaker::new(service, settings.breaker),
            metrics,
        }))
    }

    /// Reads what is at `path`, which is given segment by segment.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn get<A: DeserializeOwned>(&self, path: &[&str]) -> Result<A, CallError> {
        let request = self.request(Method::GET, path);
        self.call(&request).await
    }

    /// Has something done that `key` stands for: the same key again does nothing and has the same answer.
    ///
    /// # Errors
    /// [`CallError`]; it may have been done all the same, and the same key tells.
    pub async fn post<A: DeserializeOwned>(
        &self,
        path: &[&str],
        key: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<A, CallError> {
        let service = self.0.service;
        let body = serde_json::to_vec(body);
        let body = body.map_err(|source| CallError::Unsendable { service, source })?;
        let mut request = self.request(Method::POST, path);
        *request.body_mut() = Some(Bytes::from(body).into());
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        insert(headers, IDEMPOTENCY_KEY, &write_key(key));
        self.call(&request).await
    }

    /// What is known of it from the calls so far.
    pub fn report(&self) -> ServiceReport {
        let inner = &self.0;
        let (failed, of, next_probe) = inner.breaker.numbers();
        let milliseconds = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        ServiceReport {
            service: inner.service,
            url: shown(&inner.base),
            breaker: inner.breaker.state(),
            failed,
            of,
            next_probe_ms: next_probe.map(milliseconds),
        }
    }

    /// Asks it how it is (`/healthz`): once, and whatever its breaker says.
    pub async fn health(&self) -> ServiceHealth {
        let request = self.request(Method::GET, &["healthz"]);
        let result = self.exchange(&request).await;
        ServiceHealth {
            service: self.0.service,
            url: shown(&self.0.base),
            problem: result.err().map(|error| chain(&error)),
        }
    }

    /// Tries until there is an answer, or trying again is useless.
    async fn call<A: DeserializeOwned>(&self, request: &Request) -> Result<A, CallError> {
        let Inner {
            service,
            settings,
            metrics,
            ..
        } = &*self.0;
        let mut waits = settings.waits();
        let mut last = None;
        loop {
            let error = match self.attempt(request).await {
                Ok(answer) => return Ok(answer),
                // The service was asked before the breaker opened: what it said then is the truth about this call.
                Err(error) if error.is_not_asked() => return Err(last.unwrap_or(error)),
                Err(error) => error,
            };
            match waits.next() {
                Some(wait) if error.may_pass() => {
                    debug!(%service, error = chain(&error), ?wait, "call is tried again");
                    metrics.repeated(*service);
                    last = Some(error);
                    sleep(wait).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// One try, if the breaker permits it.
    async fn attempt<A: DeserializeOwned>(&self, request: &Request) -> Result<A, CallError> {
        let Inner {
            service,
            breaker,
            metrics,
            ..
        } = &*self.0;
        let permit = match breaker.permit() {
            Ok(permit) => permit,
            Err(refused) => {
                metrics.not_asked(*service);
                return Err(self.not_asked(request.url(), refused));
            }
        };
        metrics.breaker(*service, breaker.state());
        let began = Instant::now();
        let result = self.exchange(request).await.and_then(|answer| {
            let Exchange { status, body } = answer;
            decode(&body).map_err(|source| CallError::Nonsense {
                service: *service,
                url: shown(request.url()),
                status,
                source,
            })
        });
        permit.settle(result.as_ref().is_err_and(CallError::is_its_fault));
        metrics.breaker(*service, breaker.state());
        metrics.tried(*service, &result, began.elapsed());
        result
    }

    /// Sends the request and reads the whole answer, within the time of one try.
    async fn exchange(&self, request: &Request) -> Result<Exchange, CallError> {
        let Inner {
            service,
            settings,
            http,
            ..
        } = &*self.0;
        let url = || shown(request.url());
        let exchange = Exchange::run(http, copy(request), settings.max_answer);
        match timeout(settings.timeout, exchange).await {
            Ok(Ok(exchange)) => exchange.judged(*service, url),
            Ok(Err(broken)) => Err(broken.into_error(*service, url())),
            Err(_) => Err(CallError::Unavailable {
                service: *service,
                url: url(),
                status: None,
                source: Unavailability::TimedOut(settings.timeout),
            }),
        }
    }

    fn not_asked(&self, url: &Url, refused: Refused) -> CallError {
        let outage = match refused.next_probe {
            Duration::ZERO => Outage::new("a probe is under way"),
            wait => Outage::new(format!("the next probe is in {} s", wait.as_secs() + 1)),
        };
        CallError::Unavailable {
            service: self.0.service,
            url: shown(url),
            status: None,
            source: Unavailability::NotAsked(outage),
        }
    }

    fn request(&self, method: Method, path: &[&str]) -> Request {
        let mut url = self.0.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let mut request = Request::new(method, url);
        let headers = request.headers_mut();
        headers.insert("x-service-call", HeaderValue::from_static("true"));
        if let Some(context) = CallContext::current() {
            insert(headers, "x-correlation-id", &context.correlation_id);
            if let Some(parent) = &context.trace_parent {
                insert(headers, "traceparent", parent);
            }
        }
        request
    }
}

/// A value that no header can hold, such as an id with a line break in it, is left out.
fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// The request once more; its body is in memory.
fn copy(request: &Request) -> Request {
    let mut copy = Request::new(request.method().clone(), request.url().clone());
    *copy.headers_mut() = request.headers().clone();
    let body = request.body().and_then(reqwest::Body::as_bytes);
    *copy.body_mut() = body.map(|bytes| Bytes::copy_from_slice(bytes).into());
    copy
}

/// The URL without what may be a secret in it.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Only a URL without a host refuses, and it has no password.
    url.set_password(None).ok();
    url.set_username("").ok();
    url.to_string()
}

/// An error and its causes, from the outermost, joined by `: `.
fn chain(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    message
}
