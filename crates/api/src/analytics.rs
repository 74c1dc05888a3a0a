//! The analytics worker, asked over HTTP: its store is nobody's but its own.

use std::time::Duration;

use longshore_orders::analytics::Window;
use longshore_services::ClientError;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use serde::de::DeserializeOwned;

/// Time for the whole answer: less than a request to the API may take, so that its client learns why there is none.
const ANSWER: Duration = Duration::from_secs(3);
/// Bytes of an answer; all the hours that the worker tells at once are a quarter of it.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// The admin endpoint of the analytics worker, if its address is known.
#[derive(Clone, Debug, Default)]
pub struct AnalyticsWorker(Option<(Url, Client)>);

/// Why nothing is known.
#[derive(Debug, thiserror::Error)]
pub enum AnalyticsError {
    /// Nobody said where the worker is.
    #[error(
        "this API was not told where the analytics worker is: start it with --analytics-url http://HOST:PORT, or set \
         ANALYTICS_URL, to the worker's --admin-listen"
    )]
    UnknownAddress,
    /// No connection, a broken one, or no answer in time.
    #[error("the analytics worker does not answer")]
    Unreachable(#[source] reqwest::Error),
    /// It cannot read its store, or something else is at its address.
    #[error("the analytics worker answers with status {0}")]
    Refused(StatusCode),
    /// More than is read.
    #[error("the answer of the analytics worker is longer than {0} bytes")]
    TooLong(usize),
    /// Something else is at its address, or another version.
    #[error("what answers is no analytics worker of this version")]
    Undecodable(#[source] serde_json::Error),
}

impl AnalyticsWorker {
    /// The worker at `url`, to which the paths of questions are appended. Nothing is connected yet.
    ///
    /// # Errors
    /// [`ClientError::Tls`].
    pub fn at(url: Url) -> Result<Self, ClientError> {
        let client = Client::builder()
            .timeout(ANSWER)
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .map_err(ClientError::Tls)?;
        Ok(Self(Some((url, client))))
    }

    /// Asks for `what` of the window.
    pub(crate) async fn ask<A: DeserializeOwned>(
        &self,
        what: &str,
        window: Window,
    ) -> Result<A, AnalyticsError> {
        let (base, client) = self.0.as_ref().ok_or(AnalyticsError::UnknownAddress)?;
        let request = client.get(question(base, what, window)).send();
        let mut response = request.await.map_err(AnalyticsError::Unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(AnalyticsError::Refused(response.status()));
        }
        let mut answer = Vec::new();
        while let Some(part) = response
            .chunk()
            .await
            .map_err(AnalyticsError::Unreachable)?
        {
            if answer.len() + part.len() > MAX_ANSWER {
                return Err(AnalyticsError::TooLong(MAX_ANSWER));
            }
            answer.extend_from_slice(&part);
        }
        serde_json::from_slice(&answer).map_err(AnalyticsError::Undecodable)
    }
}

fn question(base: &Url, what: &str, window: Window) -> Url {
    let mut url = base.clone();
    // Only a URL that cannot be a base refuses, and those of HTTP can.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(["analytics", what]);
    }
    for (name, bound) in [("since", window.since), ("until", window.until)] {
        if let Some(bound) = bound {
            url.query_pairs_mut().append_pair(name, &bound.to_string());
        }
    }
    url
}

/// Reads an address, for the command line.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    let is_base = matches!(url.scheme(), "http" | "https")
        && url.query().is_none()
        && url.fragment().is_none();
    match is_base {
        true => Ok(url),
        false => Err("must be an address such as http://host:8080".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_below_the_address_with_the_bounds_that_are_given() {
        let base = parse_url("http://analytics:8080/inner/").expect("an address");
        let since = "2026-11-26T08:00:00Z".parse().ok();
        let window = Window { since, until: None };
        assert_eq!(
            question(&base, "hours", window).as_str(),
            "http://analytics:8080/inner/analytics/hours?since=2026-11-26T08%3A00%3A00Z"
        );
        let all = question(&base, "summary", Window::default());
        assert_eq!(
            all.as_str(),
            "http://analytics:8080/inner/analytics/summary"
        );
        for wrong in ["analytics:8080", "ftp://analytics", "http://a/?b=c", ""] {
            assert!(parse_url(wrong).is_err(), "{wrong}");
        }
    }
}
