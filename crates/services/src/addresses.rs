//! Where services are: read once, where a process is composed, into a plain struct.

use std::collections::BTreeMap;

use reqwest::Url;

use crate::Service;

/// The base URL of each service that is known; the paths of calls are appended to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(BTreeMap<Service, Url>);

/// What is no address of a service.
#[derive(Debug, thiserror::Error)]
#[error("{} must be a URL such as http://host:8080/path: {reason}", service.variable())]
pub struct AddressError {
    /// Whose address.
    pub service: Service,
    /// What is wrong with it.
    pub reason: String,
}

impl Addresses {
    /// Reads the variables of this process: [`Service::variable`] names them. What is not set or empty is not known.
    ///
    /// # Errors
    /// [`AddressError`] for the first that is no URL.
    pub fn from_environment() -> Result<Self, AddressError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// The same with any source of variables.
    ///
    /// # Errors
    /// [`AddressError`] for the first that is no URL.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, AddressError> {
        let mut addresses = Self::default();
        for service in Service::ALL {
            match variable(service.variable()) {
                Some(url) if !url.trim().is_empty() => addresses.set(service, url.trim())?,
                _ => {}
            }
        }
        Ok(addresses)
    }

    /// Says where a service is.
    ///
    /// # Errors
    /// [`AddressError`] if `url` is no absolute HTTP URL, or has a query that paths could not be appended to.
    pub fn set(&mut self, service: Service, url: &str) -> Result<(), AddressError> {
        self.0.insert(service, base(service, url)?);
        Ok(())
    }

    /// The base URL of a service.
    pub fn get(&self, service: Service) -> Option<&Url> {
        self.0.get(&service)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Service, &Url)> {
        self.0.iter().map(|(service, url)| (*service, url))
    }
}

fn base(service: Service, url: &str) -> Result<Url, AddressError> {
    let wrong = |reason: String| AddressError { service, reason };
    let url = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(format!("{} is neither http nor https", url.scheme())));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it has a query or a fragment".into()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_from_the_variables_that_are_set() {
        let addresses = Addresses::from_variables(|name| match name {
            "PAYMENT_SERVICE_URL" => Some(" http://pay:8080/v1 ".into()),
            "CARRIER_SERVICE_URL" => Some(String::new()),
            _ => None,
        })
        .expect("valid");

        let payment = addresses.get(Service::Payment).map(Url::as_str);
        assert_eq!(payment, Some("http://pay:8080/v1"));
        assert_eq!(addresses.iter().count(), 1);
    }

    #[test]
    fn what_is_no_address_names_the_variable() {
        for wrong in ["pay:8080", "pay", "ftp://pay", "http://pay/?a=b", "http://"] {
            let set = |name: &str| (name == "PAYMENT_SERVICE_URL").then(|| wrong.to_owned());
            let error = Addresses::from_variables(set).expect_err(wrong);
            assert!(
                error.to_string().starts_with("PAYMENT_SERVICE_URL"),
                "{error}"
            );
        }
    }
}
