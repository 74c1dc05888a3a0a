//! Dead letters as other systems write them, byte for byte, and what is read from them.

use jiff::Timestamp;
use longshore_event::{
    AnyDeadLetter, DeadLetter, Dialect, ErrorKind, Headers, Offset, Record, TopicPartition,
};
use proptest::prelude::*;

fn written_at() -> Timestamp {
    "2026-11-23T08:00:00Z".parse().expect("a time")
}

fn record(headers: &[(&str, &[u8])]) -> Record {
    let mut all = Headers::new();
    for (name, value) in headers {
        all.push(name, Some(value));
    }
    Record {
        partition: TopicPartition::new("some.dlt", 0),
        offset: Offset(7),
        timestamp: Some(written_at()),
        key: Some("k".into()),
        value: Some("{}".into()),
        headers: all,
    }
}

fn read(headers: &[(&str, &[u8])]) -> AnyDeadLetter {
    AnyDeadLetter::read(&record(headers)).expect("a dead letter")
}

fn place(letter: &AnyDeadLetter) -> String {
    letter.origin().expect("an origin").to_string()
}

const SPRING: &[(&str, &[u8])] = &[
    ("kafka_dlt-original-topic", b"orders"),
    ("kafka_dlt-original-partition", &[0, 0, 1, 2]),
    ("kafka_dlt-original-offset", &[0, 0, 0, 1, 0, 0, 0, 41]),
    ("kafka_dlt-original-timestamp", &[0, 0, 1, 0x9a, 0, 0, 0, 0]),
    ("kafka_dlt-original-timestamp-type", b"CreateTime"),
    ("kafka_dlt-original-consumer-group", b"billing"),
    (
        "kafka_dlt-exception-fqcn",
        b"org.springframework.kafka.listener.ListenerExecutionFailedException",
    ),
    (
        "kafka_dlt-exception-cause-fqcn",
        b"java.lang.IllegalStateException",
    ),
    (
        "kafka_dlt-exception-message",
        b"Listener failed; no such account 17",
    ),
    ("kafka_dlt-exception-stacktrace", b"at com.example..."),
];

const CONNECT: &[(&str, &[u8])] = &[
    ("__connect.errors.topic", b"orders"),
    ("__connect.errors.partition", b"3"),
    ("__connect.errors.offset", b"41"),
    ("__connect.errors.connector.name", b"warehouse-sink"),
    ("__connect.errors.task.id", b"0"),
    ("__connect.errors.stage", b"VALUE_CONVERTER"),
    (
        "__connect.errors.class.name",
        b"org.apache.kafka.connect.json.JsonConverter",
    ),
    (
        "__connect.errors.exception.class.name",
        b"org.apache.kafka.connect.errors.DataException",
    ),
    (
        "__connect.errors.exception.message",
        b"Converting byte[] to Kafka Connect data failed",
    ),
];

const STREAMS: &[(&str, &[u8])] = &[
    (
        "__streams.errors.exception",
        b"java.lang.ArithmeticException: / by zero",
    ),
    ("__streams.errors.message", b"/ by zero"),
    ("__streams.errors.stacktrace", b"at com.example..."),
    ("__streams.errors.topic", b"orders"),
    ("__streams.errors.partition", b"3"),
    ("__streams.errors.offset", b"41"),
];

const WATERMILL: &[(&str, &[u8])] = &[
    ("_watermill_message_uuid", b"0b1b..."),
    ("reason_poisoned", b"cannot charge 17"),
    ("topic_poisoned", b"orders"),
    ("handler_poisoned", b"charge"),
    ("subscriber_poisoned", b"kafka.Subscriber"),
];

const SHARE_GROUP: &[(&str, &[u8])] = &[
    ("__dlq.errors.topic", b"orders"),
    ("__dlq.errors.partition", b"3"),
    ("__dlq.errors.offset", b"41"),
    ("__dlq.errors.group", b"share-billing"),
    ("__dlq.errors.delivery.count", b"5"),
    (
        "__dlq.errors.message",
        b"Offset delivery count exceeded the threshold.",
    ),
];

#[test]
fn spring_writes_numbers_big_endian_and_wraps_the_cause() {
    let letter = read(SPRING);

    assert_eq!(letter.dialect, Dialect::Spring);
    assert_eq!(place(&letter), "orders/258/4294967337");
    assert_eq!(letter.group.as_deref(), Some("billing"));
    assert_eq!(
        letter.error_type.as_deref(),
        Some("java.lang.IllegalStateException")
    );
    assert_eq!(letter.message, "Listener failed; no such account 17");
    assert_eq!(letter.failed_at, Some(written_at()));
    assert_eq!(letter.redrive_count, 0);
}

#[test]
fn connect_tells_connector_and_error_but_no_group_and_no_time() {
    let letter = read(CONNECT);

    assert_eq!(letter.dialect, Dialect::Connect);
    assert_eq!(place(&letter), "orders/3/41");
    assert_eq!(letter.group, None);
    assert_eq!(letter.handler.as_deref(), Some("warehouse-sink"));
    assert_eq!(
        letter.error_type.as_deref(),
        Some("org.apache.kafka.connect.errors.DataException")
    );
    assert!(letter.message.starts_with("Converting"));
    assert_eq!(letter.failed_at, None);
}

#[test]
fn streams_writes_the_class_before_the_message() {
    let letter = read(STREAMS);

    assert_eq!(letter.dialect, Dialect::Streams);
    assert_eq!(place(&letter), "orders/3/41");
    assert_eq!(
        letter.error_type.as_deref(),
        Some("java.lang.ArithmeticException")
    );
    assert_eq!(letter.message, "/ by zero");
}

#[test]
fn watermill_tells_the_topic_but_no_place_in_it() {
    let letter = read(WATERMILL);

    assert_eq!(letter.dialect, Dialect::Watermill);
    assert_eq!((letter.topic.as_str(), letter.origin()), ("orders", None));
    assert_eq!(letter.handler.as_deref(), Some("charge"));
    assert_eq!(letter.message, "cannot charge 17");
}

#[test]
fn a_share_group_writes_the_common_headers_alone() {
    let letter = read(SHARE_GROUP);

    assert_eq!(letter.dialect, Dialect::ShareGroup);
    assert_eq!(place(&letter), "orders/3/41");
    assert_eq!(letter.group.as_deref(), Some("share-billing"));
    assert_eq!(letter.delivery_count, Some(5));
}

#[test]
fn ours_are_read_with_all_they_tell_whatever_others_wrote_before() {
    let ours = DeadLetter {
        topic: "order.created".into(),
        partition: 2,
        offset: 41,
        group: "workers".into(),
        delivery_count: 4,
        message: "payment 17 refused".into(),
        kind: ErrorKind::Transient,
        error_type: "Refused".into(),
        handler: "charge".into(),
        first_failed_at: Timestamp::UNIX_EPOCH,
        last_failed_at: written_at(),
        redrive_count: 3,
    };
    let spring = record(SPRING);
    let record = Record {
        headers: ours.record(&spring).headers,
        ..spring
    };

    let letter = AnyDeadLetter::read(&record).expect("a dead letter");

    assert_eq!(letter.dialect, Dialect::Longshore);
    assert_eq!(place(&letter), "order.created/2/41");
    assert_eq!(letter.kind, Some(ErrorKind::Transient));
    assert_eq!(letter.redrive_count, 3);
    assert_eq!(letter.first_failed_at, Some(Timestamp::UNIX_EPOCH));
    assert_eq!(
        Some(letter.fingerprint.as_str()),
        record.headers.get_str("longshore-fingerprint")
    );
}

#[test]
fn failures_with_the_same_cause_have_the_same_fingerprint_in_every_dialect() {
    for (dialect, name) in [
        (SPRING, "kafka_dlt-exception-message"),
        (CONNECT, "__connect.errors.exception.message"),
        (STREAMS, "__streams.errors.message"),
        (WATERMILL, "reason_poisoned"),
        (SHARE_GROUP, "__dlq.errors.message"),
    ] {
        let with = |message: &str| {
            let mut record = record(dialect);
            record.headers.replace(name, message);
            AnyDeadLetter::read(&record).expect("a letter").fingerprint
        };
        assert_eq!(with("account 17"), with("account 18"), "{name}");
        assert_ne!(with("account 17"), with("balance 17"), "{name}");
    }
    assert_ne!(read(CONNECT).fingerprint, read(STREAMS).fingerprint);
}

#[test]
fn numbers_that_make_no_sense_are_not_told() {
    for (name, value) in [
        ("kafka_dlt-original-partition", &b"12"[..]),
        ("kafka_dlt-original-partition", &[0xff, 0xff, 0xff, 0xff]),
        ("kafka_dlt-original-partition", &[1, 0, 0, 0, 0, 0, 0, 0]),
        ("kafka_dlt-original-offset", b""),
        ("kafka_dlt-original-offset", &[0x80, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        let mut headers = SPRING.to_vec();
        headers.push((name, value));
        assert_eq!(read(&headers).origin(), None, "{name}={value:?}");
    }
    // What Connect writes when it has no record.
    let mut headers = CONNECT.to_vec();
    headers.push(("__connect.errors.partition", b"-1"));
    assert_eq!(read(&headers).origin(), None);
}

#[test]
fn a_record_without_such_headers_is_no_dead_letter() {
    assert_eq!(AnyDeadLetter::read(&record(&[("ce_id", b"1")])), None);
    assert_eq!(
        AnyDeadLetter::read(&record(&[("kafka_dlt-exception-message", b"no topic")])),
        None
    );
}

proptest! {
    #[test]
    fn whatever_the_headers_hold_nothing_panics(
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 40)
    ) {
        for dialect in [SPRING, CONNECT, STREAMS, WATERMILL, SHARE_GROUP] {
            let headers: Vec<_> = dialect.iter().zip(&values).map(|((name, _), value)| (*name, value.as_slice())).collect();
            drop(AnyDeadLetter::read(&record(&headers)));
        }
    }
}
