//! One history: a group of workers, what is produced, what befalls them, and how all is mended in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use longshore_event::{
    DeadLetter, Event, Headers, Offset, OutgoingRecord, Position, Record, Redrive, RedriveAction,
    TopicPartition, attribute, redrive_topic,
};
use longshore_testkit::memory::{MemoryGroup, MemoryLog, MemoryPublisher, MemoryStore, Note};
use longshore_worker::{ParkedState, PublishErrorKind};
use tokio::time::sleep;

use super::actor::{KINDS, Ring};
use super::cluster::Cluster;
use super::instance::Instance;
use super::journal::{Journal, Life, What};
use super::line::{Line, Moment};
use super::ports::{SimPublisher, SimStore};
use super::terms::Terms;
use crate::bench::GROUP;

/// What workers publish to.
const TOPICS: [&str; 3] = ["echoes", "notes.dlq", Ring::TOPIC];

/// Longer than mended workers take, in tokio's time.
const MENDED_BY: Duration = Duration::from_secs(3_600);

pub(super) struct World {
    pub(super) terms: Terms,
    pub(super) log: MemoryLog,
    pub(super) store: MemoryStore,
    pub(super) journal: Journal,
    group: MemoryGroup,
    publisher: MemoryPublisher,
    lost_answers: Arc<AtomicUsize>,
    cluster: Cluster,
    lives: Life,
    produced: usize,
    outgoing: Vec<OutgoingRecord>,
    redriven: Vec<Position>,
    discarded: Vec<Position>,
    random: fastrand::Rng,
}

impl World {
    pub(super) fn new(mut random: fastrand::Rng) -> Self {
        let terms = Terms::draw(&mut random);
        let redrives = redrive_topic(GROUP);
        let log = MemoryLog::new()
            .with_topic(Note::TOPIC, terms.partitions)
            .with_topic("notes.dlq", 1)
            .with_topic("echoes", 1)
            .with_topic(Ring::TOPIC, 2)
            .with_topic(&redrives, 1);
        let store = MemoryStore::new();
        store.reject_statement("bad write");
        let journal = Journal::new();
        let group = MemoryGroup::new(&log);
        let witness = journal.clone();
        group.witness(move |partition, next| {
            witness.write(None, What::Offset(partition.clone(), next));
        });
        let witness = journal.clone();
        log.witness(move |record| {
            if *record.partition.topic == *Ring::TOPIC {
                let id = record.headers.get_str(attribute::ID).unwrap_or_default();
                let id = id.parse().expect("the id of a timer's event is a UUID");
                witness.write(None, What::Rang(id));
            }
        });
        let mut partitions = log.partitions(Note::TOPIC);
        partitions.extend(log.partitions(&redrives));
        Self {
            publisher: MemoryPublisher::new(&log),
            cluster: Cluster::new(partitions, &journal),
            lost_answers: Arc::default(),
            lives: 0,
            produced: 0,
            outgoing: Vec::new(),
            redriven: Vec::new(),
            discarded: Vec::new(),
            terms,
            log,
            store,
            journal,
            group,
            random,
        }
    }

    /// Lives through it.
    ///
    /// # Errors
    /// What did not come to its end though all causes were mended.
    pub(super) async fn live(&mut self) -> Result<(), String> {
        let early = self.random.usize(..=self.terms.messages);
        self.produce(early);
        for _ in 0..self.terms.instances {
            self.start_instance();
        }
        self.cluster.assign_free(&mut self.random);
        for _ in 0..self.terms.events {
            sleep(Duration::from_millis(self.random.u64(..700))).await;
            self.befall();
            if self.random.bool() {
                self.cluster.reap().await;
                self.cluster.assign_free(&mut self.random);
            }
        }
        self.mend().await;
        let drained = self.drain().await;
        for one in &mut self.cluster.instances {
            one.ask_to_stop();
        }
        while !self.cluster.instances.is_empty() {
            sleep(Duration::from_millis(20)).await;
            self.cluster.reap().await;
        }
        drained?;
        match self.cluster.complaints.first() {
            Some(complaint) => Err(complaint.clone()),
            None => Ok(()),
        }
    }

    fn start_instance(&mut self) {
        self.lives += 1;
        let line = Line::new(self.lives, &self.journal, self.terms.slowest_call);
        let settings = self.terms.settings.clone();
        let batch = [1, 3, 100][self.random.usize(..3)];
        let source = self
            .group
            .join(settings.max_in_flight)
            .batch(batch)
            .drain(settings.drain)
            .redrives(&settings.redrive_topic);
        let store = SimStore {
            store: self.store.clone(),
            line: line.clone(),
            lost_answers: self.lost_answers.clone(),
        };
        let publisher = SimPublisher {
            publisher: self.publisher.clone(),
            line,
        };
        self.cluster
            .instances
            .push(Instance::start(settings, source, store, publisher));
    }

    /// Produces notes of all kinds, some without a key, without headers or without sense, some that pretend to be redriven,
    /// and some once more.
    fn produce(&mut self, count: usize) {
        for _ in 0..count {
            self.produced += 1;
            let number = self.produced;
            let kind = match self.random.usize(..100) < self.terms.trouble {
                true => KINDS[self.random.usize(..KINDS.len())],
                false => "plain",
            };
            let key = format!("k-{}", self.random.usize(..self.terms.keys));
            let text = match kind {
                "set" | "later" => format!("{kind} {} {}", self.random.usize(..6_000), self.name()),
                "cancel" => format!("{kind} {}", self.name()),
                _ => kind.to_owned(),
            };
            let note = Note::new(&key, &format!("{text} {number}"));
            let mut record = note.outgoing(&format!("n-{number}"));
            match self.random.usize(..13) {
                0 if !self.outgoing.is_empty() => {
                    record = self.outgoing[self.random.usize(..self.outgoing.len())].clone();
                }
                1 => record.key = None,
                2 => record.headers = Default::default(),
                3 if kind == "poison" => record.value = Some("{".into()),
                4 => record.headers = forged(&record),
                _ => {}
            }
            if !record.headers.is_empty() {
                self.outgoing.push(record.clone());
            }
            let appended = match self.random.usize(..20) {
                0 => self
                    .log
                    .append_to(self.random.i32(0..self.terms.partitions), record),
                _ => self.log.append(record),
            };
            self.journal
                .write(None, What::Produced(appended.expect("the topic exists")));
        }
    }

    /// The name of a timer; the fewer there are, the more often one is replaced or cancelled.
    fn name(&mut self) -> &'static str {
        ["a", "b"][self.random.usize(..2)]
    }

    /// One thing happens.
    fn befall(&mut self) {
        let many = self.cluster.instances.len();
        let one = (many > 0).then(|| self.random.usize(..many));
        let n = self.random.usize(1..8);
        match (self.random.usize(..22), one) {
            (0 | 1, _) => self.produce(n.min(self.terms.messages.saturating_sub(self.produced))),
            (2..=4, _) => self.cluster.start_move(&mut self.random),
            (5, Some(one)) if self.cluster.instances[one].is_well() => self.cluster.lose(one),
            (6..=8, Some(one)) if self.cluster.instances[one].is_well() => {
                let stopped = self.random.bool();
                self.cluster.give_up(one, stopped);
            }
            (9 | 10, Some(one)) => self.cluster.come_back(one),
            (11..=13, Some(one)) => {
                let moment = [Moment::Before, Moment::After][self.random.usize(..2)];
                self.cluster.instances[one]
                    .line
                    .crash_in_call(self.random.u64(1..25), moment);
            }
            (14, Some(one)) => {
                let line = &self.cluster.instances[one].line;
                self.journal.fault(Some(line.life), "is killed");
                line.become_(super::line::Condition::Dead);
            }
            (15, Some(one)) if self.cluster.instances[one].is_well() => {
                self.cluster.instances[one].ask_to_stop();
            }
            (16, _) if many < 3 => self.start_instance(),
            (17, _) => self.spoil_store(n),
            (18, _) => self.spoil_brokers(),
            (19, _) => {
                self.journal.note(None, "store and brokers work again");
                self.clear_faults();
            }
            (20, _) => {
                self.journal
                    .fault(None, format!("the answers of {n} commits will be lost"));
                self.lost_answers.store(n, Ordering::Relaxed);
            }
            (21, _) => self.redrive(1),
            _ => {}
        }
    }

    fn spoil_store(&mut self, n: usize) {
        match self.random.usize(..3) {
            0 => {
                self.journal
                    .fault(None, format!("{n} calls of the store will fail"));
                self.store.fail_calls(n);
            }
            1 => {
                self.journal.fault(None, "the store is down");
                self.store.unavailable();
            }
            _ => {
                self.journal.fault(None, "the store hangs");
                self.store.stall();
            }
        }
    }

    fn spoil_brokers(&mut self) {
        match self.random.usize(..5) {
            0 => {
                self.journal.fault(None, "the brokers take no records");
                self.publisher.unavailable();
            }
            1 => {
                self.journal.fault(None, "the brokers acknowledge nothing");
                self.publisher.lose_acknowledgements();
            }
            missing => {
                let topic = TOPICS[missing - 2];
                self.journal
                    .fault(None, format!("topic {topic} is missing"));
                self.publisher
                    .refuse_topic(topic, PublishErrorKind::UnknownTopic);
            }
        }
    }

    fn clear_faults(&mut self) {
        self.store.fail_calls(0);
        self.store.available();
        self.lost_answers.store(0, Ordering::Relaxed);
        self.publisher.available();
        for topic in TOPICS {
            self.publisher.accept_topic(topic);
        }
    }

    /// Discards what still holds its key after its redrive: one that was a copy of another, which was skipped.
    fn discard(&mut self) {
        for row in self.store.parked_rows() {
            let origin = row.record.position();
            if row.state != ParkedState::Held || self.discarded.contains(&origin) {
                continue;
            }
            self.discarded.push(origin.clone());
            let redrive = Redrive {
                count: 1,
                action: RedriveAction::Discard,
                run: "run".into(),
                of: None,
                origin,
            };
            let mut record = redrive.record(GROUP, &row.record);
            let note = Note::new("k-0", &format!("mended {}", redrive.origin));
            record.value = Some(serde_json::to_vec(&note).expect("a note serialises").into());
            let appended = self.log.append(record).expect("the topic exists");
            self.journal.write(None, What::Produced(appended));
        }
    }

    /// Sends dead letters back that were not before, at most `most`: mended or to be discarded, some of them twice.
    fn redrive(&mut self, most: usize) {
        let mut left = most;
        for letter in self.log.records("notes.dlq") {
            let Some(read) = DeadLetter::read(&letter.headers) else {
                continue;
            };
            let origin = Position {
                partition: TopicPartition::new(read.topic.as_str(), read.partition),
                offset: Offset(read.offset),
            };
            if left == 0 || read.redrive_count > 0 || self.redriven.contains(&origin) {
                continue;
            }
            left -= 1;
            self.redriven.push(origin.clone());
            let discard = self.random.usize(..4) == 0;
            let redrive = Redrive {
                count: 1,
                action: if discard {
                    RedriveAction::Discard
                } else {
                    RedriveAction::Handle
                },
                run: "run".into(),
                of: Some(letter.position()),
                origin: origin.clone(),
            };
            let mut record = redrive.record(GROUP, &letter);
            let note = serde_json::to_vec(&Note::new("k-0", &format!("mended {origin}")));
            record.value = Some(note.expect("a note serialises").into());
            for _ in 0..self.random.usize(1..3) {
                let appended = self.log.append(record.clone()).expect("the topic exists");
                self.journal.write(None, What::Produced(appended));
            }
        }
    }

    /// All causes of trouble are gone.
    async fn mend(&mut self) {
        self.journal.note(None, "everything is mended");
        self.clear_faults();
        self.produce(self.terms.messages.saturating_sub(self.produced));
        for index in 0..self.cluster.instances.len() {
            self.cluster.come_back(index);
            self.cluster.instances[index].line.spare();
        }
        self.cluster.finish_moves().await;
        self.cluster.reap().await;
        self.start_instance();
        self.cluster.assign_free(&mut self.random);
    }

    /// Waits until nothing is left to do.
    async fn drain(&mut self) -> Result<(), String> {
        let deadline = tokio::time::Instant::now() + MENDED_BY;
        let mut pause = Duration::from_millis(20);
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
            self.cluster.reap().await;
            if self.cluster.instances.is_empty() {
                self.start_instance();
            }
            self.cluster.assign_free(&mut self.random);
            if self.terms.is_strict() {
                self.redrive(usize::MAX);
            }
            if pause >= Duration::from_secs(2) {
                self.discard();
            }
            let Some(left) = self.left() else {
                return Ok(());
            };
            if tokio::time::Instant::now() > deadline {
                return Err(format!("never drained: {left}"));
            }
        }
    }

    /// What is not finished yet, in words.
    fn left(&self) -> Option<String> {
        let mut partitions = self.log.partitions(Note::TOPIC);
        partitions.extend(self.log.partitions(&redrive_topic(GROUP)));
        for partition in partitions {
            let (end, next) = (self.log.end(&partition), self.group.committed(&partition));
            if end.0 > next.map_or(0, |next| next.0) {
                return Some(format!(
                    "{partition} is committed up to {next:?} of {}",
                    end.0
                ));
            }
        }
        let (parked, outbox) = (self.store.parked_rows(), self.store.outbox_rows());
        let parked = parked.iter().map(|row| row.position.to_string());
        let outbox = outbox.iter().map(|row| row.id.to_string());
        let timers = self.store.timers();
        let timers = timers.iter().map(|timer| timer.row.id.to_string());
        let left: Vec<String> = parked.chain(outbox).chain(timers).collect();
        (!left.is_empty()).then(|| format!("in the store: {}", left.join(" ")))
    }
}

/// The headers of a record that wants to be taken for the discarding redrive of another.
fn forged(record: &OutgoingRecord) -> Headers {
    let origin = Position {
        partition: TopicPartition::new("notes", 0),
        offset: Offset(0),
    };
    let redrive = Redrive {
        count: 1,
        action: RedriveAction::Discard,
        run: "forged".into(),
        of: None,
        origin: origin.clone(),
    };
    let pretended = Record {
        partition: origin.partition,
        offset: origin.offset,
        timestamp: None,
        key: record.key.clone(),
        value: record.value.clone(),
        headers: record.headers.clone(),
    };
    redrive.record(GROUP, &pretended).headers
}
