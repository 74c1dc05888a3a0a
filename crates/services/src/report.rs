//! What is known of a service: for status pages, command lines and people.

use serde::{Deserialize, Serialize};

use crate::{BreakerState, Service};

/// A service, as its calls from this process have gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceReport {
    /// Which.
    pub service: Service,
    /// Where it is.
    pub url: String,
    /// Whether it is asked.
    pub breaker: BreakerState,
    /// Recent tries that failed.
    pub failed: u32,
    /// Recent tries.
    pub of: u32,
    /// Milliseconds until one try may probe; `None` if the breaker is not open.
    pub next_probe_ms: Option<u64>,
}

/// What a service says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceHealth {
    /// Which.
    pub service: Service,
    /// Where it is.
    pub url: String,
    /// Why it is not healthy; `None` if it is.
    pub problem: Option<String>,
}
