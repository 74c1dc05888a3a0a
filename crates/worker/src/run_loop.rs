//! The run loop: one task that turns what the source tells into messages in lanes, handlers at work, group commits and
//! committed offsets, and that lets partitions come and go.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FusedFuture};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use longshore_event::{ErrorKind, Identity, Record, TopicPartition};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::assignments::Assignments;
use crate::backoff::Backoff;
use crate::brake::{Brake, Outcome};
use crate::committer::{self, Committed};
use crate::drain::Loaded;
use crate::ending::{End, Handled, Sequence, Trail};
use crate::intake::{self, Step, Taken};
use crate::journey::{Failed, Guide, Journey};
use crate::lanes::{LaneId, LaneKey, LaneScope, Lanes};
use crate::message::{Arrival, Message};
use crate::parking::{Parking, Which};
use crate::pending::{at, optional};
use crate::rebalance::{Phase, Revocation};
use crate::report::Failing;
use crate::status::StatusBoard;
use crate::{
    CommitStrategy, Handler, Inspector, Metrics, Report, Settings, Source, SourceError,
    SourceEvent, Status,
};

/// A worker: a handler between a source and a commit strategy.
#[derive(Debug)]
pub struct Worker<H, S, C> {
    handler: H,
    source: S,
    strategy: C,
    settings: Settings,
    metrics: Metrics,
    status: StatusBoard,
    inspector: Inspector,
    questions: mpsc::Receiver<oneshot::Sender<Report>>,
}

impl<H: Handler, S: Source, C: CommitStrategy> Worker<H, S, C> {
    /// Puts a worker together. Nothing happens before [`Worker::run`].
    pub fn new(handler: H, source: S, strategy: C, settings: Settings, metrics: Metrics) -> Self {
        let (inspector, questions) = Inspector::new();
        Self {
            inspector,
            questions,
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

    /// Asks the worker, once it runs, what it is doing and what it waits for.
    pub fn inspector(&self) -> Inspector {
        self.inspector.clone()
    }

    /// Processes messages until `stop` completes; then finishes what is in flight within [`Settings::drain`], commits
    /// and leaves the group.
    ///
    /// # Errors
    /// [`SourceError`] if the source fails for good. What was in flight is then read again by the next owner.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<(), SourceError> {
        let guide = Guide {
            handler: self.handler,
            sequence: Sequence::starting(self.settings.clock.now()),
            scope: match self.strategy.in_log_order() {
                true => LaneScope::Partition,
                false => LaneScope::Group,
            },
            can_park: self.strategy.can_park(),
            failing: Failing::default(),
            settings: self.settings,
        };
        let mut run = RunLoop {
            source: self.source,
            strategy: Arc::new(self.strategy),
            assignments: Assignments::new(self.metrics.clone()),
            lanes: Lanes::new(),
            steps: VecDeque::new(),
            taking: None,
            journeys: FuturesUnordered::new(),
            brake: Brake::new(guide.settings.brake),
            parking: Parking::new(guide.settings.park.max_keys),
            loads: FuturesUnordered::new(),
            handled: VecDeque::new(),
            committing: None,
            commit_retry: None,
            offsets_due: None,
            phase: Phase::Running,
            stopping: false,
            fenced: None,
            in_flight: 0,
            metrics: self.metrics,
            status: self.status,
            questions: self.questions,
            guide: Arc::new(guide),
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
    pub(crate) questions: mpsc::Receiver<oneshot::Sender<Report>>,
    pub(crate) phase: Phase,
    pub(crate) stopping: bool,
    pub(crate) assignments: Assignments,
    /// Intake: what waits to be taken, and the step being taken.
    pub(crate) steps: VecDeque<Step<H::Payload>>,
    pub(crate) taking: Option<BoxFuture<'static, Taken<H::Payload>>>,
    pub(crate) lanes: Lanes<Message<H::Payload>>,
    pub(crate) journeys: FuturesUnordered<BoxFuture<'static, Journey<H::Payload>>>,
    pub(crate) brake: Brake,
    /// Keys that wait in the store, and pages of them being read.
    pub(crate) parking: Parking,
    pub(crate) loads: FuturesUnordered<BoxFuture<'static, Loaded>>,
    /// What waits for the next commit, and the one under way.
    pub(crate) handled: VecDeque<Handled>,
    pub(crate) committing: Option<BoxFuture<'static, Committed>>,
    /// Set while the commit target is out of reach: the waits, and when it is tried again.
    pub(crate) commit_retry: Option<(Backoff, Instant)>,
    /// When the watermarks that have moved are committed to the group.
    pub(crate) offsets_due: Option<Instant>,
    /// A partition that has another owner in the store, and until when the group may take to say so.
    pub(crate) fenced: Option<(TopicPartition, Instant)>,
    /// Records taken from the source and not given back; the source bounds it.
    pub(crate) in_flight: usize,
}

/// One thing that happened.
enum Turn<P> {
    Stop,
    Source(SourceEvent),
    Taken(Taken<P>),
    Ended(Journey<P>),
    Committed(Committed),
    CommitAgain,
    ParkedDue,
    Loaded(Loaded),
    Probe,
    HandedOver,
    RevocationOver,
    OffsetsDue,
    FencedTooLong,
    Asked(oneshot::Sender<Report>),
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
        let commit_again = self.commit_retry.as_ref().map(|(_, again)| *again);
        let parked_due = self.parked_due();
        let fenced_until = self.fenced.as_ref().map(|(_, until)| *until);
        tokio::select! {
            biased;
            () = stop.as_mut(), if !stopped => Turn::Stop,
            event = self.source.next() => Turn::Source(event),
            committed = optional(&mut self.committing) => Turn::Committed(committed),
            taken = optional(&mut self.taking) => Turn::Taken(taken),
            Some(loaded) = self.loads.next() => Turn::Loaded(loaded),
            Some(ended) = self.journeys.next() => Turn::Ended(ended),
            () = at(commit_again), if self.committing.is_none() => Turn::CommitAgain,
            () = at(parked_due) => Turn::ParkedDue,
            () = at(self.brake.probes_at()) => Turn::Probe,
            () = self.phase.handed_over() => Turn::HandedOver,
            () = at(revocation_over) => Turn::RevocationOver,
            () = at(self.offsets_due) => Turn::OffsetsDue,
            () = at(fenced_until) => Turn::FencedTooLong,
            Some(answer) = self.questions.recv() => Turn::Asked(answer),
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
            Turn::Ended(journey) => self.ended(journey),
            Turn::Committed(committed) => self.committed(committed),
            Turn::CommitAgain => self.commit_again(),
            Turn::ParkedDue => self.load_due(),
            Turn::Loaded(loaded) => self.loaded(loaded),
            Turn::Probe => self.brake.half_open(),
            Turn::HandedOver | Turn::RevocationOver => self.answer_revocation(),
            Turn::OffsetsDue => self.commit_offsets(),
            // Whoever asked may have gone.
            Turn::Asked(answer) => answer.send(self.report()).map_or((), drop),
            Turn::FencedTooLong => return Some(Err(self.fenced_for_good())),
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
        if let Some(partitions) = self.parking.take_incomplete() {
            self.steps.push_front(Step::LoadParked(partitions));
        }
        let may_admit = self.parking.may_admit();
        let step = self
            .steps
            .pop_front_if(|step| may_admit || !matches!(step, Step::Admit(_)));
        if let Some(step) = step {
            let room = match step {
                // Those that are known are read once more.
                Step::LoadParked(_) => self.guide.settings.park.max_keys,
                Step::TakeOver(_) | Step::Admit(_) => self.parking.room(),
            };
            let (strategy, status) = (self.strategy.clone(), self.status.clone());
            let taking = async move { intake::take(step, room, &*strategy, &status).await };
            self.taking = Some(taking.boxed());
        }
    }

    /// Starts handlers while there are idle lanes and free hands; those that finish at once free theirs again.
    fn start_journeys(&mut self) {
        loop {
            while self.journeys.len() < self.guide.settings.concurrency && self.brake.permits() {
                let Some((lane, message)) = self.lanes.start() else {
                    break;
                };
                self.start_journey(lane, message);
            }
            let mut ended = false;
            while let Some(Some(journey)) = self.journeys.next().now_or_never() {
                self.ended(journey);
                ended = true;
            }
            if !ended {
                return;
            }
        }
    }

    fn start_journey(&mut self, lane: LaneId, message: Message<H::Payload>) {
        let metrics = self.assignments.metrics(message.place);
        let known = self.lanes.took_effect(lane, message.identity());
        let (Some(metrics), false) = (metrics, known) else {
            self.lanes.finish(lane, None);
            if known {
                self.assignments.finish(message.place);
            }
            self.let_message_go(&message);
            return;
        };
        let metrics = metrics.clone();
        self.brake.started(lane);
        self.lanes.went_out(lane, message.place);
        let journey = self.guide.clone().journey(message, lane, metrics);
        self.journeys.push(journey.boxed());
    }

    /// A journey is over: its message waits for its commit, or it is decided what its failure means.
    fn ended(&mut self, journey: Journey<H::Payload>) {
        match journey {
            Journey::Done(handled) => {
                if let Some(lane) = handled.trail.lane {
                    self.guide.failing.ended(lane);
                    self.brake.ended(lane, Outcome::Answered);
                }
                self.ready(*handled);
            }
            Journey::Failed(failed) => {
                self.guide.failing.ended(failed.lane);
                self.failed_or_left(*failed);
            }
        }
    }

    /// A failure is this worker's to decide on as long as the partition is.
    fn failed_or_left(&mut self, failed: Failed<H::Payload>) {
        if self.assignments.holds(failed.message.place) {
            return self.failed(failed);
        }
        self.brake.ended(failed.lane, Outcome::Failed);
        self.lanes.finish(failed.lane, None);
        self.let_message_go(&failed.message);
    }

    /// What a failure means: wait for what is down, park the message, or give it up.
    fn failed(&mut self, failed: Failed<H::Payload>) {
        let Failed {
            message,
            failure,
            lane,
        } = failed;
        if failure.kind() != ErrorKind::Transient {
            self.brake.ended(lane, Outcome::Answered);
            return self.bury(message, &failure, lane);
        }
        self.brake.ended(lane, Outcome::Failed);
        if self.brake.is_engaged() {
            return self.wait_for_brake(message, lane);
        }
        match self.guide.parked_until(message.runs) {
            Some(due_at) => self.park(message, &failure, due_at, lane),
            None => self.bury(message, &failure, lane),
        }
    }

    /// The message is tried again when the cause of so many failures is gone, here or by the next owner.
    fn wait_for_brake(&mut self, message: Message<H::Payload>, lane: LaneId) {
        if self.assignments.may_start(message.place) {
            return self.lanes.put_back(lane, message);
        }
        self.assignments.abandon(message.place);
        self.lanes.finish(lane, None);
        self.let_message_go(&message);
    }

    /// The message waits for its commit.
    pub(crate) fn ready(&mut self, handled: Handled) {
        self.assignments.ready(handled.trail.place);
        self.handled.push_back(handled);
    }

    /// Commits all that is ready, unless a commit is under way: then it gathers for the next one.
    fn start_commit(&mut self) {
        if self.committing.is_some()
            || self
                .commit_retry
                .as_ref()
                .is_some_and(|(_, at)| *at > Instant::now())
        {
            return;
        }
        self.drop_abandoned();
        let batch = self.next_batch();
        if batch.is_empty() {
            return;
        }
        let commit = committer::commit(
            batch,
            self.strategy.clone(),
            self.guide.clone(),
            self.status.clone(),
        );
        self.committing = Some(commit.boxed());
    }

    fn next_batch(&mut self) -> Vec<Handled> {
        let most = self.guide.settings.max_batch;
        if self.guide.scope == LaneScope::Group {
            let size = self.handled.len().min(most);
            return self.handled.drain(..size).collect();
        }
        let mut ready = Vec::new();
        for handled in std::mem::take(&mut self.handled) {
            if self.assignments.completes_prefix(handled.trail.place) {
                ready.push(handled);
            } else {
                self.handled.push_back(handled);
            }
        }
        // Cut off at the end, it is still a prefix of each partition.
        ready.sort_by_key(|handled| Assignments::log_order(handled.trail.place));
        let rest = ready.split_off(ready.len().min(most));
        self.handled.extend(rest);
        ready
    }

    /// What belongs to a partition that has moved on must not take effect here.
    fn drop_abandoned(&mut self) {
        let assignments = &self.assignments;
        let held = |handled: &Handled| assignments.holds(handled.trail.place);
        if self.handled.iter().all(held) {
            return;
        }
        for handled in std::mem::take(&mut self.handled) {
            if self.assignments.holds(handled.trail.place) {
                self.handled.push_back(handled);
            } else {
                self.settle(&handled.trail, None);
            }
        }
    }

    fn received(&mut self, records: Vec<Record>) {
        self.in_flight += records.len();
        let mut stale = 0;
        let mut messages = Vec::with_capacity(records.len());
        for record in records {
            match self.assignments.track(&record) {
                Some(place) => {
                    let settings = &self.guide.settings;
                    let redriven = record.partition.topic == settings.redrive_topic;
                    messages.push(match redriven {
                        true => Message::redriven(record, place, &settings.limits),
                        false => Message::decode(record, place, &settings.limits),
                    });
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
        match taken {
            Taken::Over(parked) => self.parked_before(parked),
            Taken::In(messages) => {
                for (message, seen) in messages {
                    self.admit(message, seen);
                }
            }
        }
    }

    /// A message comes in: skipped if it took effect before, parked if its key is, otherwise in its lane.
    fn admit(&mut self, message: Message<H::Payload>, seen: bool) {
        if seen {
            self.assignments.finish(message.place);
            self.release(1);
            return self.offsets_moved();
        }
        if !self.assignments.may_start(message.place) {
            self.assignments.abandon(message.place);
            return self.release(1);
        }
        let key = message.lane(self.guide.scope);
        if self.parking.holds(&key) && !self.frees(&message, &key) {
            return self.park_behind(message, &key);
        }
        self.lanes.push(key, message);
    }

    /// Whether the message is what its key waits for: the redrive of the dead one that holds it.
    fn frees(&self, message: &Message<H::Payload>, key: &LaneKey) -> bool {
        matches!(message.arrival, Arrival::Redriven(_)) && self.parking.is_held(key)
    }

    fn committed(&mut self, committed: Committed) {
        self.committing = None;
        let Committed { settled, left } = committed;
        if left.is_empty() {
            self.commit_retry = None;
        } else {
            let (mut backoff, _) = self
                .commit_retry
                .take()
                .unwrap_or_else(|| (Backoff::new(), Instant::now()));
            let again = Instant::now() + backoff.delay();
            self.commit_retry = Some((backoff, again));
            for handled in left.into_iter().rev() {
                self.handled.push_front(handled);
            }
        }
        if settled.is_empty() {
            return;
        }
        self.metrics.committed(settled.len());
        for trail in &settled {
            self.ended_for_good(trail);
        }
        self.offsets_moved();
    }

    fn ended_for_good(&mut self, trail: &Trail) {
        if let Some(metrics) = self.assignments.metrics(trail.place) {
            match trail.end {
                End::Done => drop(metrics.handled.inc()),
                End::Dead(kind) => metrics.dead_lettered(kind),
                End::Parked => drop(metrics.parked.inc()),
                End::Fenced => {}
            }
        }
        if trail.is_newly_held
            && let Some(lane) = trail.lane
        {
            self.hold_behind(trail, lane);
        }
        if trail.end == End::Fenced {
            self.assignments.abandon(trail.place);
            self.fenced(trail);
            self.settle(trail, None);
        } else {
            self.assignments.finish(trail.place);
            // What is parked has not taken effect yet.
            let done = (trail.end != End::Parked).then_some(&trail.identity);
            self.settle(trail, done);
        }
    }

    /// Everybody who waited for this message goes on: its lane, its key among the parked, the source.
    fn settle(&mut self, trail: &Trail, done: Option<&Identity>) {
        if let Some(lane) = trail.lane {
            self.lanes.finish(lane, done);
        }
        let holds_key = self.parking.holds(&trail.key);
        if holds_key && trail.parks {
            let which = match trail.lane {
                Some(_) => Which::Head,
                None => Which::Behind,
            };
            self.parking.settled(&trail.key, which);
            if trail.end != End::Parked {
                self.parking.wake(&trail.key);
            }
        } else if holds_key && let Arrival::Parked(parked) = &trail.arrival {
            self.parking.drained_one(&trail.key, parked.stay);
        } else if holds_key && trail.arrival.redrive() > 0 {
            self.parking.wake(&trail.key);
        }
        if trail.arrival.is_from_source() {
            self.release(1);
        }
    }

    /// A message that never started, or failed after its partition had left, is nobody's here any more.
    pub(crate) fn let_message_go(&mut self, message: &Message<H::Payload>) {
        match &message.arrival {
            Arrival::Parked(parked) => {
                let key = message.lane(self.guide.scope);
                self.parking.drained_one(&key, parked.stay);
            }
            Arrival::Log | Arrival::Redriven(_) => self.release(1),
        }
    }

    fn commit_again(&mut self) {
        // The wait is over; `advance` starts the commit, and its outcome says whether there is another wait.
        if let Some((_, again)) = &mut self.commit_retry {
            *again = Instant::now();
        }
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
