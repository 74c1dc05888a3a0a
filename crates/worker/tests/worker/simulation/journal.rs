//! What happened in a history, in the order in which it happened: what the checker reads, and what a failure prints.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use longshore_event::{NextOffset, Position, Record, TopicPartition};
use longshore_worker::{Claim, Finished, ParkedState, TimerChange, TimerName};
use tokio::time::Instant;
use uuid::Uuid;

/// One life of one instance; what starts again is another.
pub(super) type Life = u32;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Happening {
    pub(super) at: Duration,
    pub(super) life: Option<Life>,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// A record that a worker is to read.
    Produced(Record),
    /// The handler was given a message.
    Began {
        position: Position,
        key: Option<Bytes>,
        text: String,
        attempt: u32,
    },
    /// It gave it back, or was dropped.
    Ended {
        position: Position,
        how: &'static str,
    },
    /// A transaction took effect.
    Committed(Vec<Effect>),
    /// An instance took a partition over in the store: from now on nobody else commits for it.
    TookOver(TopicPartition),
    /// The group took an offset.
    Offset(TopicPartition, NextOffset),
    /// An instance let a partition go, before the time for it was over.
    LetGo(TopicPartition),
    /// An instance is told that a partition has moved already.
    Lost(TopicPartition),
    /// An instance was given these timers to publish; nobody else is before the second moment.
    Claimed(Vec<Uuid>, Timestamp),
    /// The event of a timer stands in its topic.
    Rang(Uuid),
    /// Something broke: from now on what is done may have to be done again.
    Fault(String),
    /// Whatever else a reader wants to know: moves, lives.
    Note(String),
}

/// What a transaction did about one message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Effect {
    /// What the inbox remembers it by.
    pub(super) id: String,
    /// Where it was read.
    pub(super) position: Position,
    pub(super) claim: Claim,
    pub(super) end: End,
    pub(super) writes: Vec<String>,
    /// A dead message that no longer holds its key.
    pub(super) releases: Option<Position>,
    pub(super) timers: Vec<TimerEffect>,
}

/// What a transaction did about one timer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TimerEffect {
    Set {
        id: Uuid,
        name: Option<TimerName>,
        due_at: Timestamp,
        /// The partition of the message that set it.
        source: TopicPartition,
    },
    Cancelled(TimerName),
}

impl From<&TimerChange> for TimerEffect {
    fn from(change: &TimerChange) -> Self {
        match change {
            TimerChange::Set(timer) => Self::Set {
                id: timer.row.id,
                name: timer.name.clone(),
                due_at: timer.due_at,
                source: timer.row.source.clone(),
            },
            TimerChange::Cancel(name) => Self::Cancelled(name.clone()),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    Done,
    Dead { held: bool },
    Parked { attempts: u32 },
}

impl From<&Finished> for Effect {
    fn from(finished: &Finished) -> Self {
        let dead = finished
            .outbox
            .iter()
            .any(|row| row.record.topic.ends_with(".dlq"));
        let end = match &finished.parked {
            Some(row) if row.state == ParkedState::Waiting => End::Parked {
                attempts: row.attempts,
            },
            held if dead => End::Dead {
                held: held.is_some(),
            },
            _ => End::Done,
        };
        Self {
            id: finished.identity.id.to_string(),
            position: finished.position.clone(),
            claim: finished.claim,
            end,
            writes: finished
                .writes
                .iter()
                .map(|write| format!("{:?}", write.arguments))
                .collect(),
            releases: finished.releases.clone(),
            timers: finished.timers.iter().map(Into::into).collect(),
        }
    }
}

/// Where everybody writes what happens. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    started: Instant,
    happenings: Arc<Mutex<Vec<Happening>>>,
}

impl Journal {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            happenings: Arc::default(),
        }
    }

    pub(super) fn write(&self, life: Option<Life>, what: What) {
        let at = self.started.elapsed();
        self.open().push(Happening { at, life, what });
    }

    pub(super) fn note(&self, life: Option<Life>, text: impl Into<String>) {
        self.write(life, What::Note(text.into()));
    }

    pub(super) fn fault(&self, life: Option<Life>, text: impl Into<String>) {
        self.write(life, What::Fault(text.into()));
    }

    pub(super) fn read(&self) -> Vec<Happening> {
        self.open().clone()
    }

    fn open(&self) -> MutexGuard<'_, Vec<Happening>> {
        self.happenings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3}s ", self.at.as_secs_f64())?;
        match self.life {
            Some(life) => write!(f, "#{life:<3} ")?,
            None => write!(f, "     ")?,
        }
        match &self.what {
            What::Produced(record) => {
                let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default());
                write!(f, "produced {} {value}", record.position())
            }
            What::Began {
                position,
                text,
                attempt,
                ..
            } => {
                write!(f, "handles {position} `{text}`, attempt {attempt}")
            }
            What::Ended { position, how } => write!(f, "{how} {position}"),
            What::Committed(effects) => {
                write!(f, "commits")?;
                for effect in effects {
                    write!(f, " [{} {:?} {}", effect.position, effect.end, effect.id)?;
                    for timer in &effect.timers {
                        match timer {
                            TimerEffect::Set { id, due_at, .. } => {
                                write!(f, ", sets {id} for {due_at}")?
                            }
                            TimerEffect::Cancelled(name) => write!(f, ", cancels {}", name.name)?,
                        }
                    }
                    write!(f, "]")?;
                }
                Ok(())
            }
            What::TookOver(partition) => write!(f, "takes {partition} over"),
            What::Offset(partition, next) => write!(f, "offset of {partition} is {}", next.0),
            What::Lost(partition) => write!(f, "loses {partition}"),
            What::LetGo(partition) => write!(f, "lets {partition} go"),
            What::Claimed(timers, until) => {
                write!(f, "claims until {until}")?;
                for timer in timers {
                    write!(f, " {timer}")?;
                }
                Ok(())
            }
            What::Rang(timer) => write!(f, "timer {timer} rings"),
            What::Fault(text) | What::Note(text) => write!(f, "{text}"),
        }
    }
}
