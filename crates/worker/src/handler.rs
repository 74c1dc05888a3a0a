//! What the author of a worker writes: one async function from an event to decisions.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use longshore_event::{Cause, Envelope, Event, OutgoingRecord, Payload, derived_id, encode};
use uuid::Uuid;

use crate::{Failure, Statement};

/// Business logic for one kind of message.
///
/// # Contract
/// - The runtime calls `handle` for one message of a key at a time, in log order; messages of different keys are
///   handled concurrently, all on one task. Blocking work belongs in [`tokio::task::spawn_blocking`].
/// - No transaction is open meanwhile, so calling other services is fine. Such a call must be idempotent: after a
///   crash, and after a transient failure, the message is handled again. [`Context::idempotency_key`] is made for it.
/// - Decisions are left in the [`Context`] and take effect together, once, if `handle` returns `Ok`. After an `Err`
///   they are thrown away.
/// - The future is dropped when its time limit is over, which is a transient failure, as a panic is. When its
///   partition moves to another worker and the time to finish is over, it is dropped too, and is not run again here.
pub trait Handler: Send + Sync + 'static {
    /// What it takes: an [`Event`] or an enum of several.
    type Payload: Payload;

    /// The name in dead letters, logs and metrics.
    const NAME: &'static str;

    /// Handles one message.
    ///
    /// # Errors
    /// [`Failure`] says what to do next. Any [`std::error::Error`] raised with `?` is transient and tried again; what is
    /// none, such as a `String` or a boxed error, takes `.map_err(Failure::transient)?`.
    fn handle(
        &self,
        message: &Envelope<Self::Payload>,
        context: &mut Context<'_, Self::Payload>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// What becomes true together with a message's dead letter: statements that say so of what the message was about. If
    /// they cannot succeed, they are left out, and the dead letter stays. Only a worker with a store may have some.
    fn given_up(
        &self,
        _message: &Envelope<Self::Payload>,
        _failure: &Failure,
        _now: Timestamp,
    ) -> Vec<Statement> {
        Vec::new()
    }
}

/// What one run of a handler may ask, and where it leaves its decisions.
#[derive(Debug)]
pub struct Context<'a, P> {
    envelope: &'a Envelope<P>,
    group: &'a Arc<str>,
    attempt: u32,
    now: Timestamp,
    writes: Vec<Statement>,
    outgoing: Vec<(Uuid, OutgoingRecord)>,
    timers: Vec<PendingTimer>,
    /// Follow-on events so far, timers among them: what the next one's id derives from.
    ordinal: usize,
}

/// What a handler decided about a timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PendingTimer {
    /// Publish a record later.
    Set {
        /// Derived from the cause.
        id: Uuid,
        /// What is published.
        record: OutgoingRecord,
        /// When.
        due_at: Timestamp,
        /// What cancels it.
        name: Option<String>,
    },
    /// Cancel the timer of this name.
    Cancel(String),
}

/// A timer that was just set. Give it a name to be able to cancel or replace it.
#[derive(Debug)]
pub struct SetTimer<'c>(&'c mut PendingTimer);

impl SetTimer<'_> {
    /// Names the timer. Names are the key's own: two orders may each have an `expiry`. A pending timer of the same name is
    /// replaced.
    pub fn named(self, new: impl Into<String>) {
        if let PendingTimer::Set { name, .. } = self.0 {
            *name = Some(new.into());
        }
    }
}

impl<'a, P: Payload> Context<'a, P> {
    /// A context by hand, to call a handler directly in a test.
    pub fn new(
        envelope: &'a Envelope<P>,
        group: &'a Arc<str>,
        attempt: u32,
        now: Timestamp,
    ) -> Self {
        Self {
            envelope,
            group,
            attempt,
            now,
            writes: Vec::new(),
            outgoing: Vec::new(),
            timers: Vec::new(),
            ordinal: 0,
        }
    }

    /// How often this message has been handed to the handler, counting this time: from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The runtime's clock, UTC.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// A key for a call to another service that is the same each time this message is handled, and different for
    /// every other message, group and `purpose`.
    pub fn idempotency_key(&self, purpose: &str) -> String {
        let identity = self.envelope.identity();
        format!("{purpose}-{}", derived_id(self.group, identity, usize::MAX))
    }

    /// Publishes a follow-on event, caused by this message, when it commits.
    ///
    /// # Errors
    /// A permanent [`Failure`] if the event does not serialise.
    pub fn publish<E: Event>(&mut self, event: &E) -> Result<(), Failure> {
        let follow_on = self.follow_on(event, self.now)?;
        self.outgoing.push(follow_on);
        Ok(())
    }

    /// Publishes a follow-on event at `when`, or at once if that has passed: once this message has committed, a restart or
    /// a new owner of the partition changes nothing about it. It fires once, no earlier than `when`, usually within
    /// milliseconds of it. The event's time is `when`.
    ///
    /// A worker without a store has no timers: the message becomes a dead letter.
    ///
    /// In tests, a timer that is due at once fires when time passes, in `advance(1 ms)`, and not in `settle()`.
    ///
    /// # Errors
    /// A permanent [`Failure`] if the event does not serialise.
    pub fn publish_at<E: Event>(
        &mut self,
        event: &E,
        when: Timestamp,
    ) -> Result<SetTimer<'_>, Failure> {
        let (id, record) = self.follow_on(event, when)?;
        self.timers.push(PendingTimer::Set {
            id,
            record,
            due_at: when,
            name: None,
        });
        let last = self.timers.len() - 1;
        Ok(SetTimer(&mut self.timers[last]))
    }

    /// As [`Context::publish_at`], `after` from now on.
    ///
    /// # Errors
    /// A permanent [`Failure`] if the event does not serialise, or the year is past 9999 then.
    pub fn publish_after<E: Event>(
        &mut self,
        event: &E,
        after: Duration,
    ) -> Result<SetTimer<'_>, Failure> {
        let when = SignedDuration::try_from(after)
            .and_then(|after| self.now.checked_add(after))
            .map_err(Failure::permanent)?;
        self.publish_at(event, when)
    }

    /// Cancels the timer that a message of the same key has set under this name. If it has fired already, or there is
    /// none, nothing happens: whoever handles its event finds the state that this message has left. Without a store the message
    /// becomes a dead letter.
    pub fn cancel(&mut self, name: impl Into<String>) {
        self.timers.push(PendingTimer::Cancel(name.into()));
    }

    fn follow_on<E: Event>(
        &mut self,
        event: &E,
        time: Timestamp,
    ) -> Result<(Uuid, OutgoingRecord), Failure> {
        let cause = Cause {
            envelope: self.envelope,
            group: self.group,
            ordinal: self.ordinal,
        };
        let follow_on = encode(event, &cause, time).map_err(Failure::permanent)?;
        self.ordinal += 1;
        Ok(follow_on)
    }

    /// Runs a statement in the transaction in which this message commits. See [`sql`](crate::sql). If the database rejects
    /// it, the message becomes a dead letter after this one run; so it does if the worker has no store.
    pub fn write(&mut self, statement: Statement) {
        self.writes.push(statement);
    }

    /// The statements left so far, in order.
    pub fn writes(&self) -> &[Statement] {
        &self.writes
    }

    /// The follow-on records left so far, in order.
    pub fn published(&self) -> impl Iterator<Item = &OutgoingRecord> {
        self.outgoing.iter().map(|(_, record)| record)
    }

    /// What was decided about timers so far, in order.
    pub fn timers(&self) -> &[PendingTimer] {
        &self.timers
    }

    pub(crate) fn into_decisions(self) -> Decisions {
        Decisions {
            writes: self.writes,
            outgoing: self.outgoing,
            timers: self.timers,
        }
    }
}

/// What a handler left in its context.
#[derive(Debug, Default)]
pub(crate) struct Decisions {
    pub(crate) writes: Vec<Statement>,
    /// Follow-on records with their derived ids.
    pub(crate) outgoing: Vec<(Uuid, OutgoingRecord)>,
    pub(crate) timers: Vec<PendingTimer>,
}
