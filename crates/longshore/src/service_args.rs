//! Where the services are that a worker calls, and how patient it is with them: flags, each also an environment variable.

use std::time::Duration;

use clap::Args;
use longshore_services::{
    AddressError, Addresses, BreakerSettings, CallSettings, ClientError, Service, ServiceClient,
};

use crate::duration::parse_duration;
use crate::secret::secret;

/// The services that are called. Without an address, whoever would call a service uses its sandbox.
#[derive(Clone, Debug, Args)]
#[non_exhaustive]
pub struct ServiceArgs {
    /// Where the auth service is, as in http://host:8080/path; the same for the others
    #[arg(long, env = Service::Auth.variable(), value_name = "URL", hide_env_values = true, value_parser = secret(url_of(Service::Auth)))]
    pub auth_service_url: Option<String>,
    /// Where the product service is
    #[arg(long, env = Service::Product.variable(), value_name = "URL", hide_env_values = true, value_parser = secret(url_of(Service::Product)))]
    pub product_service_url: Option<String>,
    /// Where the order service is
    #[arg(long, env = Service::Order.variable(), value_name = "URL", hide_env_values = true, value_parser = secret(url_of(Service::Order)))]
    pub order_service_url: Option<String>,
    /// Where the payment service is
    #[arg(long, env = Service::Payment.variable(), value_name = "URL", hide_env_values = true, value_parser = secret(url_of(Service::Payment)))]
    pub payment_service_url: Option<String>,
    /// Where the notification service is
    #[arg(long, env = Service::Notification.variable(), value_name = "URL", hide_env_values = true, value_parser = secret(url_of(Service::Notification)))]
    pub notification_service_url: Option<String>,
    /// Where the carrier is
    #[arg(long, env = Service::Carrier.variable(), value_name = "URL", hide_env_values = true, value_parser = secret(url_of(Service::Carrier)))]
    pub carrier_service_url: Option<String>,
    /// Time for one try of a call to a service
    #[arg(long, env = "LONGSHORE_SERVICE_TIMEOUT", default_value = "3s", value_name = "TIME", value_parser = parse_duration)]
    pub service_timeout: Duration,
    /// Tries of a call, the first one included
    #[arg(long, env = "LONGSHORE_SERVICE_TRIES", default_value = "3", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub service_tries: u32,
    /// How long a service that fails half of the time is not asked, before one try may probe
    #[arg(long, env = "LONGSHORE_SERVICE_BREAKER", default_value = "30s", value_name = "TIME", value_parser = parse_duration)]
    pub service_breaker: Duration,
}

impl Default for ServiceArgs {
    /// The defaults of the command line. The environment is not looked at.
    fn default() -> Self {
        let settings = CallSettings::default();
        Self {
            auth_service_url: None,
            product_service_url: None,
            order_service_url: None,
            payment_service_url: None,
            notification_service_url: None,
            carrier_service_url: None,
            service_timeout: settings.timeout,
            service_tries: settings.tries,
            service_breaker: settings.breaker.open,
        }
    }
}

impl ServiceArgs {
    /// Services at these addresses, with the defaults of the command line.
    pub fn at(addresses: &[(Service, String)]) -> Self {
        let mut args = Self::default();
        for (service, url) in addresses {
            let place = match service {
                Service::Auth => &mut args.auth_service_url,
                Service::Product => &mut args.product_service_url,
                Service::Order => &mut args.order_service_url,
                Service::Payment => &mut args.payment_service_url,
                Service::Notification => &mut args.notification_service_url,
                Service::Carrier => &mut args.carrier_service_url,
            };
            *place = Some(url.clone());
        }
        args
    }

    /// The addresses that were given.
    ///
    /// # Errors
    /// [`AddressError`]; never for what the command line has let in.
    pub fn addresses(&self) -> Result<Addresses, AddressError> {
        let mut addresses = Addresses::default();
        for (service, url) in [
            (Service::Auth, &self.auth_service_url),
            (Service::Product, &self.product_service_url),
            (Service::Order, &self.order_service_url),
            (Service::Payment, &self.payment_service_url),
            (Service::Notification, &self.notification_service_url),
            (Service::Carrier, &self.carrier_service_url),
        ] {
            // A variable that is set to nothing says as much as one that is not set.
            if let Some(url) = url.as_deref().filter(|url| !url.is_empty()) {
                addresses.set(service, url)?;
            }
        }
        Ok(addresses)
    }

    /// The bounds of a call.
    pub fn settings(&self) -> CallSettings {
        let defaults = CallSettings::default();
        CallSettings {
            timeout: self.service_timeout,
            tries: self.service_tries,
            breaker: BreakerSettings {
                open: self.service_breaker,
                ..defaults.breaker
            },
            ..defaults
        }
    }

    /// A client for them.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn client(&self) -> Result<ServiceClient, ClientError> {
        ServiceClient::new(&self.addresses()?, self.settings())
    }
}

/// Reads an address, for the flags of `service`; an empty one passes.
fn url_of(service: Service) -> impl Fn(&str) -> Result<String, AddressError> + Clone {
    move |url| {
        let url = url.trim();
        if !url.is_empty() {
            Addresses::default().set(service, url)?;
        }
        Ok(url.to_owned())
    }
}
