//! What is counted of the calls to services.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::{BreakerState, CallError, Service};

/// Clones share their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    tries: Family<Tried, Counter>,
    not_asked: Family<Of, Counter>,
    repeated: Family<Of, Counter>,
    seconds: Family<Of, Histogram>,
    breaker: Family<InState, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tried {
    service: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    service: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    service: &'static str,
    state: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            tries: Family::default(),
            not_asked: Family::default(),
            repeated: Family::default(),
            seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 2.0, 13))
            }),
            breaker: Family::default(),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "longshore_service_tries",
            "Requests sent to a service, by what came of them",
            self.tries.clone(),
        );
        registry.register(
            "longshore_service_not_asked",
            "Calls that were not made, since the breaker was open",
            self.not_asked.clone(),
        );
        registry.register(
            "longshore_service_repeated",
            "Tries after a failed one of the same call",
            self.repeated.clone(),
        );
        registry.register(
            "longshore_service_try_duration_seconds",
            "Time of one try",
            self.seconds.clone(),
        );
        registry.register(
            "longshore_service_breaker_state",
            "1 for the state in which the breaker of a service is, 0 for the others",
            self.breaker.clone(),
        );
    }

    pub(crate) fn tried<A>(&self, service: Service, result: &Result<A, CallError>, took: Duration) {
        let outcome = match result {
            Ok(_) => "answered",
            Err(CallError::Unavailable { .. }) => "unavailable",
            Err(CallError::Rejected { .. } | CallError::Unsendable { .. }) => "rejected",
            Err(CallError::Nonsense { .. }) => "nonsense",
        };
        let of = of(service);
        let service = service.name();
        self.tries.get_or_create(&Tried { service, outcome }).inc();
        self.seconds.get_or_create(&of).observe(took.as_secs_f64());
    }

    pub(crate) fn not_asked(&self, service: Service) {
        self.not_asked.get_or_create(&of(service)).inc();
    }

    pub(crate) fn repeated(&self, service: Service) {
        self.repeated.get_or_create(&of(service)).inc();
    }

    pub(crate) fn breaker(&self, service: Service, is: BreakerState) {
        let states = [
            (BreakerState::Closed, "closed"),
            (BreakerState::Open, "open"),
            (BreakerState::HalfOpen, "half-open"),
        ];
        let service = service.name();
        for (each, state) in states {
            let gauge = self
                .breaker
                .get_or_create_owned(&InState { service, state });
            gauge.set(i64::from(each == is));
        }
    }
}

fn of(service: Service) -> Of {
    let service = service.name();
    Of { service }
}
