//! The headers of a record that the command line publishes: CloudEvents, correlation, and those of the user.

use jiff::Timestamp;
use longshore_event::{Headers, attribute};
use uuid::Uuid;

/// `ce_source` of what the command line publishes, unless a header says otherwise.
const SOURCE: &str = "longshore-cli";

/// What all records of one run have in common.
#[derive(Debug)]
pub(super) struct Attributes {
    topic: String,
    given: Vec<(String, String)>,
}

impl Attributes {
    /// For records of `topic`, with the headers that the user gave.
    pub(super) fn new(topic: &str, given: Vec<(String, String)>) -> Self {
        Self {
            topic: topic.to_owned(),
            given,
        }
    }

    /// The topic the records go to.
    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// The headers of one record: `id` is fresh if there is none; a given header takes the place of ours.
    pub(super) fn headers(&self, id: Option<Uuid>, key: Option<&str>, now: Timestamp) -> Headers {
        let id = match self.given(attribute::ID) {
            Some(id) => id.to_owned(),
            None => id.unwrap_or_else(Uuid::now_v7).to_string(),
        };
        let now = now.to_string();
        let ours = [
            (attribute::SPEC_VERSION, Some("1.0")),
            (attribute::ID, Some(id.as_str())),
            (attribute::SOURCE, Some(SOURCE)),
            (attribute::TYPE, Some(self.topic.as_str())),
            (attribute::TIME, Some(now.as_str())),
            (attribute::SUBJECT, key),
            (attribute::CONTENT_TYPE, Some("application/json")),
            (attribute::CORRELATION_ID, Some(id.as_str())),
            (attribute::TIMESTAMP, Some(now.as_str())),
        ];
        let mut headers = Headers::with_capacity(ours.len() + self.given.len(), 384);
        for (name, value) in ours {
            if let (Some(value), None) = (value, self.given(name)) {
                headers.push_str(name, value);
            }
        }
        for (name, value) in &self.given {
            headers.push_str(name, value);
        }
        headers
    }

    fn given(&self, name: &str) -> Option<&str> {
        let found = self.given.iter().rev().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(given: &[(&str, &str)], id: Option<Uuid>) -> Headers {
        let given = given
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        Attributes::new("order.created", given.collect()).headers(
            id,
            Some("o-1"),
            Timestamp::UNIX_EPOCH,
        )
    }

    #[test]
    fn a_record_is_a_cloud_event_that_correlates_with_itself() {
        let headers = headers(&[], None);

        let id = headers.get_str(attribute::ID).expect("an id");
        assert_eq!(Uuid::parse_str(id).expect("a UUID").get_version_num(), 7);
        assert_eq!(headers.get_str(attribute::CORRELATION_ID), Some(id));
        assert_eq!(headers.get_str(attribute::TYPE), Some("order.created"));
        assert_eq!(headers.get_str(attribute::SOURCE), Some("longshore-cli"));
        assert_eq!(headers.get_str(attribute::SUBJECT), Some("o-1"));
        assert_eq!(
            headers.get_str(attribute::TIME),
            Some("1970-01-01T00:00:00Z")
        );
    }

    #[test]
    fn a_given_header_takes_the_place_of_ours() {
        let headers = headers(
            &[("ce_id", "x"), ("ce_source", "shop"), ("extra", "a=b")],
            Some(Uuid::nil()),
        );

        assert_eq!(headers.get_str("ce_id"), Some("x"));
        assert_eq!(headers.get_str("correlation-id"), Some("x"));
        assert_eq!(headers.get_str("extra"), Some("a=b"));
        let sources = headers.iter().filter(|(name, _)| *name == "ce_source");
        assert_eq!(sources.count(), 1);
    }

    #[test]
    fn a_derived_id_is_used_as_it_is() {
        let id = Uuid::from_u128(7);
        assert_eq!(
            headers(&[], Some(id)).get_str("ce_id"),
            Some(&*id.to_string())
        );
    }
}
