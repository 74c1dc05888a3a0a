//! What is accepted as an event, what is refused and why, and what a follow-on inherits from its cause.

use jiff::Timestamp;
use longshore_event::{
    Cause, DecodeError, Envelope, Event, Headers, Identity, Limits, Offset, OutgoingRecord, Record,
    TopicPartition, attribute, derived_id, encode, encode_new,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Parcel {
    id: String,
}

impl Event for Parcel {
    const TYPE: &'static str = "parcel.sent";

    fn key(&self) -> &str {
        &self.id
    }

    fn check(&self) -> Result<(), String> {
        if self.id.is_empty() {
            return Err("id is empty".to_owned());
        }
        Ok(())
    }
}

fn record(headers: &[(&str, &str)], value: &str) -> Record {
    let mut all = Headers::new();
    for (name, value) in headers {
        all.push_str(name, value);
    }
    Record {
        partition: TopicPartition::new("parcel.sent", 3),
        offset: Offset(17),
        timestamp: Some(Timestamp::UNIX_EPOCH),
        key: Some("p-1".into()),
        value: Some(value.to_owned().into()),
        headers: all,
    }
}

fn decode(record: Record) -> Result<Envelope<Parcel>, DecodeError> {
    Envelope::decode(record, &Limits::default()).map_err(|undecodable| undecodable.error)
}

fn arrived(sent: OutgoingRecord) -> Record {
    Record {
        partition: TopicPartition::new(sent.topic, 0),
        offset: Offset(0),
        timestamp: None,
        key: sent.key,
        value: sent.value,
        headers: sent.headers,
    }
}

#[test]
fn a_message_without_headers_is_identified_by_its_place() {
    let envelope = decode(record(&[], r#"{"id":"p-1"}"#)).expect("an event");

    assert_eq!(&*envelope.identity().id, "parcel.sent/3/17");
    assert_eq!(&*envelope.identity().source, "parcel.sent");
    assert_eq!(envelope.correlation_id(), "parcel.sent/3/17");
    assert_eq!(envelope.time(), Some(Timestamp::UNIX_EPOCH));
}

#[test]
fn correlation_id_and_timestamp_are_enough() {
    let headers = [
        (attribute::CORRELATION_ID, "c-9"),
        (attribute::TIMESTAMP, "2026-11-23T08:00:00Z"),
    ];
    let envelope = decode(record(&headers, r#"{"id":"p-1","more":1}"#)).expect("an event");

    assert_eq!(envelope.correlation_id(), "c-9");
    assert_eq!(envelope.time(), "2026-11-23T08:00:00Z".parse().ok());
}

#[test]
fn a_sloppy_clock_loses_no_message() {
    let headers = [(attribute::TIME, "yesterday"), (attribute::TIMESTAMP, "?")];
    let envelope = decode(record(&headers, r#"{"id":"p-1"}"#)).expect("an event");
    assert_eq!(envelope.time(), Some(Timestamp::UNIX_EPOCH));
}

#[test]
fn a_published_event_reads_back_and_its_follow_on_knows_its_cause() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let identity = Identity {
        source: "shop".into(),
        id: "e-1".into(),
    };
    let parcel = Parcel { id: "p-1".into() };
    let mut sent =
        encode_new(&parcel, &identity, Some("c-1"), Timestamp::UNIX_EPOCH).expect("JSON");
    sent.headers.push_str(attribute::TRACE_PARENT, trace);
    let envelope = decode(arrived(sent)).expect("an event");
    assert_eq!(envelope.identity(), &identity);
    assert_eq!(envelope.event(), &parcel);

    let cause = Cause {
        envelope: &envelope,
        group: "couriers",
        ordinal: 2,
    };
    let (_, follow_on) = encode(&parcel, &cause, Timestamp::UNIX_EPOCH).expect("JSON");

    let header = |name| follow_on.headers.get_str(name);
    let id = derived_id("couriers", &identity, 2).to_string();
    assert_eq!(header(attribute::ID), Some(id.as_str()));
    assert_eq!(header(attribute::CAUSATION_ID), Some("e-1"));
    assert_eq!(header(attribute::CORRELATION_ID), Some("c-1"));
    assert_eq!(header(attribute::SOURCE), Some("couriers"));
    let parent = header(attribute::TRACE_PARENT).expect("a trace goes on");
    assert!(parent.starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
    assert_ne!(parent, trace);
}

#[test]
fn what_is_no_event_says_why() {
    let valid = r#"{"id":"p-1"}"#;
    let long = "x".repeat(513);
    for (record, name) in [
        (record(&[], "{"), "InvalidJson"),
        (record(&[], "{}"), "InvalidJson"),
        (record(&[], ""), "EmptyValue"),
        (record(&[], r#"{"id":""}"#), "InvalidEvent"),
        (
            record(&[(attribute::TYPE, "parcel.sent.v2")], valid),
            "UnknownEventVersion",
        ),
        (
            record(&[(attribute::TYPE, "parcel.lost")], valid),
            "UnexpectedEventType",
        ),
        (
            record(&[(attribute::SPEC_VERSION, "2.0")], valid),
            "UnknownSpecVersion",
        ),
        (record(&[(attribute::ID, "")], valid), "InvalidHeader"),
        (
            record(&[(attribute::CORRELATION_ID, "a\nb")], valid),
            "InvalidHeader",
        ),
        (
            record(&[(attribute::SOURCE, &long)], valid),
            "InvalidHeader",
        ),
        (record(&[("h", "x"); 65], valid), "LimitExceeded"),
    ] {
        let error = decode(record).expect_err(name);
        assert_eq!(error.name(), name, "{error}");
    }
}

#[test]
fn version_one_may_be_said_aloud() {
    let headers = [
        (attribute::TYPE, "parcel.sent.v1"),
        (attribute::SPEC_VERSION, "1.0.2"),
    ];
    assert!(decode(record(&headers, r#"{"id":"p-1"}"#)).is_ok());
}

proptest! {
    #[test]
    fn nothing_from_outside_makes_it_panic(
        names in prop::collection::vec(prop::sample::select(vec![
            attribute::ID, attribute::SOURCE, attribute::TYPE, attribute::SPEC_VERSION,
            attribute::TIME, attribute::TIMESTAMP, attribute::CORRELATION_ID, attribute::TRACE_PARENT, "other",
        ]), 0..6),
        values in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..40)), 6),
        value in prop::option::of(prop::collection::vec(any::<u8>(), 0..64)),
    ) {
        let mut record = record(&[], "");
        record.value = value.map(Into::into);
        for (name, value) in names.iter().zip(values) {
            record.headers.push(name, value.as_deref());
        }
        if let Ok(envelope) = decode(record) {
            let _time = envelope.time();
            let _trace = envelope.trace_parent();
            prop_assert!(!envelope.correlation_id().is_empty());
        }
    }
}
