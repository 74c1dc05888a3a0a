//! Redrive: a dead letter goes back to the one consumer group that failed, through a topic that only this group reads.
//!
//! The headers here are the contract between whoever redrives and the runtime. The runtime believes them on its own
//! redrive topic alone: on any other topic they are what somebody wrote.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Headers, Offset, OutgoingRecord, Position, Record, TopicPartition};

/// The topic through which dead letters go back to `group`, and to no other group.
pub fn redrive_topic(group: &str) -> Arc<str> {
    format!("{group}.redrive").into()
}

/// What the group does with a redriven record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RedriveAction {
    /// It is handled as if it stood at its origin.
    #[default]
    Handle,
    /// Nothing is handled; a key that waits for this record goes on without it.
    Discard,
}

impl RedriveAction {
    /// The name in headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handle => "handle",
            Self::Discard => "discard",
        }
    }

    /// `None` for a name that this version does not know: guessing would handle what was to be discarded.
    fn parse(text: &str) -> Option<Self> {
        [Self::Handle, Self::Discard]
            .into_iter()
            .find(|action| action.as_str() == text)
    }
}

/// What the headers of a redriven record say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// Where the record first failed. It is handled as if it still stood there.
    pub origin: Position,
    /// How often it was redriven, this time included: the epoch that lets it pass the inbox once more.
    pub count: u32,
    /// What to do with it.
    pub action: RedriveAction,
    /// The run that redrove it.
    pub run: String,
    /// The dead letter it was made from; `None` if somebody else made it.
    pub of: Option<Position>,
}

/// Bytes of a value that was edited which are kept in a header. A larger one is kept by the dead letter alone, since a
/// header over [`Limits::header_bytes`](crate::Limits::header_bytes) would make the record undecodable.
pub const MAX_ORIGINAL_VALUE_BYTES: usize = 12 * 1024;

/// Bytes of the id of a run; a longer one is not believed.
const MAX_RUN_BYTES: usize = 128;

mod header {
    pub(super) const COUNT: &str = "longshore-redrive-count";
    pub(super) const TOPIC: &str = "longshore-redrive-topic";
    pub(super) const PARTITION: &str = "longshore-redrive-partition";
    pub(super) const OFFSET: &str = "longshore-redrive-offset";
    pub(super) const RUN: &str = "longshore-redrive-run";
    pub(super) const OF: &str = "longshore-redrive-of";
    pub(super) const ACTION: &str = "longshore-redrive-action";
    pub(super) const ORIGINAL_VALUE: &str = "longshore-redrive-original-value";
}

/// What dead letters say about their failure, in every dialect that is read; it is over when they are redriven.
const OF_DEAD_LETTERS: [&str; 14] = [
    "__dlq.",
    "longshore-error-",
    "longshore-handler",
    "longshore-fingerprint",
    "longshore-first-failed-at",
    "longshore-last-failed-at",
    "longshore-redrive-",
    "kafka_dlt-",
    "__connect.errors.",
    "__streams.errors.",
    "reason_poisoned",
    "topic_poisoned",
    "handler_poisoned",
    "subscriber_poisoned",
];

impl Redrive {
    /// Reads the headers of a redriven record; `None` if one is missing or makes no sense.
    pub fn read(headers: &Headers) -> Option<Self> {
        let text = |name| headers.get_str(name);
        let topic = text(header::TOPIC).filter(|topic| is_topic(topic))?;
        let partition = text(header::PARTITION)?.parse().ok()?;
        let offset = text(header::OFFSET)?.parse().ok()?;
        if partition < 0 || offset < 0 {
            return None;
        }
        let run = text(header::RUN)?;
        let count = text(header::COUNT)?.parse().ok()?;
        if run.len() > MAX_RUN_BYTES || count == 0 {
            return None;
        }
        Some(Self {
            origin: Position {
                partition: TopicPartition::new(topic, partition),
                offset: Offset(offset),
            },
            count,
            action: match headers.get(header::ACTION) {
                Some(_) => RedriveAction::parse(text(header::ACTION)?)?,
                None => RedriveAction::Handle,
            },
            run: run.to_owned(),
            of: text(header::OF).and_then(position),
        })
    }

    /// The record that takes the dead letter `letter` back to `group`: its key, its value and the headers it had before
    /// it failed.
    pub fn record(&self, group: &str, letter: &Record) -> OutgoingRecord {
        let mut headers = Headers::with_capacity(letter.headers.len() + 8, 1024);
        for (name, value) in letter.headers.iter() {
            // An edit of an earlier redrive: what the producer wrote stays known.
            if name == header::ORIGINAL_VALUE || !is_of_dead_letters(name) {
                headers.push(name, value);
            }
        }
        let origin = &self.origin;
        headers.push_str(header::COUNT, &self.count.to_string());
        headers.push_str(header::TOPIC, &origin.partition.topic);
        headers.push_str(header::PARTITION, &origin.partition.partition.to_string());
        headers.push_str(header::OFFSET, &origin.offset.to_string());
        headers.push_str(header::RUN, &self.run);
        if let Some(of) = &self.of {
            headers.push_str(header::OF, &of.to_string());
        }
        if self.action != RedriveAction::Handle {
            headers.push_str(header::ACTION, self.action.as_str());
        }
        OutgoingRecord {
            topic: redrive_topic(group),
            key: letter.key.clone(),
            value: letter.value.clone(),
            headers,
        }
    }

    /// The same with another value. The old one goes into a header, unless it is over [`MAX_ORIGINAL_VALUE_BYTES`] or
    /// an earlier edit has put the first one there.
    pub fn edited_record(&self, group: &str, letter: &Record, value: Bytes) -> OutgoingRecord {
        let mut record = self.record(group, letter);
        let kept = record
            .headers
            .iter()
            .any(|(name, _)| name == header::ORIGINAL_VALUE);
        let old = letter.value.as_deref();
        if !kept && old.is_none_or(|old| old.len() <= MAX_ORIGINAL_VALUE_BYTES) {
            record.headers.push(header::ORIGINAL_VALUE, old);
        }
        record.value = Some(value);
        record
    }
}

/// Whether a header tells of a failure, in any dialect that is read.
fn is_of_dead_letters(name: &str) -> bool {
    OF_DEAD_LETTERS
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// Whether Kafka would take it as the name of a topic.
fn is_topic(name: &str) -> bool {
    const MAX_BYTES: usize = 249;
    (1..=MAX_BYTES).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Reads `topic/partition/offset`.
fn position(text: &str) -> Option<Position> {
    let mut parts = text.split('/');
    let topic = parts.next().filter(|topic| is_topic(topic))?;
    let partition = parts.next()?.parse().ok().filter(|number| *number >= 0)?;
    let offset = parts.next()?.parse().ok().filter(|number| *number >= 0)?;
    parts.next().is_none().then(|| Position {
        partition: TopicPartition::new(topic, partition),
        offset: Offset(offset),
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::{DeadLetter, ErrorKind};

    fn place(topic: &str, partition: i32, offset: i64) -> Position {
        Position {
            partition: TopicPartition::new(topic, partition),
            offset: Offset(offset),
        }
    }

    fn redrive() -> Redrive {
        Redrive {
            origin: place("order.created", 2, 41),
            count: 2,
            action: RedriveAction::Handle,
            run: "run-1".into(),
            of: Some(place("order.created.dlq", 0, 7)),
        }
    }

    /// A dead letter of a record with `custom` and `ce_id`, as the runtime makes it.
    fn letter() -> Record {
        let mut headers = Headers::new();
        headers.push("custom", Some(&[0xff, 0]));
        headers.push_str("ce_id", "e-1");
        headers.push_str("custom", "again");
        let record = Record {
            partition: TopicPartition::new("order.created", 2),
            offset: Offset(41),
            timestamp: None,
            key: Some("o-1".into()),
            value: Some("{}".into()),
            headers,
        };
        let dead = DeadLetter {
            topic: "order.created".into(),
            partition: 2,
            offset: 41,
            group: "workers".into(),
            delivery_count: 4,
            message: "refused".into(),
            kind: ErrorKind::Transient,
            error_type: "Refused".into(),
            handler: "charge".into(),
            first_failed_at: Timestamp::UNIX_EPOCH,
            last_failed_at: Timestamp::UNIX_EPOCH,
            redrive_count: 1,
        };
        Record {
            partition: TopicPartition::new("order.created.dlq", 0),
            offset: Offset(7),
            headers: dead.record(&record).headers,
            ..record
        }
    }

    fn names(headers: &Headers) -> Vec<&str> {
        headers.iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_redriven_record_is_what_failed_without_its_failure() {
        let record = redrive().record("workers", &letter());

        assert_eq!(&*record.topic, "workers.redrive");
        assert_eq!(record.key.as_deref(), Some(&b"o-1"[..]));
        assert_eq!(record.value.as_deref(), Some(&b"{}"[..]));
        assert_eq!(
            names(&record.headers),
            [
                "custom",
                "ce_id",
                "custom",
                header::COUNT,
                header::TOPIC,
                header::PARTITION,
                header::OFFSET,
                header::RUN,
                header::OF
            ]
        );
        assert_eq!(
            record.headers.iter().next(),
            Some(("custom", Some(&[0xff, 0][..])))
        );
        assert_eq!(Redrive::read(&record.headers), Some(redrive()));
    }

    #[test]
    fn what_other_systems_say_of_the_failure_is_left_behind_too() {
        let mut letter = letter();
        for name in [
            "kafka_dlt-exception-fqcn",
            "__connect.errors.topic",
            "__streams.errors.exception",
            "reason_poisoned",
        ] {
            letter.headers.push_str(name, "x");
        }
        let record = redrive().record("workers", &letter);
        assert_eq!(
            names(&record.headers)[..4],
            ["custom", "ce_id", "custom", header::COUNT]
        );
    }

    #[test]
    fn a_redriven_record_that_fails_again_is_redriven_with_one_set_of_headers() {
        let mut letter = letter();
        let first = Redrive {
            count: 1,
            run: "run-0".into(),
            ..redrive()
        };
        letter.headers = first.record("workers", &letter).headers;

        let again = redrive().record("workers", &letter);

        let counts = names(&again.headers)
            .into_iter()
            .filter(|name| *name == header::COUNT);
        assert_eq!(counts.count(), 1);
        assert_eq!(Redrive::read(&again.headers), Some(redrive()));
    }

    #[test]
    fn an_edit_keeps_the_value_that_was_there_first() {
        let mut letter = letter();
        let once = redrive().edited_record("workers", &letter, "[1]".into());
        assert_eq!(once.value.as_deref(), Some(&b"[1]"[..]));
        assert_eq!(once.headers.get(header::ORIGINAL_VALUE), Some(&b"{}"[..]));

        (letter.value, letter.headers) = (once.value, once.headers);
        let twice = redrive().edited_record("workers", &letter, "[2]".into());
        assert_eq!(twice.value.as_deref(), Some(&b"[2]"[..]));
        assert_eq!(twice.headers.get(header::ORIGINAL_VALUE), Some(&b"{}"[..]));
    }

    #[test]
    fn an_old_value_that_would_make_the_record_undecodable_stays_in_the_dead_letter() {
        let mut letter = letter();
        letter.value = Some(vec![b' '; MAX_ORIGINAL_VALUE_BYTES + 1].into());
        let record = redrive().edited_record("workers", &letter, "{}".into());
        assert_eq!(record.headers.get(header::ORIGINAL_VALUE), None);
        assert!(names(&record.headers).contains(&header::OF));
    }

    #[test]
    fn a_discard_says_so_and_an_unknown_action_is_not_guessed() {
        let discard = Redrive {
            action: RedriveAction::Discard,
            ..redrive()
        };
        let mut record = discard.record("workers", &letter());
        assert_eq!(Redrive::read(&record.headers), Some(discard));

        record.headers.replace(header::ACTION, "postpone");
        assert_eq!(Redrive::read(&record.headers), None);
        record.headers.replace(header::ACTION, "handle");
        assert_eq!(Redrive::read(&record.headers), Some(redrive()));
    }

    #[test]
    fn headers_that_make_no_sense_are_no_redrive() {
        let good = redrive().record("workers", &letter()).headers;
        for (name, value) in [
            (header::COUNT, "0"),
            (header::COUNT, "-1"),
            (header::TOPIC, ""),
            (header::TOPIC, "a/b"),
            (header::PARTITION, "-1"),
            (header::OFFSET, "-1"),
            (header::OFFSET, "9223372036854775808"),
            (header::RUN, &"r".repeat(MAX_RUN_BYTES + 1)),
        ] {
            let mut headers = good.clone();
            headers.replace(name, value);
            assert_eq!(Redrive::read(&headers), None, "{name}={value}");
            headers.remove(name);
            assert_eq!(Redrive::read(&headers), None, "no {name}");
        }
        for of in ["a/0", "a/0/1/2", "a/-1/0", "/0/0"] {
            let mut headers = good.clone();
            headers.replace(header::OF, of);
            let found = Redrive::read(&headers).expect("a redrive of something unknown");
            assert_eq!(found.of, None, "{of}");
        }
    }

    proptest! {
        #[test]
        fn random_headers_never_panic(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 7)) {
            let mut headers = Headers::new();
            let names = [header::COUNT, header::TOPIC, header::PARTITION, header::OFFSET, header::RUN, header::OF, header::ACTION];
            for (name, value) in names.into_iter().zip(&values) {
                headers.push(name, Some(value));
            }
            drop(Redrive::read(&headers));
        }
    }
}
