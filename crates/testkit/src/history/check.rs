//! The check of one stage: every record that it wrote is traced back to the message that caused it.

use std::collections::{BTreeMap, HashMap, HashSet};

use longshore_event::{
    DeadLetter, Headers, Identity, Offset, Position, Record, Redrive, TopicPartition, attribute,
    dead_letter_topic, derived_id, redrive_topic,
};

use super::{History, Stage, Summary, Violation};

pub(super) struct Check<'a> {
    history: &'a History,
    stage: &'a Stage<'a>,
    summary: &'a mut Summary,
    violations: &'a mut Vec<Violation>,
    /// The messages of the stage, in the order of their first record.
    messages: Vec<Message<'a>>,
    by_position: HashMap<Position, usize>,
    /// By the id that its follow-on event must have.
    by_follow_on: HashMap<String, usize>,
}

struct Message<'a> {
    first: &'a Record,
    identity: Identity,
    /// Whether it stands in several partitions, and is handled in the order of any of them.
    scattered: bool,
    /// Whether it was sent back after its death: it may then have a second end, which has no place in the order.
    redriven: bool,
    follow_on: Option<&'a Record>,
    dead: bool,
}

/// A partition and a key within it: what is kept in order.
type Lane<'a> = (&'a TopicPartition, &'a [u8]);

impl<'a> Check<'a> {
    pub(super) fn new(
        history: &'a History,
        stage: &'a Stage<'a>,
        summary: &'a mut Summary,
        violations: &'a mut Vec<Violation>,
    ) -> Self {
        let mut check = Self {
            history,
            stage,
            summary,
            violations,
            messages: Vec::new(),
            by_position: HashMap::new(),
            by_follow_on: HashMap::new(),
        };
        check.collect();
        check
    }

    pub(super) fn run(mut self) {
        let history = self.history;
        for topic in self.stage.publishes {
            let mut latest = BTreeMap::new();
            for record in history.topic(topic) {
                if record.headers.get_str(attribute::SOURCE) == Some(self.stage.group) {
                    self.follow_on(record, &mut latest);
                }
            }
        }
        let mut buried = HashSet::new();
        for record in history.topic(&dead_letter_topic(self.stage.reads)) {
            if let Some(letter) = DeadLetter::read(&record.headers)
                && letter.group == self.stage.group
            {
                self.dead_letter(record, &letter, &mut buried);
            }
        }
        self.ends();
    }

    fn collect(&mut self) {
        let mut known: HashMap<Identity, usize> = HashMap::new();
        for record in self.history.topic(self.stage.reads) {
            let identity = identity(record);
            let index = *known.entry(identity.clone()).or_insert_with(|| {
                let follow_on = derived_id(self.stage.group, &identity, 0).to_string();
                self.by_follow_on.insert(follow_on, self.messages.len());
                self.messages.push(Message {
                    first: record,
                    identity,
                    scattered: false,
                    redriven: false,
                    follow_on: None,
                    dead: false,
                });
                self.messages.len() - 1
            });
            let message = &mut self.messages[index];
            message.scattered |= message.first.partition != record.partition;
            self.by_position.insert(record.position(), index);
        }
        for record in self.history.topic(&redrive_topic(self.stage.group)) {
            if let Some(redrive) = Redrive::read(&record.headers)
                && let Some(index) = self.by_position.get(&redrive.origin)
            {
                self.messages[*index].redriven = true;
            }
        }
    }

    fn follow_on(&mut self, record: &'a Record, latest: &mut BTreeMap<Lane<'a>, &'a Record>) {
        let id = record.headers.get_str(attribute::ID).unwrap_or_default();
        let Some(index) = self.by_follow_on.get(id) else {
            return self.orphan(record);
        };
        let message = &mut self.messages[*index];
        if let Some(first) = message.follow_on {
            self.summary.repeats += 1;
            if !same_content(first, record) {
                self.violations.push(Violation::Changed {
                    first: first.position(),
                    again: record.position(),
                });
            }
            return;
        }
        message.follow_on = Some(record);
        self.summary.follow_ons += 1;
        let (cause, unordered) = (message.first, message.scattered || message.redriven);
        let text = |name| record.headers.get_str(name);
        let correlation = cause.headers.get_str(attribute::CORRELATION_ID);
        if text(attribute::CORRELATION_ID) != Some(correlation.unwrap_or(&message.identity.id))
            || text(attribute::CAUSATION_ID) != Some(&message.identity.id)
        {
            self.violations.push(Violation::Unconnected {
                record: record.position(),
                cause: cause.position(),
            });
        }
        if !unordered {
            self.in_order(record, cause, latest);
        }
    }

    /// Follow-on events of messages that share a partition and a key stand in the order of the messages.
    fn in_order(
        &mut self,
        record: &'a Record,
        cause: &'a Record,
        latest: &mut BTreeMap<Lane<'a>, &'a Record>,
    ) {
        let Some(key) = &record.key else { return };
        let before = latest.insert((&record.partition, key), cause);
        if let Some(before) = before
            && before.partition == cause.partition
            && before.key == cause.key
            && before.offset > cause.offset
        {
            self.violations.push(Violation::OutOfOrder {
                record: record.position(),
                cause: cause.position(),
                overtaken_by: before.position(),
            });
        }
    }

    fn dead_letter(
        &mut self,
        record: &Record,
        letter: &DeadLetter,
        buried: &mut HashSet<Position>,
    ) {
        let position = Position {
            partition: TopicPartition::new(letter.topic.as_str(), letter.partition),
            offset: Offset(letter.offset),
        };
        let Some(index) = self.by_position.get(&position) else {
            return self.orphan(record);
        };
        self.messages[*index].dead = true;
        if buried.insert(position.clone()) {
            self.summary.dead_letters += 1;
        } else {
            self.summary.repeats += 1;
        }
        let topic = self.history.topic(self.stage.reads);
        let place = (letter.partition, Offset(letter.offset));
        let place = topic
            .binary_search_by_key(&place, |record| (record.partition.partition, record.offset));
        if place.is_ok_and(|place| !is_letter_of(record, &topic[place])) {
            self.violations.push(Violation::Altered {
                record: record.position(),
                cause: position,
            });
        }
    }

    fn ends(&mut self) {
        self.summary.messages += self.messages.len();
        for message in &self.messages {
            let group = self.stage.group.to_owned();
            match (message.follow_on, message.dead) {
                (Some(_), false) | (None, true) => {}
                (None, false) => self.violations.push(Violation::Lost {
                    group,
                    message: message.first.position(),
                    identity: message.identity.clone(),
                }),
                (Some(_), true) if message.redriven => {}
                (Some(_), true) => self.violations.push(Violation::TwoEnds {
                    group,
                    message: message.first.position(),
                }),
            }
        }
    }

    fn orphan(&mut self, record: &Record) {
        self.violations.push(Violation::Orphan {
            group: self.stage.group.to_owned(),
            record: record.position(),
        });
    }
}

/// Who a record is, read without decoding it: it may be no event at all.
fn identity(record: &Record) -> Identity {
    let text = |name| record.headers.get_str(name).filter(|text| !text.is_empty());
    Identity {
        source: text(attribute::SOURCE)
            .unwrap_or(&record.partition.topic)
            .into(),
        id: match text(attribute::ID) {
            Some(id) => id.into(),
            None => record.position().to_string().into(),
        },
    }
}

fn same_content(a: &Record, b: &Record) -> bool {
    a.partition.topic == b.partition.topic
        && a.key == b.key
        && a.value == b.value
        && a.headers == b.headers
}

fn is_letter_of(letter: &Record, failed: &Record) -> bool {
    letter.key == failed.key
        && letter.value == failed.value
        && without_reason(&letter.headers).eq(without_reason(&failed.headers))
}

/// The headers that a dead letter must have from the record that failed.
fn without_reason(headers: &Headers) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
    headers
        .iter()
        .filter(|(name, _)| !name.starts_with("__dlq.") && !name.starts_with("longshore-"))
}
