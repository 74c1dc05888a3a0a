//! Every promise that the judge knows, broken once.

use bytes::Bytes;
use jiff::Timestamp;
use longshore_event::{
    ErrorKind, Headers, Identity, NextOffset, Offset, OutgoingRecord, Position, derived_id,
    encode_new,
};
use longshore_testkit::history::{self, History};

use super::*;
use crate::evidence::Effect;
use crate::producer::Ledger;
use crate::settle::{Progress, Waiting};

const SOURCE: &str = "producer";

/// A run in good order: two messages of one key, one of another, one that is poison, one that is no message.
struct Run {
    sent: Ledger,
    records: Vec<Record>,
    tables: Tables,
    progress: Vec<Progress>,
}

impl Run {
    fn in_order() -> Self {
        let mut run = Self {
            sent: Ledger::default(),
            records: Vec::new(),
            tables: Tables::default(),
            progress: Vec::new(),
        };
        run.handled("m-1", "a", Task::Quick);
        run.handled("m-2", "a", Task::Flaky { failures: RUNS - 1 });
        run.handled("m-3", "b", Task::Slow);
        let poison = run.produced("m-4", "a", Task::Poison);
        run.buried(&poison);
        run.sent.unreadable.insert("no event".into());
        let unreadable = run.append(OutgoingRecord {
            topic: Work::TOPIC.into(),
            key: Some("a".into()),
            value: Some("no event".into()),
            headers: Headers::new(),
        });
        run.buried(&unreadable);
        run.progress = vec![Progress {
            partition: TopicPartition::new(Work::TOPIC, 0),
            committed: Some(NextOffset(5)),
            end: NextOffset(5),
        }];
        run
    }

    fn produced(&mut self, name: &str, key: &str, task: Task) -> Record {
        self.sent.ids.insert(name.into());
        let work = Work {
            key: key.into(),
            sequence: 1,
            task,
        };
        let record = encode_new(&work, &identity(name), None, Timestamp::UNIX_EPOCH);
        self.append(record.expect("serialises"))
    }

    fn handled(&mut self, name: &str, key: &str, task: Task) {
        self.produced(name, key, task);
        self.took_effect(name, key);
        self.tables.inbox.insert((SOURCE.into(), name.into()));
        self.told(name, key);
    }

    fn took_effect(&mut self, name: &str, key: &str) {
        self.tables.effects.push(Effect {
            id: name.into(),
            key: key.into(),
            instance: "w".into(),
        });
    }

    fn told(&mut self, name: &str, key: &str) {
        let done = Done {
            key: key.into(),
            sequence: 1,
        };
        let id = Identity {
            source: GROUP.into(),
            id: derived_id(GROUP, &identity(name), 0).to_string().into(),
        };
        let record = encode_new(&done, &id, Some(name), Timestamp::UNIX_EPOCH);
        let mut record = record.expect("serialises");
        record.headers.push_str(attribute::CAUSATION_ID, name);
        self.append(record);
    }

    fn buried(&mut self, record: &Record) {
        let name = id(&record.headers).map(str::to_owned);
        let source = name.as_ref().map_or(Work::TOPIC, |_| SOURCE).to_owned();
        let name = name.unwrap_or_else(|| record.position().to_string());
        self.tables.inbox.insert((source, name));
        let letter = DeadLetter {
            topic: Work::TOPIC.into(),
            partition: 0,
            offset: record.offset.0,
            group: GROUP.into(),
            delivery_count: 1,
            message: "never".into(),
            kind: ErrorKind::Permanent,
            error_type: "Error".into(),
            handler: "obedient".into(),
            first_failed_at: Timestamp::UNIX_EPOCH,
            last_failed_at: Timestamp::UNIX_EPOCH,
            redrive_count: 0,
        };
        self.append(letter.record(record));
    }

    /// Puts a record behind the others of its topic.
    fn append(&mut self, record: OutgoingRecord) -> Record {
        let same = self
            .records
            .iter()
            .filter(|other| other.partition.topic == record.topic);
        let record = Record {
            offset: Offset(same.count() as i64),
            partition: TopicPartition::new(record.topic, 0),
            timestamp: None,
            key: record.key,
            value: record.value.map(|value| Bytes::copy_from_slice(&value)),
            headers: record.headers,
        };
        self.records.push(record.clone());
        record
    }

    /// Takes a follow-on event or dead letter back out.
    fn without_output(&mut self, topic: &str, offset: i64) {
        self.records
            .retain(|record| &*record.partition.topic != topic || record.offset != Offset(offset));
    }

    fn violations(self) -> Vec<Violation> {
        let evidence = Evidence {
            sent: self.sent,
            history: History::new(self.records),
            aborted: None,
            tables: Some(self.tables),
            progress: self.progress,
        };
        judge(&evidence, Strategy::Store).violations
    }

    /// The same run of workers that commit in transactions, with no database.
    fn in_transactions(self) -> Vec<Violation> {
        let evidence = Evidence {
            sent: self.sent,
            history: History::new(self.records),
            aborted: Some(0),
            tables: None,
            progress: self.progress,
        };
        judge(&evidence, Strategy::Transaction).violations
    }
}

fn identity(name: &str) -> Identity {
    Identity {
        source: SOURCE.into(),
        id: name.into(),
    }
}

fn at(offset: i64) -> Position {
    output(Work::TOPIC, offset)
}

fn output(topic: &str, offset: i64) -> Position {
    Position {
        partition: TopicPartition::new(topic, 0),
        offset: Offset(offset),
    }
}

#[test]
fn a_run_in_good_order_has_no_violations() {
    assert_eq!(Run::in_order().violations(), []);
}

#[test]
fn a_message_that_was_acknowledged_and_is_not_there_is_found() {
    let mut run = Run::in_order();
    run.sent.ids.insert("m-9".into());
    let what = "m-9".into();
    assert_eq!(run.violations(), [Violation::NotInLog { what }]);
}

#[test]
fn a_message_without_an_end_is_lost() {
    let mut run = Run::in_order();
    run.without_output(Done::TOPIC, 1);
    let lost = history::Violation::Lost {
        group: GROUP.into(),
        message: at(1),
        identity: identity("m-2"),
    };
    assert_eq!(run.violations(), [Violation::History(lost)]);
}

#[test]
fn a_message_that_is_done_and_dead_has_two_ends() {
    let mut run = Run::in_order();
    let first = run.records[0].clone();
    run.buried(&first);
    let two = history::Violation::TwoEnds {
        group: GROUP.into(),
        message: at(0),
    };
    assert_eq!(run.violations(), [Violation::History(two)]);
}

#[test]
fn a_message_that_should_be_done_and_is_dead_is_found() {
    let mut run = Run::in_order();
    let quick = run.produced("m-5", "c", Task::Quick);
    run.buried(&quick);
    run.progress.clear();
    assert_eq!(
        run.violations(),
        [
            Violation::WrongEnd {
                message: at(5),
                expected: End::Done,
                found: End::Dead,
            },
            Violation::EffectMissing { message: at(5) },
        ]
    );
}

#[test]
fn a_second_effect_is_found() {
    let mut run = Run::in_order();
    run.took_effect("m-1", "a");
    let message = at(0);
    assert_eq!(
        run.violations(),
        [Violation::EffectRepeated { message, times: 2 }]
    );
}

#[test]
fn an_effect_of_a_dead_message_is_found() {
    let mut run = Run::in_order();
    run.took_effect("m-4", "a");
    let id = "m-4".into();
    assert_eq!(run.violations(), [Violation::EffectUnknown { id }]);
}

#[test]
fn an_effect_that_overtook_another_of_its_key_is_found() {
    let mut run = Run::in_order();
    run.tables.effects.swap(0, 1);
    assert_eq!(
        run.violations(),
        [Violation::EffectOutOfOrder {
            message: at(0),
            overtaken_by: at(1),
        }]
    );
}

#[test]
fn effects_of_different_keys_may_come_in_any_order() {
    let mut run = Run::in_order();
    run.tables.effects.rotate_right(1);
    assert_eq!(run.violations(), []);
}

#[test]
fn a_message_that_the_inbox_does_not_know_is_found_and_so_is_a_stranger() {
    let mut run = Run::in_order();
    run.tables.inbox.remove(&(SOURCE.into(), "m-3".into()));
    run.tables.inbox.insert((SOURCE.into(), "m-0".into()));
    assert_eq!(
        run.violations(),
        [
            Violation::NotInInbox { message: at(2) },
            Violation::InboxUnknown {
                source: SOURCE.into(),
                id: "m-0".into(),
            },
        ]
    );
}

#[test]
fn rows_that_are_left_over_are_found() {
    let mut run = Run::in_order();
    run.tables.waiting = Waiting {
        outbox: 1,
        parked: 2,
    };
    let left = |table, rows| Violation::LeftOver { table, rows };
    assert_eq!(run.violations(), [left("outbox", 1), left("parked", 2)]);
}

#[test]
fn a_partition_that_is_not_committed_to_its_end_is_found() {
    for committed in [None, Some(NextOffset(4)), Some(NextOffset(6))] {
        let mut run = Run::in_order();
        run.progress[0].committed = committed;
        assert_eq!(run.violations().len(), 1, "{committed:?}");
    }
}

#[test]
fn a_copy_in_the_log_is_the_same_message() {
    let mut run = Run::in_order();
    run.produced("m-1", "a", Task::Quick);
    let poison = run.produced("m-4", "a", Task::Poison);
    // The second copy may be the one that was read first.
    run.without_output(&dead_letter_topic(Work::TOPIC), 0);
    run.buried(&poison);
    assert_eq!(run.violations(), []);
}

#[test]
fn a_follow_on_event_that_stands_there_twice_is_a_violation_only_where_readers_see_each_once() {
    let run = || {
        let mut run = Run::in_order();
        run.told("m-3", "b");
        run
    };
    assert_eq!(run().violations(), []);
    let (first, again) = (output(Done::TOPIC, 2), output(Done::TOPIC, 3));
    assert_eq!(
        run().in_transactions(),
        [Violation::OutputRepeated { first, again }]
    );
}

#[test]
fn a_dead_letter_that_stands_there_twice_is_a_violation_only_where_readers_see_each_once() {
    let run = || {
        let mut run = Run::in_order();
        let poison = run.records[6].clone();
        run.buried(&poison);
        run
    };
    assert_eq!(run().violations(), []);
    let dead = dead_letter_topic(Work::TOPIC);
    let (first, again) = (output(&dead, 0), output(&dead, 2));
    assert_eq!(
        run().in_transactions(),
        [Violation::OutputRepeated { first, again }]
    );
}

#[test]
fn a_run_in_transactions_in_good_order_has_no_violations() {
    assert_eq!(Run::in_order().in_transactions(), []);
}

#[test]
fn without_parking_a_message_that_outlasts_its_runs_is_dead() {
    let outlasts = Task::Flaky { failures: RUNS };
    let mut run = Run::in_order();
    let message = run.produced("m-5", "c", outlasts);
    run.buried(&message);
    run.progress.clear();
    assert_eq!(run.in_transactions(), []);

    let mut run = Run::in_order();
    run.handled("m-5", "c", outlasts);
    run.progress.clear();
    assert_eq!(
        run.in_transactions(),
        [Violation::WrongEnd {
            message: at(5),
            expected: End::Dead,
            found: End::Done,
        }]
    );
}

#[test]
fn a_transaction_whose_output_is_missing_or_doubled_in_kind_is_found() {
    let mut run = Run::in_order();
    run.without_output(Done::TOPIC, 1);
    let lost = history::Violation::Lost {
        group: GROUP.into(),
        message: at(1),
        identity: identity("m-2"),
    };
    assert_eq!(run.in_transactions(), [Violation::History(lost)]);

    let mut run = Run::in_order();
    run.without_output(&dead_letter_topic(Work::TOPIC), 1);
    assert_eq!(run.in_transactions().len(), 1);

    let mut run = Run::in_order();
    let first = run.records[0].clone();
    run.buried(&first);
    let violations = run.in_transactions();
    let group = GROUP.into();
    let message = at(0);
    let two = Violation::History(history::Violation::TwoEnds { group, message });
    assert!(violations.contains(&two), "{violations:?}");
}

#[test]
fn a_message_that_was_sent_twice_may_have_two_outputs_and_no_more() {
    let run = |outputs| {
        let mut run = Run::in_order();
        run.produced("m-1", "a", Task::Quick);
        run.progress.clear();
        // The first is there already.
        for _ in 1..outputs {
            run.told("m-1", "a");
        }
        run.in_transactions()
    };
    assert_eq!(run(1), []);
    assert_eq!(run(2), []);
    let (first, again) = (output(Done::TOPIC, 0), output(Done::TOPIC, 4));
    assert_eq!(run(3), [Violation::OutputRepeated { first, again }]);
}

#[test]
fn a_second_output_of_a_message_that_was_sent_twice_has_to_say_the_same() {
    let mut run = Run::in_order();
    run.produced("m-1", "a", Task::Quick);
    run.progress.clear();
    run.told("m-1", "b");
    let changed = history::Violation::Changed {
        first: output(Done::TOPIC, 0),
        again: output(Done::TOPIC, 3),
    };
    assert_eq!(run.in_transactions(), [Violation::History(changed)]);
}

#[test]
fn an_output_that_overtook_another_of_its_key_is_found() {
    let mut run = Run::in_order();
    run.without_output(Done::TOPIC, 0);
    run.told("m-1", "a");
    // It took the place of the last of three.
    let last = run.records.last_mut().expect("just told");
    last.offset = Offset(3);
    let violations = run.in_transactions();
    assert!(
        matches!(
            &violations[..],
            [Violation::History(history::Violation::OutOfOrder { cause, overtaken_by, .. })]
                if (cause, overtaken_by) == (&at(0), &at(1))
        ),
        "{violations:?}"
    );
}

#[test]
fn dead_letters_of_a_key_that_changed_places_are_found_in_transactions() {
    let mut run = Run::in_order();
    let dead = dead_letter_topic(Work::TOPIC);
    let letters = run.records.iter_mut();
    for letter in letters.filter(|record| *record.partition.topic == *dead) {
        letter.offset = Offset(1 - letter.offset.0);
    }
    assert_eq!(
        run.in_transactions(),
        [Violation::LetterOutOfOrder {
            message: at(3),
            overtaken_by: at(4),
        }]
    );
}

#[test]
fn in_transactions_too_a_partition_has_to_be_committed_to_its_end() {
    let mut run = Run::in_order();
    run.progress[0].committed = Some(NextOffset(4));
    assert_eq!(run.in_transactions().len(), 1);
}
