//! Produces the messages: at a steady rate, some of them twice, some of them no messages at all.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use longshore_event::{Event, Headers, Identity, OutgoingRecord, encode_new};
use longshore_kafka::KafkaPublisher;
use longshore_worker::Publisher;
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::fleet::RUNS;
use crate::message::{Task, Work};

/// The source of what is produced, as CloudEvents want one.
const SOURCE: &str = "chaos-producer";
/// How often a batch goes out.
const TICK: Duration = Duration::from_millis(100);
/// A batch after an outage is no larger than what this long would have brought.
const CATCH_UP: Duration = Duration::from_secs(1);
/// How many of the latest records may come again.
const REMEMBERED: usize = 1_000;
/// How long a broker may take that refused a record.
const AGAIN: Duration = Duration::from_millis(200);

/// What was acknowledged, and must therefore be in the log.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Ledger {
    /// Ids of messages.
    pub(crate) ids: BTreeSet<String>,
    /// Values of records that are no messages.
    pub(crate) unreadable: BTreeSet<String>,
    /// Messages that were sent a second time.
    pub(crate) copies: usize,
}

pub(crate) struct Producer {
    publisher: KafkaPublisher,
    random: fastrand::Rng,
    rate: u32,
    /// Messages of each key so far.
    sequences: Vec<u64>,
    latest: VecDeque<OutgoingRecord>,
    ledger: Ledger,
    produced: u64,
}

impl Producer {
    pub(crate) fn new(publisher: KafkaPublisher, seed: u64, keys: u32, rate: u32) -> Self {
        Self {
            publisher,
            random: fastrand::Rng::with_seed(seed),
            rate,
            sequences: vec![0; keys as usize],
            latest: VecDeque::with_capacity(REMEMBERED),
            ledger: Ledger::default(),
            produced: 0,
        }
    }

    /// Produces for a while. It ends later if the broker is away at the end.
    pub(crate) async fn run(mut self, lasts: Duration) -> anyhow::Result<Ledger> {
        let end = Instant::now() + lasts;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = ticks.tick().await;
        while Instant::now() < end {
            let now = ticks.tick().await;
            let share = (now - last).min(CATCH_UP).as_secs_f64();
            last = now;
            let count = (share * f64::from(self.rate)).round() as usize;
            let batch: Result<Vec<_>, _> = (0..count).map(|_| self.record()).collect();
            self.send(batch?).await;
        }
        Ok(self.ledger)
    }

    /// The next record: 1 % poison, half of it no event at all; 10 % flaky; 1 % once more what went out before.
    fn record(&mut self) -> serde_json::Result<OutgoingRecord> {
        const PER_MILLE: u32 = 1_000;
        if let Some(record) = self.copy() {
            return Ok(record);
        }
        let index = self.random.usize(..self.sequences.len());
        let key = format!("k-{index}");
        let task = match self.random.u32(..PER_MILLE) {
            0..5 => return Ok(self.unreadable(key)),
            5..10 => Task::Poison,
            10..110 => Task::Flaky {
                failures: self.failures(),
            },
            110..160 => Task::Slow,
            _ => Task::Quick,
        };
        self.sequences[index] += 1;
        let work = Work {
            key,
            sequence: self.sequences[index],
            task,
        };
        self.produced += 1;
        let identity = Identity {
            source: SOURCE.into(),
            id: format!("m-{}", self.produced).into(),
        };
        encode_new(&work, &identity, None, Timestamp::now())
    }

    /// Most failures are cured by the immediate runs; some outlast them.
    fn failures(&mut self) -> u32 {
        match self.random.u8(..4) {
            0 => self.random.u32(RUNS..2 * RUNS + 1),
            _ => self.random.u32(1..RUNS),
        }
    }

    fn copy(&mut self) -> Option<OutgoingRecord> {
        if self.latest.is_empty() || self.random.u8(..100) > 0 {
            return None;
        }
        self.ledger.copies += 1;
        let index = self.random.usize(..self.latest.len());
        self.latest.get(index).cloned()
    }

    fn unreadable(&mut self, key: String) -> OutgoingRecord {
        self.produced += 1;
        OutgoingRecord {
            topic: Work::TOPIC.into(),
            key: Some(key.into()),
            value: Some(format!("no event {}", self.produced).into()),
            headers: Headers::new(),
        }
    }

    /// Sends until all are acknowledged. What was stored without an acknowledgement is then there twice, under one id.
    async fn send(&mut self, mut batch: Vec<OutgoingRecord>) {
        while !batch.is_empty() {
            let results = self.publisher.publish(&batch).await;
            let mut again = Vec::new();
            for (record, result) in batch.into_iter().zip(results) {
                match result {
                    Ok(()) => self.acknowledged(record),
                    Err(_) => again.push(record),
                }
            }
            if !again.is_empty() {
                tokio::time::sleep(AGAIN).await;
            }
            batch = again;
        }
    }

    fn acknowledged(&mut self, record: OutgoingRecord) {
        match id(&record.headers) {
            Some(id) => {
                self.ledger.ids.insert(id.to_owned());
                if self.latest.len() == REMEMBERED {
                    self.latest.pop_front();
                }
                self.latest.push_back(record);
            }
            None => {
                let value = record.value.as_deref().unwrap_or_default();
                let value = String::from_utf8_lossy(value).into_owned();
                self.ledger.unreadable.insert(value);
            }
        }
    }
}

/// A message's id; `None` for what is no message.
pub(crate) fn id(headers: &Headers) -> Option<&str> {
    headers.get_str(longshore_event::attribute::ID)
}
