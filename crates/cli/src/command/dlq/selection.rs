//! Which dead letters are meant: simple conditions, all of which must hold.

use clap::Args;
use jiff::Timestamp;
use longshore_event::{AnyDeadLetter, Record};
use serde::{Deserialize, Serialize};

use crate::arguments::key_value;
use crate::moment::Moment;
use crate::output::wrong_usage;

/// Conditions on a dead letter. A run keeps them in its audit, so that it can be resumed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Selection {
    /// The fingerprint of the failure, or its first characters, as `longshore dlq stats` tells it
    #[arg(long, env = "LONGSHORE_DLQ_FINGERPRINT", value_name = "HEX", value_parser = fingerprint)]
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    /// The key of the record
    #[arg(long, env = "LONGSHORE_DLQ_KEY", value_name = "KEY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// A part of the error's type or text; upper and lower case are the same
    #[arg(long, env = "LONGSHORE_DLQ_ERROR", value_name = "TEXT", value_parser = error_part)]
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Failed at or after: a time (2026-11-23T08:00:00Z, 2026-11-23; UTC if it has no offset), or how long ago (15m, 2h, 7d)
    #[arg(long, env = "LONGSHORE_DLQ_SINCE", value_name = "WHEN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Moment>,
    /// Failed before, written as --since
    #[arg(long, env = "LONGSHORE_DLQ_UNTIL", value_name = "WHEN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Moment>,
    /// A header and its value; may be repeated. In the environment: one a line
    #[arg(long = "header", env = "LONGSHORE_DLQ_HEADER", value_name = "NAME=VALUE", value_parser = key_value, value_delimiter = '\n')]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
}

impl Selection {
    /// Conditions that nothing can fulfil are no question about dead letters but a slip.
    pub(super) fn refuse_nonsense(&self) -> anyhow::Result<()> {
        match self.since.zip(self.until) {
            Some((since, until)) if since.0 > until.0 => Err(wrong_usage(format_args!(
                "--since {} is later than --until {}",
                since.0, until.0
            ))),
            _ => Ok(()),
        }
    }

    /// Whether a record of the dead-letter topic is meant. One that is no dead letter is meant only where nothing is
    /// asked about its failure.
    pub(super) fn holds(&self, record: &Record, letter: Option<&AnyDeadLetter>) -> bool {
        let of_failure = |asked: &Option<String>, holds: &dyn Fn(&str, &AnyDeadLetter) -> bool| {
            asked
                .as_deref()
                .is_none_or(|asked| letter.is_some_and(|letter| holds(asked, letter)))
        };
        let key = self.key.as_deref().map(str::as_bytes);
        of_failure(&self.fingerprint, &|asked, letter| {
            lower(&letter.fingerprint).starts_with(&lower(asked))
        }) && of_failure(&self.error, &|asked, letter| {
            lower(&error_text(letter)).contains(&lower(asked))
        }) && key.is_none_or(|key| record.key.as_deref() == Some(key))
            && self.in_time(failed_at(record, letter))
            && self
                .headers
                .iter()
                .all(|(name, value)| record.headers.get(name) == Some(value.as_bytes()))
    }

    fn in_time(&self, at: Option<Timestamp>) -> bool {
        let Some(at) = at else {
            return self.since.is_none() && self.until.is_none();
        };
        self.since.is_none_or(|since| at >= since.0) && self.until.is_none_or(|until| at < until.0)
    }
}

/// Nothing would be the beginning of every fingerprint, and select all.
fn fingerprint(text: &str) -> Result<String, String> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_hex && !text.is_empty() {
        true => Ok(lower(text)),
        false => Err(
            "write the fingerprint or its first characters (0-9, a-f), as `longshore dlq stats` tells it"
                .into(),
        ),
    }
}

/// Nothing would be a part of every error, and select all.
fn error_part(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("write a part of the error; for all errors, leave it out".into()),
        _ => Ok(text.to_owned()),
    }
}

fn lower(text: &str) -> String {
    text.to_lowercase()
}

/// When it failed; where the dialect does not tell, the time of the record in the dead-letter topic.
pub(super) fn failed_at(record: &Record, letter: Option<&AnyDeadLetter>) -> Option<Timestamp> {
    letter
        .and_then(|letter| letter.failed_at)
        .or(record.timestamp)
}

/// The error's type and text.
pub(super) fn error_text(letter: &AnyDeadLetter) -> String {
    match &letter.error_type {
        Some(error_type) => format!("{error_type}: {}", letter.message),
        None => letter.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_event::{Headers, Offset, TopicPartition};

    fn record() -> Record {
        let mut headers = Headers::new();
        headers.push_str("reason_poisoned", "no such account 17");
        headers.push_str("topic_poisoned", "orders");
        headers.push_str("ce_source", "shop");
        Record {
            partition: TopicPartition::new("poison", 0),
            offset: Offset(0),
            timestamp: "2026-11-23T08:00:00Z".parse().ok(),
            key: Some("o-1".into()),
            value: None,
            headers,
        }
    }

    fn holds(selection: &Selection) -> bool {
        let record = record();
        let letter = AnyDeadLetter::read(&record);
        assert!(letter.is_some());
        selection.holds(&record, letter.as_ref())
    }

    fn moment(text: &str) -> Option<Moment> {
        text.parse().ok()
    }

    #[test]
    fn every_condition_can_hold_and_can_fail() {
        let fingerprint = AnyDeadLetter::read(&record())
            .expect("a letter")
            .fingerprint;
        let all = Selection {
            fingerprint: Some(fingerprint[..6].to_uppercase()),
            key: Some("o-1".into()),
            error: Some("ACCOUNT 17".into()),
            since: moment("2026-11-23T08:00:00Z"),
            until: moment("2026-11-23T08:00:01Z"),
            headers: vec![("ce_source".into(), "shop".into())],
        };
        assert!(holds(&Selection::default()));
        assert!(holds(&all));
        let all = || all.clone();
        for wrong in [
            Selection {
                fingerprint: Some("nope".into()),
                ..all()
            },
            Selection {
                key: Some("o-2".into()),
                ..all()
            },
            Selection {
                error: Some("account 18".into()),
                ..all()
            },
            Selection {
                since: moment("2026-11-23T08:00:01Z"),
                ..all()
            },
            Selection {
                until: moment("2026-11-23T08:00:00Z"),
                ..all()
            },
            Selection {
                headers: vec![("ce_source".into(), "other".into())],
                ..all()
            },
            Selection {
                headers: vec![("absent".into(), "shop".into())],
                ..all()
            },
        ] {
            assert!(!holds(&wrong), "{wrong:?}");
        }
    }

    #[test]
    fn what_would_select_all_is_no_condition() {
        assert_eq!(fingerprint("8C41d6").as_deref(), Ok("8c41d6"));
        assert_eq!(error_part(" Timeout").as_deref(), Ok(" Timeout"));
        for text in ["", " ", "8c41dg", "0x8c"] {
            assert!(fingerprint(text).is_err(), "{text}");
        }
        assert!(error_part("").is_err() && error_part(" ").is_err());
    }

    #[test]
    fn what_is_no_dead_letter_has_no_failure_to_ask_about() {
        let mut record = record();
        record.headers.remove("topic_poisoned");
        let asked = |selection: Selection| selection.holds(&record, None);
        assert!(asked(Selection::default()));
        assert!(!asked(Selection {
            error: Some(String::new()),
            ..Selection::default()
        }));
        assert!(!asked(Selection {
            fingerprint: Some(String::new()),
            ..Selection::default()
        }));
    }

    #[test]
    fn a_selection_survives_its_audit() {
        let selection = Selection {
            key: Some("o-1".into()),
            since: moment("2026-11-23T08:00:00Z"),
            headers: vec![("a".into(), "b".into())],
            ..Selection::default()
        };
        let text = serde_json::to_string(&selection).expect("JSON");
        assert_eq!(
            serde_json::from_str::<Selection>(&text).expect("back"),
            selection
        );
        assert_eq!(
            serde_json::from_str::<Selection>("{}").expect("empty"),
            Selection::default()
        );
    }
}
