//! Holds a journal against the runtime's invariants.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use longshore_event::{
    DeadLetter, ErrorKind, Event, Identity, NextOffset, Offset, Position, Record, Redrive,
    RedriveAction, TopicPartition, attribute, redrive_topic,
};
use longshore_testkit::history::{History, Stage};
use longshore_testkit::memory::{MemoryLog, Note};
use longshore_worker::Claim;

use super::actor::{Must, must};
use super::journal::{Effect, End, Happening, Life, What};
use super::terms::ATTEMPTS;
use super::timers::Timers;
use super::world::World;
use crate::bench::GROUP;

/// What is kept in order: messages of one key, or those of a partition without a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Lane {
    Key(Bytes),
    Partition(TopicPartition),
}

#[derive(Clone, Debug)]
struct Message {
    id: String,
    lane: Lane,
    /// `None` if it cannot be decoded.
    text: Option<String>,
}

/// What is known at one moment of the history.
#[derive(Debug, Default)]
struct Check {
    /// The bounds that the workers were given.
    concurrency: usize,
    max_batch: usize,
    messages: HashMap<Position, Message>,
    by_partition: HashMap<TopicPartition, Vec<Position>>,
    /// Identities that stand in several partitions.
    scattered: HashSet<String>,
    owners: HashMap<TopicPartition, Life>,
    running: HashMap<(Life, Lane), Position>,
    /// Runs that were dropped, and when.
    cut_off: HashMap<(Life, Position), Duration>,
    /// Messages that were redriven, by where they failed.
    mended: HashSet<Position>,
    in_inbox: HashSet<String>,
    ended: HashSet<String>,
    parked: HashMap<String, u32>,
    held: HashSet<Position>,
    written: HashSet<String>,
    offsets: HashMap<TopicPartition, NextOffset>,
    latest: HashMap<(TopicPartition, Lane), Offset>,
    timers: Timers,
    problems: Vec<String>,
}

/// Everything that is wrong with a history.
pub(super) fn problems(happenings: &[Happening], world: &World) -> Vec<String> {
    let settings = &world.terms.settings;
    let mut check = Check {
        concurrency: settings.concurrency,
        max_batch: settings.max_batch,
        ..Check::default()
    };
    for happening in happenings {
        let before = check.problems.len();
        check.take(happening);
        for problem in &mut check.problems[before..] {
            *problem = format!("{problem} -- at: {happening}");
        }
    }
    check.end();
    check.letters(&world.log);
    check.topics(&world.log);
    check.problems
}

impl Check {
    fn take(&mut self, happening: &Happening) {
        let life = happening.life.unwrap_or_default();
        let now = Timestamp::UNIX_EPOCH + happening.at;
        self.problems.extend(self.timers.take(now, &happening.what));
        match &happening.what {
            What::Produced(record) => self.produced(record),
            What::Began {
                position,
                key,
                text,
                attempt,
            } => {
                self.began(life, position, key.as_ref(), text, *attempt);
            }
            What::Ended { position, how } => {
                if *how == "drops" {
                    self.cut_off.insert((life, position.clone()), happening.at);
                }
                self.running
                    .retain(|(of, _), running| *of != life || running != position);
            }
            What::Committed(effects) => {
                if effects.len() > self.max_batch {
                    let (size, most) = (effects.len(), self.max_batch);
                    self.problems
                        .push(format!("{size} messages in a transaction, not {most}"));
                }
                for effect in effects {
                    self.committed(life, effect);
                }
            }
            What::TookOver(partition) => {
                self.owners.insert(partition.clone(), life);
            }
            What::Offset(partition, next) => self.offset(partition, *next),
            What::LetGo(partition) => {
                self.cut_off_for(life, partition, happening.at);
                let left = self.running.iter().find(|((of, _), running)| {
                    // A redriven message belongs to the redrive topic, wherever it failed.
                    *of == life && running.partition == *partition && !self.mended.contains(running)
                });
                if let Some((_, running)) = left {
                    self.problems.push(format!(
                        "{running} is still being handled where its partition was let go"
                    ));
                }
            }
            What::Lost(_) | What::Claimed(..) | What::Rang(_) | What::Fault(_) | What::Note(_) => {}
        }
    }

    /// A slow handler ends by itself, and long before its time is over. One that was dropped at the very moment at which its
    /// owner let the partition go in good time was not waited for.
    fn cut_off_for(&mut self, life: Life, partition: &TopicPartition, at: Duration) {
        if self.owners.get(partition) != Some(&life) {
            return;
        }
        let slow = |position: &Position| {
            let text = self.messages.get(position)?.text.as_deref();
            text.filter(|text| text.starts_with("slow"))
        };
        let mut cut_off = self.cut_off.iter();
        let left = cut_off.find(|((of, position), when)| {
            (*of, &position.partition, **when) == (life, partition, at) && slow(position).is_some()
        });
        if let Some(((_, position), _)) = left {
            self.problems.push(format!(
                "{position} was cut off to let its partition go, though there was time"
            ));
        }
    }

    fn produced(&mut self, record: &Record) {
        let position = record.position();
        let partition = record.partition.clone();
        let note = record.value.as_deref().map(serde_json::from_slice::<Note>);
        let text = note.and_then(Result::ok).map(|note| note.text);
        // Nothing in a record that cannot be decoded is trusted to name it.
        let mut id = match &text {
            Some(_) => identity(record).id.to_string(),
            None => position.to_string(),
        };
        let mut lane = partition.clone();
        if let Some(redrive) = Redrive::read(&record.headers)
            && *partition.topic == *redrive_topic(GROUP)
        {
            let stated = record
                .headers
                .get_str(attribute::ID)
                .filter(|_| text.is_some());
            let original = stated.map_or_else(|| redrive.origin.to_string(), str::to_owned);
            id = match redrive.action {
                RedriveAction::Handle => format!("{original}~redrive-{}", redrive.count),
                RedriveAction::Discard => format!("{original}~discard-{}", record.position()),
            };
            lane = redrive.origin.partition;
        }
        let elsewhere = self
            .messages
            .iter()
            .any(|(other, message)| message.id == id && other.partition != partition);
        if elsewhere {
            self.scattered.insert(id.clone());
        }
        let message = Message {
            id,
            lane: record.key.clone().map_or(Lane::Partition(lane), Lane::Key),
            text,
        };
        self.messages.insert(position.clone(), message);
        self.by_partition
            .entry(partition)
            .or_default()
            .push(position);
    }

    fn began(
        &mut self,
        life: Life,
        position: &Position,
        key: Option<&Bytes>,
        text: &str,
        attempt: u32,
    ) {
        let lane = key.map_or_else(
            || Lane::Partition(position.partition.clone()),
            |key| Lane::Key(key.clone()),
        );
        if let Some(other) = self.running.insert((life, lane.clone()), position.clone()) {
            self.problems
                .push(format!("{position} is handled while {other} of its key is"));
        }
        let at_once = self.running.keys().filter(|(of, _)| *of == life).count();
        if at_once > self.concurrency {
            self.problems.push(format!(
                "{at_once} handlers run at once, not {}",
                self.concurrency
            ));
        }
        // A redriven message stands where it failed, and what a former owner still does takes no effect.
        if text.starts_with("mended") {
            self.mended.insert(position.clone());
        }
        if text.starts_with("mended") || self.owners.get(&position.partition) != Some(&life) {
            return;
        }
        let Some(id) = self
            .messages
            .get(position)
            .map(|message| message.id.clone())
        else {
            return self.problems.push(format!("{position} was never produced"));
        };
        let parked = self
            .parked
            .get(&id)
            .filter(|_| !self.scattered.contains(&id));
        if let Some(earlier) = parked.filter(|earlier| attempt <= **earlier) {
            self.problems.push(format!(
                "{position} had {earlier} attempts, and the next is {attempt}"
            ));
        }
        if let Some(before) = self.unfinished_before(position, &lane) {
            self.problems.push(format!(
                "{position} is handled before {before}, which came first"
            ));
        }
    }

    /// An earlier message of the lane that must come to its end first.
    fn unfinished_before(&self, position: &Position, lane: &Lane) -> Option<Position> {
        let earlier = self.by_partition.get(&position.partition)?.iter();
        let mut earlier = earlier.take_while(|earlier| earlier.offset < position.offset);
        earlier
            .find(|earlier| {
                let message = &self.messages[*earlier];
                // A copy elsewhere may be the one that takes effect, in the order of its own partition.
                let copied =
                    self.scattered.contains(&message.id) && self.in_inbox.contains(&message.id);
                let open =
                    !(copied || self.ended.contains(&message.id)) || self.held.contains(*earlier);
                message.lane == *lane && open
            })
            .cloned()
    }

    fn committed(&mut self, life: Life, effect: &Effect) {
        let position = &effect.position;
        if self.owners.get(&position.partition) != Some(&life) {
            self.problems.push(format!(
                "#{life} commits {position}, whose partition is another's"
            ));
        }
        let Some(message) = self.messages.get(position).cloned() else {
            return self.problems.push(format!("{position} was never produced"));
        };
        if message.id != effect.id {
            self.problems.push(format!(
                "{position} is {} and takes effect as {}",
                message.id, effect.id
            ));
        }
        if effect.claim != Claim::Parked && !self.in_inbox.insert(effect.id.clone()) {
            self.problems
                .push(format!("{position} passes the inbox twice"));
        }
        for write in &effect.writes {
            if !self.written.insert(write.clone()) {
                self.problems.push(format!("{write} is written twice"));
            }
        }
        if let Some(origin) = &effect.releases {
            self.held.remove(origin);
        }
        match &effect.end {
            End::Parked { attempts } => drop(self.parked.insert(effect.id.clone(), *attempts)),
            End::Done => self.ended(position, &message, Must::Done),
            End::Dead { held } => {
                self.ended(position, &message, Must::Die);
                if *held {
                    self.held.insert(position.clone());
                }
            }
        }
    }

    fn ended(&mut self, position: &Position, message: &Message, how: Must) {
        self.parked.remove(&message.id);
        if !self.ended.insert(message.id.clone()) {
            self.problems.push(format!("{position} has two ends"));
        }
        let text = message.text.as_deref();
        if text.map_or(Must::Die, must) != how {
            self.problems.push(format!(
                "{position} `{}` must not end so: {how:?}",
                text.unwrap_or("?")
            ));
        }
        if *position.partition.topic == *redrive_topic(GROUP) {
            return;
        }
        if let Some(before) = self.unfinished_before(position, &message.lane) {
            self.problems.push(format!(
                "{position} takes effect before {before}, which came first"
            ));
        }
        let lane = (position.partition.clone(), message.lane.clone());
        let before = self.latest.insert(lane, position.offset);
        if let Some(before) = before.filter(|before| *before > position.offset) {
            self.problems
                .push(format!("{position} takes effect after {before} of its key"));
        }
    }

    fn offset(&mut self, partition: &TopicPartition, next: NextOffset) {
        let before = self.offsets.insert(partition.clone(), next);
        if before.is_some_and(|before| before > next) {
            self.problems
                .push(format!("the offset of {partition} goes back"));
        }
        let below = self.by_partition.get(partition).into_iter().flatten();
        let below = below.filter(|position| position.offset.next() <= next);
        for position in below {
            if !self.in_inbox.contains(&self.messages[position].id) {
                self.problems.push(format!(
                    "the offset of {partition} is past {position}, which is not finished"
                ));
            }
        }
    }

    fn end(&mut self) {
        self.problems.extend(self.timers.end());
        for (position, message) in &self.messages {
            if !self.ended.contains(&message.id) {
                self.problems.push(format!("{position} has no end"));
            }
        }
    }

    /// Dead letters: of transient failures only after every attempt.
    fn letters(&mut self, log: &MemoryLog) {
        for record in log.records("notes.dlq") {
            let Some(letter) = DeadLetter::read(&record.headers) else {
                self.problems
                    .push(format!("{} is no dead letter", record.position()));
                continue;
            };
            if letter.kind == ErrorKind::Transient && letter.delivery_count < ATTEMPTS {
                self.problems.push(format!(
                    "{}/{} died after {} attempts",
                    letter.topic, letter.offset, letter.delivery_count
                ));
            }
        }
    }

    /// What stands in the topics: follow-on events and dead letters, traced back to their causes.
    fn topics(&mut self, log: &MemoryLog) {
        let redrives = redrive_topic(GROUP);
        let topics = [Note::TOPIC, "notes.dlq", "echoes", &redrives];
        let history = History::new(topics.iter().flat_map(|topic| log.records(topic)));
        let stage = Stage {
            group: GROUP,
            reads: Note::TOPIC,
            publishes: &["echoes"],
        };
        if let Err(violations) = history.check(&[stage]) {
            self.problems
                .extend(violations.iter().map(|violation| format!("{violation:?}")));
        }
    }
}

/// Who a record is, read without decoding it.
fn identity(record: &Record) -> Identity {
    let text = |name| record.headers.get_str(name);
    Identity {
        source: text(attribute::SOURCE)
            .unwrap_or(&record.partition.topic)
            .into(),
        id: text(attribute::ID).map_or_else(|| record.position().to_string().into(), Into::into),
    }
}
