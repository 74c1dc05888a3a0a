//! How messages end: done, parked or dead, each as the effects that make it so.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use longshore_event::{
    DeadLetter, Envelope, ErrorKind, Identity, Position, Record, TopicPartition, derived_id,
};
use tracing::{info, warn};
use uuid::Uuid;

use crate::assignments::Place;
use crate::handler::{Decisions, PendingTimer};
use crate::journey::Guide;
use crate::lanes::{LaneId, LaneKey};
use crate::message::{Arrival, Message, Runs};
use crate::{
    Claim, Failure, Finished, Handler, OnDead, OutboxRow, ParkedFailure, ParkedRow, ParkedState,
    Timer, TimerChange, TimerName,
};

/// A message that has come to its end here, waiting for its commit.
#[derive(Debug)]
pub(crate) struct Handled {
    pub(crate) effects: Finished,
    pub(crate) trail: Trail,
}

/// What is left of a message once its effects are on their way.
#[derive(Debug)]
pub(crate) struct Trail {
    pub(crate) end: End,
    /// What the inbox remembers it by.
    pub(crate) identity: Identity,
    /// Should the effects be refused, this is what is dead-lettered.
    pub(crate) record: Record,
    pub(crate) arrival: Arrival,
    pub(crate) runs: Runs,
    pub(crate) place: Place,
    /// The lane that waits for it; `None` if it was parked behind another.
    pub(crate) lane: Option<LaneId>,
    pub(crate) key: LaneKey,
    /// Whether its key was told to wait for it when this was decided.
    pub(crate) parks: bool,
    /// Whether its key is to wait because its commit was refused.
    pub(crate) is_newly_held: bool,
    /// Whether its identity was claimed before: by an earlier try, or by a copy. That copy may have taken effect, or may be
    /// parked and still have to.
    pub(crate) is_claimed: bool,
}

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    Dead(ErrorKind),
    Parked,
    /// Its partition is another owner's, and so is the message.
    Fenced,
}

impl<H: Handler> Guide<H> {
    /// The message is done: its effects are what the handler decided.
    pub(crate) fn done(
        &self,
        message: Message<H::Payload>,
        decisions: Decisions,
        lane: LaneId,
    ) -> Handled {
        let trail = self.trail(message, End::Done, Some(lane));
        let mut effects = self.effects(&trail);
        if self.holds_keys() && trail.arrival.redrive() > 0 {
            effects.releases = Some(trail.record.position());
        }
        let source = &effects.position.partition.clone();
        let outgoing = decisions.outgoing.into_iter();
        effects.outbox = outgoing
            .map(|(id, record)| OutboxRow {
                id,
                sequence: self.sequence.next(),
                source: source.clone(),
                record,
            })
            .collect();
        effects.writes = decisions.writes;
        let timers = decisions.timers.into_iter();
        effects.timers = timers
            .map(|change| self.timer(change, &trail.key, source))
            .collect();
        Handled { effects, trail }
    }

    fn timer(&self, change: PendingTimer, lane: &LaneKey, source: &TopicPartition) -> TimerChange {
        let name = |name| TimerName {
            lane: lane.name(),
            name,
        };
        match change {
            PendingTimer::Cancel(cancelled) => TimerChange::Cancel(name(cancelled)),
            PendingTimer::Set {
                id,
                record,
                due_at,
                name: given,
            } => TimerChange::Set(Timer {
                name: given.map(name),
                due_at,
                row: OutboxRow {
                    id,
                    sequence: self.sequence.next(),
                    source: source.clone(),
                    record,
                },
            }),
        }
    }

    /// Nothing is handled: the key of a dead message goes on without it.
    pub(crate) fn discard(&self, message: Message<H::Payload>) -> Handled {
        let trail = self.trail(message, End::Done, None);
        let mut effects = self.effects(&trail);
        effects.releases = self.holds_keys().then(|| trail.record.position());
        Handled { effects, trail }
    }

    /// The message waits in the store until `due_at`, because of `failure`.
    pub(crate) fn park(
        &self,
        message: Message<H::Payload>,
        failure: &Failure,
        due_at: Timestamp,
        lane: LaneId,
    ) -> Handled {
        let mut trail = self.trail(message, End::Parked, Some(lane));
        trail.parks = true;
        info!(position = %trail.record.position(), error = failure.message(), attempts = trail.runs.count, %due_at, "parked");
        let failure = Some(self.parked_failure(&trail, failure));
        let mut effects = self.effects(&trail);
        let row = self.row(
            &trail,
            &effects.position,
            ParkedState::Waiting,
            due_at,
            failure,
        );
        effects.parked = Some(row.into());
        Handled { effects, trail }
    }

    /// The message waits in the store behind others of its key.
    pub(crate) fn park_behind(&self, message: Message<H::Payload>) -> Handled {
        let mut trail = self.trail(message, End::Parked, None);
        trail.parks = true;
        let mut effects = self.effects(&trail);
        let now = self.settings.clock.now();
        let row = self.row(&trail, &effects.position, ParkedState::Waiting, now, None);
        effects.parked = Some(row.into());
        Handled { effects, trail }
    }

    /// The message is given up.
    pub(crate) fn bury(
        &self,
        message: Message<H::Payload>,
        failure: &Failure,
        lane: LaneId,
    ) -> Handled {
        let mut trail = self.trail(message, End::Dead(failure.kind()), Some(lane));
        let effects = self.dead(&trail, failure);
        trail.parks = effects.parked.is_some();
        Handled { effects, trail }
    }

    /// The effects of giving a message up: its dead letter, and its key held if that is the policy.
    pub(crate) fn dead(&self, trail: &Trail, failure: &Failure) -> Finished {
        let now = self.settings.clock.now();
        let (record, runs) = (&trail.record, trail.runs);
        let position = record.position();
        warn!(%position, kind = failure.kind().as_str(), error = failure.message(), attempts = runs.count, "dead letter");
        let letter = DeadLetter {
            topic: record.partition.topic.to_string(),
            partition: record.partition.partition,
            offset: record.offset.0,
            group: self.settings.group.to_string(),
            delivery_count: runs.count,
            message: failure.message(),
            kind: failure.kind(),
            error_type: failure.error_type().to_owned(),
            handler: H::NAME.to_owned(),
            first_failed_at: runs.first_failed_at.unwrap_or(now),
            last_failed_at: now,
            redrive_count: trail.arrival.redrive(),
        };
        let mut effects = self.effects(trail);
        effects.outbox = vec![OutboxRow {
            id: dead_letter_id(&self.settings.group, &trail.identity),
            sequence: self.sequence.next(),
            source: effects.position.partition.clone(),
            record: letter.record(record),
        }];
        if let Ok(message) = Envelope::decode(record.clone(), &self.settings.limits) {
            effects.writes = self.handler.given_up(&message, failure, now);
        }
        if effects.claim == Claim::Inbox {
            effects.claim = Claim::Redrivable;
        }
        if self.holds_keys() {
            let failure = Some(self.parked_failure(trail, failure));
            let row = self.row(trail, &position, ParkedState::Held, now, failure);
            // After a redrive the key is still held by its first death.
            let held = match trail.arrival.redrive() {
                0 => &mut effects.parked,
                _ => &mut effects.keeps,
            };
            *held = Some(row.into());
        }
        effects
    }

    fn trail(&self, message: Message<H::Payload>, end: End, lane: Option<LaneId>) -> Trail {
        let (key, identity) = (message.lane(self.scope), message.identity().clone());
        let (record, _) = message.content.into_parts();
        Trail {
            end,
            identity,
            record,
            arrival: message.arrival,
            runs: message.runs,
            place: message.place,
            lane,
            key,
            parks: false,
            is_newly_held: false,
            is_claimed: false,
        }
    }

    /// Effects that change nothing but that the message has taken effect.
    fn effects(&self, trail: &Trail) -> Finished {
        let (position, claim) = match &trail.arrival {
            Arrival::Log => (trail.record.position(), Claim::Inbox),
            Arrival::Redriven(redriven) => (redriven.position.clone(), Claim::Redrivable),
            Arrival::Parked(parked) => (parked.position.clone(), Claim::Parked),
        };
        Finished {
            identity: trail.identity.clone(),
            position,
            key: trail.record.key.clone(),
            claim,
            writes: Vec::new(),
            outbox: Vec::new(),
            timers: Vec::new(),
            parked: None,
            releases: None,
            keeps: None,
        }
    }

    fn row(
        &self,
        trail: &Trail,
        position: &Position,
        state: ParkedState,
        due_at: Timestamp,
        failure: Option<ParkedFailure>,
    ) -> ParkedRow {
        let sequence = match &trail.arrival {
            Arrival::Log => self.sequence.next(),
            // Before all that came from the log: its key may be waiting for it.
            Arrival::Redriven(redriven) => redriven.position.offset.0,
            Arrival::Parked(parked) => parked.sequence,
        };
        ParkedRow {
            position: position.clone(),
            sequence,
            lane: trail.key.name(),
            identity: trail.identity.clone(),
            record: trail.record.clone(),
            redrive: trail.arrival.redrive(),
            state,
            attempts: trail.runs.count,
            due_at,
            failure,
        }
    }

    fn parked_failure(&self, trail: &Trail, failure: &Failure) -> ParkedFailure {
        let now = self.settings.clock.now();
        ParkedFailure {
            kind: failure.kind(),
            error_type: failure.error_type().to_owned(),
            message: failure.message(),
            first_failed_at: trail.runs.first_failed_at.unwrap_or(now),
            last_failed_at: now,
        }
    }

    fn holds_keys(&self) -> bool {
        self.can_park && self.settings.on_dead == OnDead::HoldKey
    }

    /// Whether a message that nobody can park may be a probe once more.
    pub(crate) fn may_run_again(&self, runs: Runs) -> bool {
        !self.can_park && runs.count < self.settings.park.attempts
    }

    /// When a message that failed is tried again; `None` if it is dead.
    pub(crate) fn parked_until(&self, runs: Runs) -> Option<Timestamp> {
        if !self.can_park {
            return None;
        }
        let settings = &self.settings;
        let wait = settings.park.next(runs.count, settings.retry.attempts)?;
        let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
        let now = settings.clock.now();
        Some(now.checked_add(wait).unwrap_or(Timestamp::MAX))
    }
}

/// Derived as the ids of follow-on events are, under an ordinal that no event reaches.
fn dead_letter_id(group: &str, identity: &Identity) -> Uuid {
    derived_id(group, identity, usize::MAX - 1)
}

/// Orders outbox rows and parked messages. It starts from the time of day, so that a restarted worker goes on above its
/// earlier rows.
///
/// The lowest bits tell instances apart that share a store: equal sequences would be one too many where the outbox is
/// read page by page.
#[derive(Debug)]
pub(crate) struct Sequence(AtomicI64);

/// One more than the instances that can be told apart; microseconds since 1970 leave room for it until the year 2255.
const INSTANCES: i64 = 1 << 10;

impl Sequence {
    pub(crate) fn starting(now: Timestamp) -> Self {
        let instance = fastrand::i64(0..INSTANCES);
        Self(AtomicI64::new(now.as_microsecond() * INSTANCES + instance))
    }

    pub(crate) fn next(&self) -> i64 {
        self.0.fetch_add(INSTANCES, Ordering::Relaxed)
    }

    /// Goes on above `last`, which an instance with a faster clock may have given out.
    pub(crate) fn raise_above(&self, last: i64) {
        let instance = self.0.load(Ordering::Relaxed) % INSTANCES;
        let above = (last / INSTANCES + 1) * INSTANCES + instance;
        self.0.fetch_max(above, Ordering::Relaxed);
    }
}
