//! Which records `longshore tail` shows: simple comparisons, all of which must hold.

use std::borrow::Cow;
use std::str::FromStr;

use longshore_event::Record;
use longshore_topics::key_of;
use serde_json::Value;

/// How a filter is written, for the help.
pub(crate) const FILTER_GRAMMAR: &str = "\
Filters are FIELD=VALUE (is), FIELD!=VALUE (is not) or FIELD~VALUE (contains); several must all hold. FIELD is
  key                     the record's key
  header.NAME             the last header of that name
  topic, partition, offset
  orderId, items.0.sku    a field of the JSON value; value.key for one that is called key
What is not there is not equal to anything and contains nothing. Numbers are compared as they are written.";

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    subject: Subject,
    operator: Operator,
    value: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    Topic,
    Partition,
    Offset,
    Key,
    Header(String),
    Field(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Is,
    IsNot,
    Contains,
}

impl Filter {
    /// Whether all of `filters` hold for `record`. The value is parsed at most once, and only if it is asked for.
    pub(crate) fn all(filters: &[Self], record: &Record) -> bool {
        let mut value = None;
        filters
            .iter()
            .all(|filter| filter.holds(record, &mut value))
    }

    fn holds(&self, record: &Record, value: &mut Option<Value>) -> bool {
        let text = |bytes: Option<&'_ [u8]>| {
            bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        let found: Option<Cow<'_, str>> = match &self.subject {
            Subject::Topic => Some(Cow::Borrowed(&*record.partition.topic)),
            Subject::Partition => Some(record.partition.partition.to_string().into()),
            Subject::Offset => Some(record.offset.to_string().into()),
            Subject::Key => text(record.key.as_deref()).map(Cow::Owned),
            Subject::Header(name) => text(record.headers.get(name)).map(Cow::Owned),
            Subject::Field(path) => field(value.get_or_insert_with(|| parsed(record)), path),
        };
        match self.operator {
            Operator::Is => found.is_some_and(|found| found == self.value),
            Operator::IsNot => found.is_none_or(|found| found != self.value),
            Operator::Contains => found.is_some_and(|found| found.contains(&self.value)),
        }
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write FIELD=VALUE, FIELD!=VALUE or FIELD~VALUE".to_owned();
        let at = text.find(['=', '~', '!']).ok_or_else(wrong)?;
        let (subject, rest) = text.split_at(at);
        let operators = [
            ("!=", Operator::IsNot),
            ("=", Operator::Is),
            ("~", Operator::Contains),
        ];
        let found = operators
            .into_iter()
            .find_map(|(sign, operator)| Some((operator, rest.strip_prefix(sign)?)));
        let (operator, value) = found.ok_or_else(wrong)?;
        Ok(Self {
            subject: Subject::parse(subject.trim()).ok_or_else(wrong)?,
            operator,
            value: value.to_owned(),
        })
    }
}

impl Subject {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "" => return None,
            "topic" => Self::Topic,
            "partition" => Self::Partition,
            "offset" => Self::Offset,
            "key" => Self::Key,
            _ => match (text.strip_prefix("header."), text.strip_prefix("value.")) {
                (Some(name), _) => Self::Header(name.to_owned()),
                (None, Some(path)) => Self::Field(path.to_owned()),
                (None, None) => Self::Field(text.to_owned()),
            },
        })
    }
}

/// Null where there is no JSON, so that no field is found in it.
fn parsed(record: &Record) -> Value {
    let value = record.value.as_deref().unwrap_or_default();
    serde_json::from_slice(value).unwrap_or(Value::Null)
}

fn field<'a>(value: &'a Value, path: &str) -> Option<Cow<'a, str>> {
    if let Ok(text) = key_of(value, path) {
        return Some(text);
    }
    let found = path.split('.').try_fold(value, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        _ => value.get(part),
    })?;
    match found {
        Value::String(text) => Some(Cow::Borrowed(text)),
        other => Some(Cow::Owned(other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_event::{Headers, Offset, TopicPartition};

    fn record(value: Option<&'static str>) -> Record {
        let mut headers = Headers::new();
        headers.push_str("correlation-id", "c-1");
        Record {
            partition: TopicPartition::new("order.created", 2),
            offset: Offset(7),
            timestamp: None,
            key: Some("o-1".into()),
            value: value.map(Into::into),
            headers,
        }
    }

    fn holds(filter: &str) -> bool {
        let value = r#"{"orderId":"o-1","key":"k","items":[{"sku":"CD-12","n":2}],"empty":"","none":null,"url":"a=b"}"#;
        Filter::all(&[filter.parse().expect(filter)], &record(Some(value)))
    }

    #[test]
    fn comparisons_hold_for_what_is_there() {
        for filter in [
            "key=o-1",
            "key!=o-2",
            "key~-",
            "header.correlation-id=c-1",
            "header.other!=x",
            "topic~created",
            "partition=2",
            "offset=7",
            "orderId=o-1",
            "value.key=k",
            "items.0.sku~CD",
            "items.0.n=2",
            "empty=",
            "none=null",
            "url=a=b",
            "nothing!=x",
            r#"items~"sku":"CD-12""#,
        ] {
            assert!(holds(filter), "{filter}");
        }
        for filter in [
            "key=o-2",
            "header.other=",
            "orderId~x",
            "nothing=",
            "items.1.sku=CD-12",
            "nothing~",
        ] {
            assert!(!holds(filter), "{filter}");
        }
    }

    #[test]
    fn all_filters_must_hold() {
        let filters = |all: &[&str]| {
            all.iter()
                .map(|f| f.parse().expect("filter"))
                .collect::<Vec<Filter>>()
        };
        assert!(Filter::all(&filters(&[]), &record(None)));
        assert!(Filter::all(
            &filters(&["key=o-1", "partition=2"]),
            &record(None)
        ));
        assert!(!Filter::all(
            &filters(&["key=o-1", "partition=3"]),
            &record(None)
        ));
    }

    #[test]
    fn a_value_that_is_no_json_has_no_fields() {
        let filter: Filter = "orderId=o-1".parse().expect("filter");
        assert!(!Filter::all(
            std::slice::from_ref(&filter),
            &record(Some("garbage"))
        ));
        assert!(!Filter::all(&[filter], &record(None)));
    }

    #[test]
    fn what_is_no_comparison_is_refused() {
        for text in ["", "key", "=x", "!x", "key!x"] {
            assert!(text.parse::<Filter>().is_err(), "{text}");
        }
    }
}
