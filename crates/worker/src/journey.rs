//! The journey of one message through its handler: run it, and try again as long as that is done at once.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::SignedDuration;
use longshore_event::{Envelope, ErrorKind};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use crate::backoff::Backoff;
use crate::ending::{Handled, Sequence};
use crate::handler::Decisions;
use crate::lanes::{LaneId, LaneScope};
use crate::message::{Content, Message, Runs};
use crate::metrics::TopicMetrics;
use crate::report::{self, Failing};
use crate::tenure::Tenure;
use crate::{Context, Failure, Handler, Settings};

/// What all journeys of a worker share.
#[derive(Debug)]
pub(crate) struct Guide<H> {
    pub(crate) handler: H,
    pub(crate) settings: Settings,
    pub(crate) sequence: Sequence,
    pub(crate) scope: LaneScope,
    pub(crate) can_park: bool,
    pub(crate) failing: Failing,
}

/// Where a journey ends.
#[derive(Debug)]
pub(crate) enum Journey<P> {
    /// Its effects wait for their commit.
    Done(Box<Handled>),
    /// It failed, and is not tried again at once: what comes next is not for the journey to decide.
    Failed(Box<Failed<P>>),
    /// The stay of its partition is over: its handler was dropped.
    Left(Box<Left<P>>),
}

/// A message that failed.
#[derive(Debug)]
pub(crate) struct Failed<P> {
    pub(crate) message: Message<P>,
    pub(crate) failure: Failure,
    pub(crate) lane: LaneId,
}

/// A message that is its partition's next owner's.
#[derive(Debug)]
pub(crate) struct Left<P> {
    pub(crate) message: Message<P>,
    pub(crate) lane: LaneId,
}

impl<H: Handler> Guide<H> {
    /// Takes one message from its lane to its effects, or to its failure, as long as its partition is this worker's.
    pub(crate) async fn journey(
        self: Arc<Self>,
        mut message: Message<H::Payload>,
        lane: LaneId,
        metrics: TopicMetrics,
        tenure: Tenure,
    ) -> Journey<H::Payload> {
        let outcome = match &message.content {
            Content::Event(envelope) => {
                let started = Instant::now();
                let outcome = tokio::select! {
                    biased;
                    outcome = self.run(envelope, &mut message.runs, lane, &metrics) => outcome,
                    () = tenure.over() => return Journey::Left(Left { message, lane }.into()),
                };
                // An outage is met in no time, again and again: it says nothing about how long handling takes.
                if !matches!(&outcome, Err(failure) if failure.is_outage()) {
                    metrics.seconds.observe(started.elapsed().as_secs_f64());
                }
                outcome
            }
            Content::Undecodable { undecodable, .. } => {
                let failure = Failure::undecodable(&undecodable.error);
                metrics.failed(failure.kind());
                Err(failure)
            }
        };
        match outcome {
            Ok(decisions) => Journey::Done(self.done(message, decisions, lane).into()),
            Err(failure) => Journey::Failed(
                Failed {
                    message,
                    failure,
                    lane,
                }
                .into(),
            ),
        }
    }

    /// Runs the handler until it succeeds, its immediate retries are used up, or it meets an outage.
    async fn run(
        &self,
        envelope: &Envelope<H::Payload>,
        runs: &mut Runs,
        lane: LaneId,
        metrics: &TopicMetrics,
    ) -> Result<Decisions, Failure> {
        let started = Instant::now();
        loop {
            runs.count += 1;
            let now = self.settings.clock.now();
            let mut context = Context::new(envelope, &self.settings.group, runs.count, now);
            let Err(failure) = self.run_once(envelope, &mut context).await else {
                return Ok(context.into_decisions());
            };
            if failure.is_outage() {
                debug!(partition = %envelope.record().partition, offset = %envelope.record().offset, failure = ?failure, "message waits for an outage to end");
                runs.count -= 1;
                return Err(failure);
            }
            runs.outage = Backoff::new();
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
            self.told(lane, *runs, &failure, wait);
            sleep(wait).await;
        }
    }

    /// Notes why the lane's message is not done yet, for whoever asks.
    pub(crate) fn told(&self, lane: LaneId, runs: Runs, failure: &Failure, wait: Duration) {
        let now = self.settings.clock.now();
        let wait = SignedDuration::try_from(wait).ok();
        let failure = report::Failure {
            attempts: runs.count,
            message: failure.message(),
            next_try: wait.and_then(|wait| now.checked_add(wait).ok()),
        };
        self.failing.failed(lane, failure);
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
}

/// The handler panicked.
#[derive(Debug, thiserror::Error)]
#[error("the handler panicked: {0}")]
struct Panicked(String);

/// The handler took too long.
#[derive(Debug, thiserror::Error)]
#[error("the handler did not finish within {0:?}")]
struct TimedOut(Duration);

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no message".to_owned())
}
