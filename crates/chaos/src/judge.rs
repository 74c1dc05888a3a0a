//! The judge: holds what is left of a run against what was promised. It only reads; all its cases are tests below.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use longshore_event::{DeadLetter, Event, Record, TopicPartition, attribute, dead_letter_topic};
use longshore_testkit::history::{History, Stage, Summary};

use crate::arguments::Strategy;
use crate::evidence::{Evidence, Tables};
use crate::fleet::RUNS;
use crate::message::{Done, GROUP, Task, Work};
use crate::producer::id;
use crate::violation::{End, Violation};

mod outputs;

#[cfg(test)]
mod tests;

/// What the judge found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) summary: Option<Summary>,
    /// `None` if the workers have no database.
    pub(crate) effects: Option<usize>,
    pub(crate) violations: Vec<Violation>,
}

/// A message or what was meant as one, by the first of its records.
struct Message<'a> {
    first: &'a Record,
    /// As the inbox knows it.
    source: &'a str,
    id: String,
    expected: End,
}

pub(crate) fn judge(evidence: &Evidence, strategy: Strategy) -> Verdict {
    let mut verdict = Verdict::default();
    let messages = messages(evidence, strategy);
    check_log(evidence, &messages, &mut verdict.violations);
    if strategy.repeats_outputs() {
        check_history(&evidence.history, &mut verdict);
    } else {
        let (history, repeats) = outputs::check(evidence, &mut verdict.violations);
        check_history(&history, &mut verdict);
        if let Some(summary) = &mut verdict.summary {
            summary.repeats += repeats;
        }
    }
    check_ends(evidence, &messages, &mut verdict.violations);
    if let Some(tables) = &evidence.tables {
        verdict.effects = Some(tables.effects.len());
        check_effects(tables, &messages, &mut verdict.violations);
        check_inbox(tables, &messages, &mut verdict.violations);
        check_left_over(tables, &mut verdict.violations);
    }
    check_offsets(evidence, &mut verdict.violations);
    verdict
}

/// In the order of the log.
fn messages(evidence: &Evidence, strategy: Strategy) -> Vec<Message<'_>> {
    let mut known = BTreeSet::new();
    let records = evidence.history.topic(Work::TOPIC).iter();
    let messages = records.map(|record| Message {
        first: record,
        source: record
            .headers
            .get_str(attribute::SOURCE)
            .unwrap_or(Work::TOPIC),
        id: id(&record.headers).map_or_else(|| record.position().to_string(), str::to_owned),
        expected: expected(record, strategy),
    });
    messages
        .filter(|message| known.insert(message.id.clone()))
        .collect()
}

/// The end that a message must have: it says itself how its handling goes.
fn expected(record: &Record, strategy: Strategy) -> End {
    let value = record.value.as_deref().unwrap_or_default();
    let Ok(work) = serde_json::from_slice::<Work>(value) else {
        return End::Dead;
    };
    match work.task {
        Task::Quick | Task::Slow => End::Done,
        Task::Flaky { failures } if failures < RUNS || strategy.parks() => End::Done,
        Task::Flaky { .. } | Task::Poison => End::Dead,
    }
}

fn check_log(evidence: &Evidence, messages: &[Message<'_>], violations: &mut Vec<Violation>) {
    let records = evidence.history.topic(Work::TOPIC).iter();
    let values: BTreeSet<&[u8]> = records
        .filter_map(|record| record.value.as_deref())
        .collect();
    let ids: BTreeSet<&str> = messages.iter().map(|message| message.id.as_str()).collect();
    let sent = &evidence.sent;
    let lost_ids = sent.ids.iter().filter(|id| !ids.contains(id.as_str()));
    let lost_values = sent.unreadable.iter();
    let lost_values = lost_values.filter(|value| !values.contains(value.as_bytes()));
    let lost = lost_ids.chain(lost_values).cloned();
    violations.extend(lost.map(|what| Violation::NotInLog { what }));
}

/// Nothing lost, nothing with two ends, nothing made up, altered or out of order.
fn check_history(history: &History, verdict: &mut Verdict) {
    let stage = Stage {
        group: GROUP,
        reads: Work::TOPIC,
        publishes: &[Done::TOPIC],
    };
    match history.check(&[stage]) {
        Ok(summary) => verdict.summary = Some(summary),
        Err(found) => {
            let found = found.into_iter().map(Violation::History);
            verdict.violations.extend(found);
        }
    }
}

/// Each message has the end that it should have. One that has none, or both, was found before.
fn check_ends(evidence: &Evidence, messages: &[Message<'_>], violations: &mut Vec<Violation>) {
    let done = evidence.history.topic(Done::TOPIC).iter();
    let done: BTreeSet<&str> = done
        .filter_map(|record| record.headers.get_str(attribute::CAUSATION_ID))
        .collect();
    let letters = evidence
        .history
        .topic(&dead_letter_topic(Work::TOPIC))
        .iter();
    let letters = letters.filter_map(|record| DeadLetter::read(&record.headers));
    let dead: BTreeSet<_> = letters
        .map(|letter| (letter.partition, letter.offset))
        .collect();
    // A copy may be the one that was read first, after the partition's offsets went back.
    let copies = copies(evidence);
    for message in messages {
        let is_dead = copies[&message.id].iter().any(|place| dead.contains(place));
        let found = match (done.contains(message.id.as_str()), is_dead) {
            (true, false) => End::Done,
            (false, true) => End::Dead,
            _ => continue,
        };
        if found != message.expected {
            violations.push(Violation::WrongEnd {
                message: message.first.position(),
                expected: message.expected,
                found,
            });
        }
    }
}

/// Partition and offset of all records that are one message.
fn copies(evidence: &Evidence) -> HashMap<String, Vec<(i32, i64)>> {
    let mut copies: HashMap<String, Vec<_>> = HashMap::new();
    for record in evidence.history.topic(Work::TOPIC) {
        let id = id(&record.headers).map_or_else(|| record.position().to_string(), str::to_owned);
        let place = (record.partition.partition, record.offset.0);
        copies.entry(id).or_default().push(place);
    }
    copies
}

/// Each message that was handled took effect once, and those of a key in the order of the log.
fn check_effects(tables: &Tables, messages: &[Message<'_>], violations: &mut Vec<Violation>) {
    let by_id: HashMap<&str, &Message<'_>> = messages
        .iter()
        .filter(|message| message.expected == End::Done)
        .map(|message| (message.id.as_str(), message))
        .collect();
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    let mut latest: HashMap<(&TopicPartition, &str), &Record> = HashMap::new();
    for effect in &tables.effects {
        let Some(message) = by_id.get(effect.id.as_str()) else {
            violations.push(Violation::EffectUnknown {
                id: effect.id.clone(),
            });
            continue;
        };
        let count = times.entry(&effect.id).or_default();
        *count += 1;
        if *count > 1 {
            // Its place is that of its first effect.
            continue;
        }
        let lane = (&message.first.partition, effect.key.as_str());
        if let Some(before) = latest.insert(lane, message.first)
            && before.offset > message.first.offset
        {
            violations.push(Violation::EffectOutOfOrder {
                message: message.first.position(),
                overtaken_by: before.position(),
            });
        }
    }
    for message in messages
        .iter()
        .filter(|message| message.expected == End::Done)
    {
        let position = message.first.position();
        match times.get(message.id.as_str()) {
            Some(1) => {}
            None => violations.push(Violation::EffectMissing { message: position }),
            Some(times) => violations.push(Violation::EffectRepeated {
                message: position,
                times: *times,
            }),
        }
    }
}

/// The inbox knows every message, and nobody else.
fn check_inbox(tables: &Tables, messages: &[Message<'_>], violations: &mut Vec<Violation>) {
    let mut strangers: BTreeSet<(&str, &str)> = tables
        .inbox
        .iter()
        .map(|(source, id)| (source.as_str(), id.as_str()))
        .collect();
    for message in messages {
        if !strangers.remove(&(message.source, message.id.as_str())) {
            violations.push(Violation::NotInInbox {
                message: message.first.position(),
            });
        }
    }
    let strangers = strangers.into_iter();
    violations.extend(strangers.map(|(source, id)| Violation::InboxUnknown {
        source: source.to_owned(),
        id: id.to_owned(),
    }));
}

fn check_left_over(tables: &Tables, violations: &mut Vec<Violation>) {
    let waiting = tables.waiting;
    for (table, rows) in [("outbox", waiting.outbox), ("parked", waiting.parked)] {
        if rows > 0 {
            violations.push(Violation::LeftOver { table, rows });
        }
    }
}

fn check_offsets(evidence: &Evidence, violations: &mut Vec<Violation>) {
    for progress in &evidence.progress {
        if !progress.is_finished() {
            violations.push(Violation::OffsetNotAtEnd {
                partition: progress.partition.clone(),
                progress: progress.to_string(),
            });
        }
    }
}
