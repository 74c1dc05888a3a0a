//! The journey of one message through its handler: run it, try again, or give up, and write down what it causes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::FutureExt;
use jiff::Timestamp;
use longshore_event::{DeadLetter, Envelope, ErrorKind, Identity, Record, derived_id};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};
use uuid::Uuid;

use crate::assignments::Place;
use crate::backoff::Backoff;
use crate::intake::{Content, Message};
use crate::lanes::LaneId;
use crate::metrics::TopicMetrics;
use crate::{Claim, Context, Failure, Finished, Handler, OutboxRow, Settings};

/// What all journeys of a worker share.
#[derive(Debug)]
pub(crate) struct Guide<H> {
    pub(crate) handler: H,
    pub(crate) settings: Settings,
    pub(crate) sequence: Sequence,
}

/// A message that has been handled or given up, waiting for its commit.
#[derive(Debug)]
pub(crate) struct Handled {
    pub(crate) effects: Finished,
    pub(crate) trail: Trail,
}

/// What is left of a message once its effects are on their way.
#[derive(Debug)]
pub(crate) struct Trail {
    pub(crate) identity: Identity,
    pub(crate) end: End,
    /// Should the effects be refused, this is what is dead-lettered.
    pub(crate) record: Record,
    pub(crate) runs: Runs,
    pub(crate) place: Place,
    pub(crate) lane: LaneId,
}

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    Dead(ErrorKind),
}

/// How often a message was handed to the handler, and when it failed first.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Runs {
    pub(crate) count: u32,
    pub(crate) first_failed_at: Option<Timestamp>,
}

impl<H: Handler> Guide<H> {
    /// Takes one message from its lane to its effects.
    pub(crate) async fn journey(
        self: Arc<Self>,
        message: Message<H::Payload>,
        lane: LaneId,
        metrics: TopicMetrics,
    ) -> Handled {
        let place = message.place;
        let mut runs = Runs::default();
        let (record, identity, outcome) = match message.content {
            Content::Event(envelope) => {
                let started = Instant::now();
                let outcome = self.run(&envelope, &mut runs, &metrics).await;
                metrics.seconds.observe(started.elapsed().as_secs_f64());
                let (record, identity) = envelope.into_parts();
                (record, identity, outcome)
            }
            Content::Undecodable {
                undecodable,
                identity,
            } => {
                let failure = Failure::undecodable(undecodable.error);
                metrics.failed(failure.kind());
                (undecodable.record, identity, Err(failure))
            }
        };
        let (effects, end) = match outcome {
            Ok(effects) => (effects, End::Done),
            Err(failure) => (
                self.dead(&record, identity.clone(), runs, &failure),
                End::Dead(failure.kind()),
            ),
        };
        let trail = Trail {
            identity,
            end,
            record,
            runs,
            place,
            lane,
        };
        Handled { effects, trail }
    }

    /// Runs the handler until it succeeds or its retries are used up.
    async fn run(
        &self,
        envelope: &Envelope<H::Payload>,
        runs: &mut Runs,
        metrics: &TopicMetrics,
    ) -> Result<Finished, Failure> {
        let mut started = Instant::now();
        let mut outage = Backoff::new();
        loop {
            runs.count += 1;
            let now = self.settings.clock.now();
            let mut context = Context::new(envelope, &self.settings.group, runs.count, now);
            let Err(failure) = self.run_once(envelope, &mut context).await else {
                return Ok(self.finished(envelope, context));
            };
            if failure.is_outage() {
                debug!(partition = %envelope.record().partition, offset = %envelope.record().offset, failure = ?failure, "handler waits for an outage to end");
                outage.wait().await;
                runs.count -= 1;
                started = Instant::now();
                continue;
            }
            metrics.failed(failure.kind());
            runs.first_failed_at.get_or_insert(now);
            debug!(partition = %envelope.record().partition, offset = %envelope.record().offset, attempt = runs.count, failure = ?failure, "handler failed");
            let wait = match failure.kind() {
                ErrorKind::Transient => self.settings.retry.next(runs.count, started.elapsed()),
                _ => None,
            };
            let Some(wait) = wait else {
                return Err(failure);
            };
            metrics.retried.inc();
            sleep(wait).await;
        }
    }

    /// One run, bounded in time; a panic ends the run and not the worker.
    async fn run_once(
        &self,
        envelope: &Envelope<H::Payload>,
        context: &mut Context<'_, H::Payload>,
    ) -> Result<(), Failure> {
        // Nothing of a run that panicked is looked at again but its context, which is thrown away.
        let run = AssertUnwindSafe(self.handler.handle(envelope, context)).catch_unwind();
        match timeout(self.settings.handler_timeout, run).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(Failure::transient(Panicked(panic_message(&*panic)))),
            Err(_) => Err(Failure::transient(TimedOut(self.settings.handler_timeout))),
        }
    }

    fn finished(
        &self,
        envelope: &Envelope<H::Payload>,
        context: Context<'_, H::Payload>,
    ) -> Finished {
        let source = &envelope.record().partition;
        let (writes, outgoing) = context.into_effects();
        let outbox = outgoing
            .into_iter()
            .map(|(id, record)| OutboxRow {
                id,
                sequence: self.sequence.next(),
                source: source.clone(),
                record,
            })
            .collect();
        Finished {
            identity: envelope.identity().clone(),
            position: envelope.record().position(),
            claim: Claim::Inbox,
            writes,
            outbox,
            timers: Vec::new(),
            parked: None,
            releases: None,
        }
    }

    /// The effects of giving a message up: its dead letter, and nothing else.
    pub(crate) fn dead(
        &self,
        record: &Record,
        identity: Identity,
        runs: Runs,
        failure: &Failure,
    ) -> Finished {
        let now = self.settings.clock.now();
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
            redrive_count: record.redrive_count(),
        };
        let row = OutboxRow {
            id: dead_letter_id(&self.settings.group, &identity),
            sequence: self.sequence.next(),
            source: record.partition.clone(),
            record: letter.record(record),
        };
        Finished {
            identity,
            position,
            claim: Claim::Redrivable,
            writes: Vec::new(),
            outbox: vec![row],
            timers: Vec::new(),
            parked: None,
            releases: None,
        }
    }
}

/// Derived as the ids of follow-on events are, under an ordinal that no event reaches.
fn dead_letter_id(group: &str, identity: &Identity) -> Uuid {
    derived_id(group, identity, usize::MAX - 1)
}

/// Orders outbox rows. It starts from the time of day, so that a restarted worker goes on above its earlier rows.
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
}

/// The handler panicked.
#[derive(Debug, thiserror::Error)]
#[error("the handler panicked: {0}")]
struct Panicked(String);

/// The handler took too long.
#[derive(Debug, thiserror::Error)]
#[error("the handler did not finish within {0:?}")]
struct TimedOut(std::time::Duration);

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no message".to_owned())
}
