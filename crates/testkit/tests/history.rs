//! Facts about the history checker: what is in order passes, and each thing that can go wrong is told.

use jiff::Timestamp;
use longshore_event::{
    Cause, DeadLetter, Envelope, ErrorKind, Limits, OutgoingRecord, Record, attribute, encode,
};
use longshore_testkit::history::{History, Stage, Summary, Violation, check_effects};
use longshore_testkit::memory::{Echo, MemoryLog, Note};

const STAGE: Stage<'_> = Stage {
    group: "echo-worker",
    reads: "notes",
    publishes: &["echoes", "more-echoes"],
};

fn log() -> MemoryLog {
    MemoryLog::new()
        .with_topic("notes", 1)
        .with_topic("echoes", 1)
        .with_topic("more-echoes", 1)
        .with_topic("notes.dlq", 1)
}

/// The follow-on event of a note, as the runtime makes it.
fn echo(note: &Record, ordinal: usize) -> OutgoingRecord {
    let envelope = Envelope::<Note>::decode(note.clone(), &Limits::default()).expect("a note");
    let cause = Cause {
        envelope: &envelope,
        group: STAGE.group,
        ordinal,
    };
    encode(&Echo::from(envelope.event()), &cause, Timestamp::UNIX_EPOCH)
        .expect("encodes")
        .1
}

fn dead_letter(note: &Record) -> OutgoingRecord {
    DeadLetter {
        topic: note.partition.topic.to_string(),
        partition: note.partition.partition,
        offset: note.offset.0,
        group: STAGE.group.to_owned(),
        delivery_count: 1,
        message: "no".to_owned(),
        kind: ErrorKind::Permanent,
        error_type: "Error".to_owned(),
        handler: "echo".to_owned(),
        first_failed_at: Timestamp::UNIX_EPOCH,
        last_failed_at: Timestamp::UNIX_EPOCH,
        redrive_count: 0,
    }
    .record(note)
}

fn check(log: &MemoryLog) -> Result<Summary, Vec<Violation>> {
    let topics = ["notes", "echoes", "more-echoes", "notes.dlq"];
    let records = topics.iter().flat_map(|topic| log.records(topic));
    History::new(records).check(&[STAGE])
}

/// The one violation that is found.
fn violation(log: &MemoryLog) -> Violation {
    let mut found = check(log).expect_err("something is wrong");
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn a_history_in_order_is_counted() {
    let log = log();
    let first = log.produce("1", &Note::new("a", "x"));
    log.produce("1", &Note::new("a", "x"));
    let second = log.produce("2", &Note::new("a", "y"));
    let failed = log.produce("3", &Note::new("b", "z"));
    log.append(echo(&first, 0));
    log.append(dead_letter(&failed));
    log.append(echo(&second, 0));
    log.append(echo(&second, 0));

    let summary = check(&log).expect("in order");

    let expected = Summary {
        messages: 3,
        follow_ons: 2,
        dead_letters: 1,
        repeats: 1,
    };
    assert_eq!(summary, expected);
}

#[test]
fn a_message_without_an_end_is_lost() {
    let log = log();
    let note = log.produce("1", &Note::new("a", "x"));

    let found = violation(&log);

    assert!(matches!(found, Violation::Lost { message, .. } if message == note.position()));
}

#[test]
fn a_follow_on_and_a_dead_letter_are_two_ends() {
    let log = log();
    let note = log.produce("1", &Note::new("a", "x"));
    log.append(echo(&note, 0));
    log.append(dead_letter(&note));

    assert!(matches!(violation(&log), Violation::TwoEnds { .. }));
}

#[test]
fn a_second_effect_is_an_orphan() {
    let log = log();
    let note = log.produce("1", &Note::new("a", "x"));
    log.append(echo(&note, 0));
    log.append(echo(&note, 1));

    assert!(matches!(violation(&log), Violation::Orphan { .. }));
}

#[test]
fn one_id_with_other_bytes_or_in_another_topic_has_changed() {
    for topic in ["echoes", "more-echoes"] {
        let log = log();
        let note = log.produce("1", &Note::new("a", "x"));
        log.append(echo(&note, 0));
        let mut again = echo(&note, 0);
        again.topic = topic.into();
        again.value = Some("{}".into());
        log.append(again);

        assert!(matches!(violation(&log), Violation::Changed { .. }));
    }
}

#[test]
fn a_follow_on_with_another_correlation_id_is_unconnected() {
    for name in [attribute::CORRELATION_ID, attribute::CAUSATION_ID] {
        let log = log();
        let note = log.produce("1", &Note::new("a", "x"));
        let mut follow_on = echo(&note, 0);
        follow_on.headers.replace(name, "other");
        log.append(follow_on);

        assert!(matches!(violation(&log), Violation::Unconnected { .. }));
    }
}

#[test]
fn follow_ons_of_a_key_that_swap_places_are_out_of_order() {
    let log = log();
    let first = log.produce("1", &Note::new("a", "x"));
    let second = log.produce("2", &Note::new("a", "y"));
    let other = log.produce("3", &Note::new("b", "z"));
    log.append(echo(&other, 0));
    log.append(echo(&second, 0));
    log.append(echo(&first, 0));

    let found = violation(&log);

    assert!(
        matches!(found, Violation::OutOfOrder { overtaken_by, .. } if overtaken_by == second.position())
    );
}

#[test]
fn a_dead_letter_with_another_value_or_header_is_altered() {
    let log = log();
    let note = log.produce("1", &Note::new("a", "x"));
    let mut letter = dead_letter(&note);
    letter.headers.push_str("more", "x");
    log.append(letter);

    assert!(matches!(violation(&log), Violation::Altered { .. }));
}

#[test]
fn an_effect_that_happened_twice_is_told() {
    let once = ["charge o-1", "charge o-2"].map(str::to_owned);
    let twice = ["charge o-1", "charge o-1"].map(str::to_owned);

    assert_eq!(check_effects(once), Ok(2));
    assert_eq!(
        check_effects(twice),
        Err(vec![Violation::Repeated {
            effect: "charge o-1".to_owned(),
            times: 2
        }])
    );
}
