//! What the API counts of itself.

use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Counters and durations. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    commands: Family<Labels, Histogram>,
    queries: Family<Labels, Histogram>,
    cache: Family<CacheLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    name: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    outcome: &'static str,
}

impl Metrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            commands: Family::new_with_constructor(durations),
            queries: Family::new_with_constructor(durations),
            cache: Family::default(),
        };
        registry.register(
            "longshore_api_requests",
            "Requests answered",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "longshore_api_command",
            "Time that commands took",
            Unit::Seconds,
            metrics.commands.clone(),
        );
        registry.register_with_unit(
            "longshore_api_query",
            "Time that queries took",
            Unit::Seconds,
            metrics.queries.clone(),
        );
        registry.register(
            "longshore_api_user_cache",
            "Users looked up in the cache",
            metrics.cache.clone(),
        );
        metrics
    }

    /// A request was answered. `route` is the pattern, not the path: a label must not grow with what is asked for.
    pub(crate) fn request(&self, method: &str, route: &str, status: u16) {
        let labels = RequestLabels {
            method: method.to_owned(),
            route: route.to_owned(),
            status,
        };
        self.requests.get_or_create(&labels).inc();
    }

    pub(crate) fn command(&self, name: &'static str, ok: bool, began: Instant) {
        observe(&self.commands, name, ok, began);
    }

    pub(crate) fn query(&self, name: &'static str, ok: bool, began: Instant) {
        observe(&self.queries, name, ok, began);
    }

    pub(crate) fn cache(&self, hit: bool) {
        let outcome = if hit { "hit" } else { "miss" };
        self.cache.get_or_create(&CacheLabels { outcome }).inc();
    }
}

fn observe(family: &Family<Labels, Histogram>, name: &'static str, ok: bool, began: Instant) {
    let outcome = if ok { "done" } else { "refused" };
    let labels = Labels { name, outcome };
    let seconds = began.elapsed().as_secs_f64();
    family.get_or_create(&labels).observe(seconds);
}

/// From 1 ms to 16 s.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}
