//! Outputs of workers that commit in transactions: a reader of committed records sees each follow-on event and each dead
//! letter once, and dead letters in the order of their key.

use std::collections::HashMap;

use longshore_event::{
    DeadLetter, Event, Offset, Position, Record, TopicPartition, attribute, dead_letter_topic,
};
use longshore_testkit::history::{self, History};

use super::copies;
use crate::evidence::Evidence;
use crate::message::{Done, Work};
use crate::producer::id;
use crate::site::topics;
use crate::violation::Violation;

/// Holds the outputs against the log. Returns the history without the further follow-on events of messages that the
/// producer sent several times, which are made anew and have other times, and how many those are.
///
/// The strategy promises one output a record: of the producer's copies it only remembers those that came lately to the
/// same process.
pub(super) fn check(evidence: &Evidence, violations: &mut Vec<Violation>) -> (History, usize) {
    let further = check_follow_ons(evidence, violations);
    check_letters(evidence, violations);
    let names = topics();
    let records = names.iter().flat_map(|topic| evidence.history.topic(topic));
    let first = records.filter(|record| !further.contains(&record.position()));
    (History::new(first.cloned()), further.len())
}

/// Finds follow-on events of which there are more than records that cause them; returns all but the first of each.
fn check_follow_ons(evidence: &Evidence, violations: &mut Vec<Violation>) -> Vec<Position> {
    let copies = copies(evidence);
    let mut seen: HashMap<&str, (&Record, usize)> = HashMap::new();
    let mut further = Vec::new();
    for record in evidence.history.topic(Done::TOPIC) {
        let (first, times) = seen
            .entry(id(&record.headers).unwrap_or_default())
            .or_insert((record, 0));
        *times += 1;
        if *times == 1 {
            continue;
        }
        let (first, again) = (*first, record.position());
        let cause = record.headers.get_str(attribute::CAUSATION_ID);
        let records = cause
            .and_then(|cause| copies.get(cause))
            .map_or(1, Vec::len);
        if *times > records {
            violations.push(Violation::OutputRepeated {
                first: first.position(),
                again: again.clone(),
            });
        } else if (&first.key, &first.value) != (&record.key, &record.value) {
            violations.push(Violation::History(history::Violation::Changed {
                first: first.position(),
                again: again.clone(),
            }));
        }
        further.push(again);
    }
    further
}

/// Each record that failed has one dead letter, and those of a key stand in the order of the records.
fn check_letters(evidence: &Evidence, violations: &mut Vec<Violation>) {
    let mut known: HashMap<(i32, i64), Position> = HashMap::new();
    let mut latest: HashMap<(&TopicPartition, i32, &[u8]), i64> = HashMap::new();
    for record in evidence.history.topic(&dead_letter_topic(Work::TOPIC)) {
        let Some(letter) = DeadLetter::read(&record.headers) else {
            continue;
        };
        let again = record.position();
        if let Some(first) = known.insert((letter.partition, letter.offset), again.clone()) {
            violations.push(Violation::OutputRepeated { first, again });
            continue;
        }
        let key = record.key.as_deref().unwrap_or_default();
        let lane = (&record.partition, letter.partition, key);
        let before = latest.insert(lane, letter.offset);
        if let Some(before) = before.filter(|before| *before > letter.offset) {
            let place = |offset| Position {
                partition: TopicPartition::new(Work::TOPIC, letter.partition),
                offset: Offset(offset),
            };
            violations.push(Violation::LetterOutOfOrder {
                message: place(letter.offset),
                overtaken_by: place(before),
            });
        }
    }
}
