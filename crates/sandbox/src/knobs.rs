//! What goes wrong with each service: set at the start, and turned while it runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_services::Service;
use serde::{Deserialize, Serialize};

/// The services that a sandbox has.
pub(crate) const SERVICES: [Service; 4] = [
    Service::Product,
    Service::Payment,
    Service::Notification,
    Service::Carrier,
];

/// What goes wrong with one service. Nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ServiceKnobs {
    /// Every request is refused with 503, and so is `/healthz`.
    pub outage: bool,
    /// The share of requests that fail with 500 before they have had any effect.
    pub errors: f64,
    /// The share of requests that fail with 500 after they have had their effect: the answer is lost.
    pub lost_answers: f64,
    /// Milliseconds that an answer takes after the effect. A caller that gives up before does not know of it.
    pub latency_ms: u64,
}

/// The knobs of all services, and the chance that decides. Clones share them.
#[derive(Clone, Debug)]
pub struct Knobs(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    services: BTreeMap<Service, ServiceKnobs>,
    chance: fastrand::Rng,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    /// Refused: the service is out.
    Out,
    /// Fails without an effect.
    Fails,
    /// Has its effect and is answered after this time.
    Answered(Duration),
    /// Has its effect, and the answer is lost after this time.
    Lost(Duration),
}

/// There is no such service in a sandbox.
#[derive(Debug, thiserror::Error)]
#[error("the sandbox has product, payment, notification and carrier, not {0}")]
pub struct UnknownService(pub String);

impl Knobs {
    /// Nothing goes wrong yet. The same `seed` fails the same requests, if they come in the same order.
    pub fn new(seed: u64) -> Self {
        let services = SERVICES.map(|service| (service, ServiceKnobs::default()));
        Self(Arc::new(Mutex::new(Inner {
            services: services.into(),
            chance: fastrand::Rng::with_seed(seed),
        })))
    }

    /// The service of this name.
    ///
    /// # Errors
    /// [`UnknownService`].
    pub fn service(name: &str) -> Result<Service, UnknownService> {
        let mut services = SERVICES.into_iter();
        let found = services.find(|service| service.name() == name);
        found.ok_or_else(|| UnknownService(name.to_owned()))
    }

    /// The knobs of each service.
    pub fn all(&self) -> BTreeMap<Service, ServiceKnobs> {
        self.lock().services.clone()
    }

    /// Turns the knobs of one service.
    pub fn turn(&self, service: Service, turn: impl FnOnce(&mut ServiceKnobs)) {
        turn(self.lock().services.entry(service).or_default());
    }

    /// Whether a service is out.
    pub(crate) fn is_out(&self, service: Service) -> bool {
        let inner = self.lock();
        inner
            .services
            .get(&service)
            .is_some_and(|knobs| knobs.outage)
    }

    /// Decides on one request.
    pub(crate) fn fate(&self, service: Service) -> Fate {
        let inner = &mut *self.lock();
        let knobs = inner.services.get(&service).copied().unwrap_or_default();
        let latency = Duration::from_millis(knobs.latency_ms);
        if knobs.outage {
            Fate::Out
        } else if inner.chance.f64() < knobs.errors {
            Fate::Fails
        } else if inner.chance.f64() < knobs.lost_answers {
            Fate::Lost(latency)
        } else {
            Fate::Answered(latency)
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in between leaves knobs that are each whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServiceKnobs {
    /// What makes no sense of it, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (name, share) in [("errors", self.errors), ("lostAnswers", self.lost_answers)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("{name} must be a share from 0 to 1"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_and_a_seed_repeats_itself() {
        let fates = || {
            let knobs = Knobs::new(7);
            knobs.turn(Service::Payment, |knobs| {
                knobs.errors = 0.1;
                knobs.lost_answers = 0.5;
            });
            (0..1000)
                .map(move |_| knobs.fate(Service::Payment))
                .collect::<Vec<_>>()
        };
        let count = |fate: Fate| fates().iter().filter(|other| **other == fate).count();

        assert!(
            (70..130).contains(&count(Fate::Fails)),
            "{}",
            count(Fate::Fails)
        );
        let lost = count(Fate::Lost(Duration::ZERO));
        assert!((390..510).contains(&lost), "{lost}");
        assert_eq!(fates(), fates());
    }

    #[test]
    fn one_service_out_is_not_all_of_them() {
        let knobs = Knobs::new(0);
        knobs.turn(Service::Payment, |knobs| knobs.outage = true);
        assert_eq!(knobs.fate(Service::Payment), Fate::Out);
        assert_eq!(knobs.fate(Service::Product), Fate::Answered(Duration::ZERO));
    }
}
