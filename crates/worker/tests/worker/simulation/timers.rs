//! Holds what a journal tells of timers against what was promised: each fires, once, not before its time, and not after a
//! cancel that came before it was claimed.

use std::collections::HashMap;

use jiff::Timestamp;
use longshore_event::TopicPartition;
use longshore_worker::TimerName;
use uuid::Uuid;

use super::journal::{TimerEffect, What};

/// What is known of all timers at one moment of the history.
#[derive(Debug, Default)]
pub(super) struct Timers {
    all: HashMap<Uuid, Timer>,
    /// The timer that each name stands for.
    named: HashMap<TimerName, Uuid>,
    /// Whether anything broke so far: then a record may have to be sent again.
    broken: bool,
}

#[derive(Debug)]
struct Timer {
    due_at: Timestamp,
    source: TopicPartition,
    state: State,
    claims: usize,
    rings: usize,
    /// Whether its partition got another owner since it was first claimed. It can be claimed anew then, whoever is about
    /// to publish it.
    moved: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Pending,
    /// Nobody else may claim it before.
    Claimed(Timestamp),
    Cancelled,
}

impl Timers {
    /// Takes in what happened at `now`; says what is wrong with it.
    pub(super) fn take(&mut self, now: Timestamp, what: &What) -> Vec<String> {
        match what {
            What::Committed(effects) => {
                for change in effects.iter().flat_map(|effect| &effect.timers) {
                    self.change(change);
                }
            }
            What::TookOver(partition) => {
                let timers = self.all.values_mut();
                for timer in timers.filter(|timer| timer.source == *partition) {
                    if timer.claims > 0 {
                        timer.moved = true;
                        timer.state = State::Claimed(now);
                    }
                }
            }
            What::Claimed(timers, until) => {
                let claimed = timers.iter().filter_map(|id| self.claim(now, *id, *until));
                return claimed.collect();
            }
            What::Rang(id) => return self.ring(now, *id),
            What::Fault(_) => self.broken = true,
            _ => {}
        }
        Vec::new()
    }

    /// What is wrong when all is over.
    pub(super) fn end(&self) -> Vec<String> {
        let lost = self
            .all
            .iter()
            .filter(|(_, timer)| timer.state != State::Cancelled && timer.rings == 0);
        lost.map(|(id, _)| format!("timer {id} never rang"))
            .collect()
    }

    fn change(&mut self, change: &TimerEffect) {
        match change {
            TimerEffect::Cancelled(name) => self.cancel(name),
            TimerEffect::Set {
                id,
                name,
                due_at,
                source,
            } => {
                if let Some(name) = name {
                    self.cancel(name);
                    self.named.insert(name.clone(), *id);
                }
                let timer = Timer {
                    due_at: *due_at,
                    source: source.clone(),
                    state: State::Pending,
                    claims: 0,
                    rings: 0,
                    moved: false,
                };
                self.all.insert(*id, timer);
            }
        }
    }

    /// Cancels the timer of this name, unless it was claimed: it may be on its way.
    fn cancel(&mut self, name: &TimerName) {
        let id = self.named.get(name);
        if let Some(timer) = id.and_then(|id| self.all.get_mut(id))
            && timer.state == State::Pending
        {
            timer.state = State::Cancelled;
        }
    }

    fn claim(&mut self, now: Timestamp, id: Uuid, until: Timestamp) -> Option<String> {
        let Some(timer) = self.all.get_mut(&id) else {
            return Some(format!("timer {id} is claimed and was never set"));
        };
        let problem = match timer.state {
            State::Cancelled => Some(format!("timer {id} is claimed and was cancelled before")),
            State::Claimed(lease) if lease > now => {
                Some(format!("timer {id} is claimed by two at once"))
            }
            State::Pending | State::Claimed(_) => None,
        };
        timer.state = State::Claimed(until);
        timer.claims += 1;
        let early = timer.due_at > now;
        problem.or_else(|| early.then(|| format!("timer {id} is claimed before {}", timer.due_at)))
    }

    fn ring(&mut self, now: Timestamp, id: Uuid) -> Vec<String> {
        let Some(timer) = self.all.get_mut(&id) else {
            return vec![format!("timer {id} rings and was never set")];
        };
        timer.rings += 1;
        let mut problems = Vec::new();
        if timer.due_at > now {
            problems.push(format!("timer {id} rings before {}", timer.due_at));
        }
        if timer.state == State::Cancelled {
            problems.push(format!("timer {id} rings and was cancelled before"));
        }
        if timer.rings > timer.claims {
            let claims = timer.claims;
            problems.push(format!(
                "timer {id} rings more often than its {claims} claims"
            ));
        }
        if timer.rings > 1 && !self.broken && !timer.moved {
            problems.push(format!("timer {id} rings twice, and nothing had broken"));
        }
        problems
    }
}
