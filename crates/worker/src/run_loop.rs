//! The run loop: one task that turns what the source tells into messages in lanes, handlers at work, group commits and
//! committed offsets, and that lets partitions come and go.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FusedFuture};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use longshore_event::TopicPartition;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::assignments::Assignments;
use crate::backoff::Backoff;
use crate::brake::Brake;
use crate::committer::Committed;
use crate::drain::Loaded;
use crate::ending::{Handled, Sequence};
use crate::intake::{Step, Taken};
use crate::journey::{Guide, Journey};
use crate::lanes::{LaneScope, Lanes};
use crate::message::Message;
use crate::outage::OutOfReach;
use crate::parking::Parking;
use crate::pending::{at, changed, optional};
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
            backlog: self.strategy.backlog(),
            strategy: Arc::new(self.strategy),
            assignments: Assignments::new(self.metrics.clone()),
            lanes: Lanes::new(),
            steps: VecDeque::new(),
            taking: None,
            arriving: Arc::default(),
            taking_over: Vec::new(),
            journeys: FuturesUnordered::new(),
            out_of_reach: OutOfReach::new(),
            brake: Brake::new(guide.settings.brake),
            parking: Parking::new(
                guide.settings.park.max_keys,
                guide.settings.park.max_messages,
                guide.settings.redrive_topic.clone(),
            ),
            loads: FuturesUnordered::new(),
            handled: VecDeque::new(),
            committing: None,
            ended_before_commit: 0,
            commit_retry: None,
            offsets_due: None,
            phase: Phase::Running,
            stopping: false,
            fenced: BTreeMap::new(),
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
    pub(crate) taking: Option<BoxFuture<'static, Taken>>,
    /// The messages that the step under way looks up, if that is what it does. It shares them until it is over.
    pub(crate) arriving: Arc<Vec<Message<H::Payload>>>,
    /// The partitions that the step under way takes over, if that is what it does.
    pub(crate) taking_over: Vec<TopicPartition>,
    pub(crate) lanes: Lanes<Message<H::Payload>>,
    pub(crate) journeys: FuturesUnordered<BoxFuture<'static, Journey<H::Payload>>>,
    pub(crate) out_of_reach: OutOfReach<H::Payload>,
    pub(crate) brake: Brake,
    /// Keys that wait in the store, and pages of them being read.
    pub(crate) parking: Parking,
    pub(crate) loads: FuturesUnordered<BoxFuture<'static, Loaded>>,
    /// How many committed records wait to be published.
    pub(crate) backlog: Option<watch::Receiver<u64>>,
    /// What waits for the next commit, and the one under way.
    pub(crate) handled: VecDeque<Handled>,
    pub(crate) committing: Option<BoxFuture<'static, Committed>>,
    /// How many stays had ended when it began.
    pub(crate) ended_before_commit: usize,
    /// Set while the commit target is out of reach: the waits, and when it is tried again.
    pub(crate) commit_retry: Option<(Backoff, Instant)>,
    /// When the watermarks that have moved are committed to the group, and lag is looked at.
    pub(crate) offsets_due: Option<Instant>,
    /// Partitions that have another owner in the store, and until when the group may take to say so.
    pub(crate) fenced: BTreeMap<TopicPartition, Instant>,
    /// Records taken from the source and not given back; the source bounds it.
    pub(crate) in_flight: usize,
}

/// One thing that happened.
enum Turn<P> {
    Stop,
    Source(SourceEvent),
    Taken(Taken),
    Ended(Journey<P>),
    Committed(Committed),
    CommitAgain,
    OutageDue,
    ParkedDue,
    Loaded(Loaded),
    Backlog,
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
        let outage_due = self.out_of_reach.due();
        let parked_due = self.parked_due();
        let fenced_until = self.fenced.values().min().copied();
        tokio::select! {
            biased;
            () = stop.as_mut(), if !stopped => Turn::Stop,
            event = self.source.next() => Turn::Source(event),
            committed = optional(&mut self.committing) => Turn::Committed(committed),
            taken = optional(&mut self.taking) => Turn::Taken(taken),
            Some(loaded) = self.loads.next() => Turn::Loaded(loaded),
            Some(ended) = self.journeys.next() => Turn::Ended(ended),
            () = at(commit_again), if self.committing.is_none() => Turn::CommitAgain,
            () = at(outage_due) => Turn::OutageDue,
            () = at(parked_due) => Turn::ParkedDue,
            () = changed(&mut self.backlog) => Turn::Backlog,
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
            // `advance` starts the commit, or the intake.
            Turn::CommitAgain | Turn::Backlog => {}
            Turn::OutageDue => self.try_again(),
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

    /// Gives budget back to the source.
    pub(crate) fn release(&mut self, count: usize) {
        if count > 0 {
            self.in_flight -= count;
            self.source.release(count);
        }
    }
}
