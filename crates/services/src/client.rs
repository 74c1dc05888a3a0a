//! An endpoint for each service whose address is known.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use prometheus_client::registry::Registry;
use reqwest::redirect::Policy;

use crate::metrics::Metrics;
use crate::{
    AddressError, Addresses, CallSettings, Endpoint, Service, ServiceHealth, ServiceReport,
};

/// Connections to a service that are kept open when nothing is asked: as many as there are handlers at once by default.
const IDLE_CONNECTIONS: usize = 64;

/// Why services cannot be called at all.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// What is given as an address is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The system's TLS cannot be used.
    #[error("TLS cannot be set up")]
    Tls(#[source] reqwest::Error),
}

/// The services of this process. Clones share connections, breakers and numbers.
#[derive(Clone, Debug)]
pub struct ServiceClient {
    endpoints: Arc<BTreeMap<Service, Endpoint>>,
    metrics: Metrics,
}

impl ServiceClient {
    /// The services at `addresses`. Nothing is connected yet.
    ///
    /// # Errors
    /// [`ClientError::Tls`].
    pub fn new(addresses: &Addresses, settings: CallSettings) -> Result<Self, ClientError> {
        let metrics = Metrics::new();
        // Time limits are the endpoint's, one for the whole of a try. Where a service sends a caller elsewhere, its
        // address is wrong.
        let http = reqwest::Client::builder()
            .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .map_err(ClientError::Tls)?;
        let endpoints = addresses.iter().map(|(service, url)| {
            let endpoint = Endpoint::new(service, url, settings, http.clone(), metrics.clone());
            (service, endpoint)
        });
        Ok(Self {
            endpoints: Arc::new(endpoints.collect()),
            metrics,
        })
    }

    /// No services.
    pub fn none() -> Self {
        Self {
            endpoints: Arc::default(),
            metrics: Metrics::new(),
        }
    }

    /// A service; `None` if its address is not known.
    pub fn service(&self, service: Service) -> Option<&Endpoint> {
        self.endpoints.get(&service)
    }

    /// What is known of each of them from the calls so far.
    pub fn report(&self) -> Vec<ServiceReport> {
        self.endpoints.values().map(Endpoint::report).collect()
    }

    /// Asks each of them how it is, all at once.
    pub async fn health(&self) -> Vec<ServiceHealth> {
        join_all(self.endpoints.values().map(Endpoint::health)).await
    }

    /// Adds the numbers of the calls to those that a process shows, if it knows any service.
    pub fn register(&self, registry: &mut Registry) {
        if !self.endpoints.is_empty() {
            self.metrics.register(registry);
        }
    }
}
