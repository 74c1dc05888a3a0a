//! The run loop: one task that turns what the source tells into messages in lanes, handlers at work, group commits and
//! committed offsets, and that lets partitions come and go.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FusedFuture};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use longshore_event::Record;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::assignments::Assignments;
use crate::committer;
use crate::intake::{self, Message, Step, Taken};
use crate::journey::{End, Guide, Handled, Sequence, Trail};
use crate::lanes::{LaneId, Lanes};
use crate::pending::{at, optional};
use crate::rebalance::{Phase, Revocation};
use crate::status::StatusBoard;
use crate::{CommitStrategy, Handler, Metrics, Settings, Source, SourceError, SourceEvent, Status};

/// A worker: a handler between a source and a commit strategy.
#[derive(Debug)]
pub struct Worker<H, S, C> {
    handler: H,
    source: S,
    strategy: C,
    settings: Settings,
    metrics: Metrics,
    status: StatusBoard,
}

impl<H: Handler, S: Source, C: CommitStrategy> Worker<H, S, C> {
    /// Puts a worker together. Nothing happens before [`Worker::run`].
    pub fn new(handler: H, source: S, strategy: C, settings: Settings, metrics: Metrics) -> Self {
        Self {
            handler,
            source,
            strategy,
            settings,
            metrics,
            status: StatusBoard::new(),
        }
    }

    /// What the worker says of itself from now on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Processes messages until `stop` completes; then finishes what is in flight within [`Settings::drain`], commits
    /// and leaves the group.
    ///
    /// # Errors
    /// [`SourceError`] if the source fails for good. What was in flight is then read again by the next owner.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<(), SourceError> {
        let sequence = Sequence::starting(self.settings.clock.now());
        let mut run = RunLoop {
            source: self.source,
            strategy: Arc::new(self.strategy),
            assignments: Assignments::new(self.metrics.clone()),
            lanes: Lanes::new(),
            steps: VecDeque::new(),
            taking: None,
            journeys: FuturesUnordered::new(),
            handled: Vec::new(),
            committing: None,
            offsets_due: None,
            phase: Phase::Running,
            stopping: false,
            in_flight: 0,
            metrics: self.metrics,
            status: self.status,
            guide: Arc::new(Guide {
                handler: self.handler,
                settings: self.settings,
                sequence,
            }),
        };
        let mut stop = std::pin::pin!(stop.fuse());
        loop {
            let turn = run.next(stop.as_mut()).await;
            if let Some(closed) = run.apply(turn) {
                return closed;
            }
            run.advance();
        }
    }
}

/// The state of a running worker; `rebalance` holds the part of it that concerns partitions.
pub(crate) struct RunLoop<H: Handler, S, C> {
    pub(crate) guide: Arc<Guide<H>>,
    pub(crate) source: S,
    pub(crate) strategy: Arc<C>,
    pub(crate) metrics: Metrics,
    pub(crate) status: StatusBoard,
    pub(crate) phase: Phase,
    pub(crate) stopping: bool,
    pub(crate) assignments: Assignments,
    /// Intake: what waits to be taken, and the step being taken.
    pub(crate) steps: VecDeque<Step<H::Payload>>,
    pub(crate) taking: Option<BoxFuture<'static, Taken<H::Payload>>>,
    pub(crate) lanes: Lanes<Message<H::Payload>>,
    pub(crate) journeys: FuturesUnordered<BoxFuture<'static, Handled>>,
    /// What waits for the next commit, and the one under way.
    pub(crate) handled: Vec<Handled>,
    pub(crate) committing: Option<BoxFuture<'static, Vec<Trail>>>,
    /// When the watermarks that have moved are committed to the group.
    pub(crate) offsets_due: Option<Instant>,
    /// Records taken from the source and not given back; the source bounds it.
    pub(crate) in_flight: usize,
}

/// One thing that happened.
enum Turn<P> {
    Stop,
    Source(SourceEvent),
    Taken(Taken<P>),
    Handled(Box<Handled>),
    Committed(Vec<Trail>),
    HandedOver,
    RevocationOver,
    OffsetsDue,
}

impl<H: Handler, S: Source, C: CommitStrategy> RunLoop<H, S, C> {
    /// Waits for the next thing to happen. Stop and the source come first: a rebalance must not wait behind messages,
    /// of which there is a bounded number.
    async fn next<F>(&mut self, mut stop: Pin<&mut F>) -> Turn<H::Payload>
    where
        F: FusedFuture<Output = ()>,
    {
        let stopped = stop.is_terminated();
        let revocation_over = self.phase.deadline();
        tokio::select! {
            biased;
            () = stop.as_mut(), if !stopped => Turn::Stop,
            event = self.source.next() => Turn::Source(event),
            trails = optional(&mut self.committing) => Turn::Committed(trails),
            taken = optional(&mut self.taking) => Turn::Taken(taken),
            Some(handled) = self.journeys.next() => Turn::Handled(Box::new(handled)),
            () = self.phase.handed_over() => Turn::HandedOver,
            () = at(revocation_over) => Turn::RevocationOver,
            () = at(self.offsets_due) => Turn::OffsetsDue,
        }
    }

    /// Takes in what happened. `Some` ends the loop.
    fn apply(&mut self, turn: Turn<H::Payload>) -> Option<Result<(), SourceError>> {
        match turn {
            Turn::Stop => self.stop(),
            Turn::Source(SourceEvent::Assigned(partitions)) => self.assigned(partitions),
            Turn::Source(SourceEvent::Records(records)) => self.received(records),
            Turn::Source(SourceEvent::Revoked {
                partitions,
                within,
                finished,
            }) => self.revoked(Revocation {
                partitions,
                deadline: Instant::now() + within,
                finished,
            }),
            Turn::Source(SourceEvent::Lost(partitions)) => self.lost(&partitions),
            Turn::Source(SourceEvent::Unavailable { reason }) => self.status.broker(reason),
            Turn::Source(SourceEvent::Closed(result)) => return Some(result),
            Turn::Taken(taken) => self.taken(taken),
            Turn::Handled(handled) => self.handled.push(*handled),
            Turn::Committed(trails) => self.committed(trails),
            Turn::HandedOver | Turn::RevocationOver => self.answer_revocation(),
            Turn::OffsetsDue => self.commit_offsets(),
        }
        None
    }

    /// Moves every message as far as it goes without waiting: the order of these lines is the order of its journey.
    fn advance(&mut self) {
        self.take_next_step();
        self.start_journeys();
        self.start_commit();
        self.continue_revocation();
        self.metrics.in_flight(self.in_flight);
    }

    fn take_next_step(&mut self) {
        if self.taking.is_some() {
            return;
        }
        if let Some(step) = self.steps.pop_front() {
            let (strategy, status) = (self.strategy.clone(), self.status.clone());
            let taking = async move { intake::take(step, &*strategy, &status).await };
            self.taking = Some(taking.boxed());
        }
    }

    /// Starts handlers while there are idle lanes and free hands; those that finish at once free theirs again.
    fn start_journeys(&mut self) {
        loop {
            while self.journeys.len() < self.guide.settings.concurrency {
                let Some((lane, message)) = self.lanes.start() else {
                    break;
                };
                self.start_journey(lane, message);
            }
            let before = self.handled.len();
            while let Some(Some(handled)) = self.journeys.next().now_or_never() {
                self.handled.push(handled);
            }
            if self.handled.len() == before {
                return;
            }
        }
    }

    fn start_journey(&mut self, lane: LaneId, message: Message<H::Payload>) {
        let metrics = self.assignments.metrics(message.place);
        let (Some(metrics), false) = (metrics, self.lanes.took_effect(lane, message.identity()))
        else {
            self.assignments.finish(message.place);
            self.lanes.finish(lane, None);
            self.release(1);
            return;
        };
        let journey = self.guide.clone().journey(message, lane, metrics.clone());
        self.journeys.push(journey.boxed());
    }

    /// Commits all that is ready, unless a commit is under way: then it gathers for the next one.
    fn start_commit(&mut self) {
        if self.committing.is_some() {
            return;
        }
        self.drop_abandoned();
        if self.handled.is_empty() {
            return;
        }
        let size = self.handled.len().min(self.guide.settings.max_batch);
        let batch: Vec<Handled> = self.handled.drain(..size).collect();
        let commit = committer::commit(
            batch,
            self.strategy.clone(),
            self.guide.clone(),
            self.status.clone(),
        );
        self.committing = Some(commit.boxed());
    }

    /// What belongs to a partition that has moved on must not take effect here.
    fn drop_abandoned(&mut self) {
        let (assignments, lanes) = (&self.assignments, &mut self.lanes);
        let before = self.handled.len();
        self.handled.retain(|handled| {
            let held = assignments.holds(handled.trail.place);
            if !held {
                lanes.finish(handled.trail.lane, None);
            }
            held
        });
        self.release(before - self.handled.len());
    }

    fn received(&mut self, records: Vec<Record>) {
        self.in_flight += records.len();
        let mut stale = 0;
        let mut messages = Vec::with_capacity(records.len());
        for record in records {
            match self.assignments.track(&record) {
                Some(place) => {
                    let limits = &self.guide.settings.limits;
                    messages.push(Message::decode(record, place, limits));
                }
                None => stale += 1,
            }
        }
        self.release(stale);
        if !messages.is_empty() {
            self.steps.push_back(Step::Admit(messages));
        }
    }

    fn taken(&mut self, taken: Taken<H::Payload>) {
        self.taking = None;
        let Taken::In(messages) = taken else {
            return;
        };
        let mut done = 0;
        for (message, seen) in messages {
            if seen {
                self.assignments.finish(message.place);
                done += 1;
            } else if !self.assignments.may_start(message.place) {
                self.assignments.abandon(message.place);
                done += 1;
            } else {
                self.lanes.push(message.lane(), message);
            }
        }
        if done > 0 {
            self.release(done);
            self.offsets_moved();
        }
    }

    fn committed(&mut self, trails: Vec<Trail>) {
        self.committing = None;
        self.metrics.committed(trails.len());
        for trail in &trails {
            if let Some(metrics) = self.assignments.metrics(trail.place) {
                match trail.end {
                    End::Done => drop(metrics.handled.inc()),
                    End::Dead(kind) => metrics.dead_lettered(kind),
                }
            }
            self.assignments.finish(trail.place);
            self.lanes.finish(trail.lane, Some(&trail.identity));
        }
        self.release(trails.len());
        self.offsets_moved();
    }

    fn offsets_moved(&mut self) {
        let interval = self.guide.settings.offset_interval;
        self.offsets_due
            .get_or_insert_with(|| Instant::now() + interval);
    }

    fn commit_offsets(&mut self) {
        self.offsets_due = None;
        let moved = self.assignments.take_moved();
        if !moved.is_empty() {
            self.source.commit(&moved);
        }
        for (partition, next) in &moved {
            if let Some(end) = self.source.end_offset(partition) {
                self.metrics.lag(partition, (end.0 - next.0).max(0));
            }
        }
    }

    /// Gives budget back to the source.
    pub(crate) fn release(&mut self, count: usize) {
        if count > 0 {
            self.in_flight -= count;
            self.source.release(count);
        }
    }
}
