//! One fault: which requests meet it, and what becomes of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use kafka_protocol::error::ResponseError;
pub use kafka_protocol::messages::ApiKey;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effect {
    /// It is answered so much later, and what comes behind it on its connection with it.
    Delay(Duration),
    /// It is not done, and answered with this error for all that it asks for.
    Fail(ResponseError),
    /// It is not done, and its connection is closed.
    DropUnread,
    /// It is done, and its connection is closed instead of answering.
    DropDone,
}

/// A fault that requests of one API meet, the next one unless said otherwise.
#[derive(Debug, Clone)]
pub struct Fault {
    pub(super) api: ApiKey,
    pub(super) effect: Effect,
    client_prefix: String,
    skip: u64,
    times: u64,
}

/// How often a fault took effect.
#[derive(Debug, Clone, Default)]
pub struct Injected(Arc<AtomicU64>);

/// A fault cannot be injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// The broker cannot put an error into an answer of this API.
    #[error("the broker has no error answer for {api:?}; delay it, or drop its connection")]
    NoErrorAnswer {
        /// The API that was to fail.
        api: ApiKey,
    },
}

impl Fault {
    /// The next request of `api` meets `effect`.
    pub fn new(api: ApiKey, effect: Effect) -> Self {
        Self {
            api,
            effect,
            client_prefix: String::new(),
            skip: 0,
            times: 1,
        }
    }

    /// Only requests of clients whose `client.id` begins with `prefix` meet it, and count.
    pub fn of_client(mut self, prefix: impl Into<String>) -> Self {
        self.client_prefix = prefix.into();
        self
    }

    /// So many requests go by before the first that meets it.
    pub fn skip(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }

    /// So many requests meet it; zero means none.
    pub fn times(mut self, requests: u64) -> Self {
        self.times = requests;
        self
    }

    /// Whether the request meets this fault, which counts it.
    pub(super) fn meets(&mut self, api: ApiKey, client_id: &str) -> bool {
        if api != self.api || !client_id.starts_with(&self.client_prefix) || self.is_spent() {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        self.times -= 1;
        true
    }

    pub(super) fn is_spent(&self) -> bool {
        self.times == 0
    }
}

impl Injected {
    /// How many requests met it so far.
    pub fn met(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
