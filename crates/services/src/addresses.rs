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
    fn what_is_no_address_names_the_variable() {
        for wrong in [
            "pay:8080",
            "pay",
            "ftp://pay",
            "http://pay/?a=b",
            "http://",
            "",
        ] {
            let set = Addresses::default().set(Service::Payment, wrong);
            let error = set.expect_err(wrong).to_string();
            assert!(error.starts_with("PAYMENT_SERVICE_URL"), "{error}");
        }
    }
}
