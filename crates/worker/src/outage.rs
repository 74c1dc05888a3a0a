//! Messages whose handlers met an outage. They keep their lanes and hold no hands, so that other keys go on.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::journey::Failed;
use crate::lanes::LaneId;
use crate::message::Message;
use crate::run_loop::RunLoop;
use crate::{CommitStrategy, Handler, Source};

/// Messages that wait for an outage to end, each out of its lane until it is tried again.
#[derive(Debug)]
pub(crate) struct OutOfReach<P> {
    waiting: BTreeMap<(Instant, LaneId), Message<P>>,
    /// How many of them were parked.
    parked: usize,
}

impl<P> OutOfReach<P> {
    pub(crate) fn new() -> Self {
        Self {
            waiting: BTreeMap::new(),
            parked: 0,
        }
    }

    /// How many of them come from the store. Each is of another parked lane.
    pub(crate) fn parked(&self) -> usize {
        self.parked
    }

    /// When the first of them is tried again.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.waiting.keys().next().map(|(due, _)| *due)
    }

    fn wait(&mut self, message: Message<P>, lane: LaneId, wait: Duration) {
        self.parked += usize::from(!message.arrival.is_from_source());
        self.waiting.insert((Instant::now() + wait, lane), message);
    }

    /// Takes one whose time has come.
    fn take_due(&mut self, now: Instant) -> Option<(LaneId, Message<P>)> {
        let first = self.waiting.first_entry()?;
        if first.key().0 > now {
            return None;
        }
        let ((_, lane), message) = first.remove_entry();
        self.parked -= usize::from(!message.arrival.is_from_source());
        Some((lane, message))
    }

    fn take_unless(&mut self, keep: impl Fn(&Message<P>) -> bool) -> Vec<(LaneId, Message<P>)> {
        let taken = self.waiting.extract_if(.., |_, message| !keep(message));
        let taken: Vec<_> = taken.map(|((_, lane), message)| (lane, message)).collect();
        let parked = taken
            .iter()
            .filter(|(_, one)| !one.arrival.is_from_source());
        self.parked -= parked.count();
        taken
    }
}

impl<H: Handler, S: Source, C: CommitStrategy> RunLoop<H, S, C> {
    /// The message was not done for want of something that says nothing about it: it is tried again, for ever, here or by
    /// the next owner.
    pub(crate) fn wait_out(&mut self, failed: Failed<H::Payload>) {
        let Failed {
            mut message,
            failure,
            lane,
        } = failed;
        self.brake.left(lane);
        if !self.assignments.may_start(message.place) {
            return self.leave_message(&message, lane);
        }
        let wait = message.runs.outage.delay();
        self.guide.told(lane, message.runs, &failure, wait);
        self.out_of_reach.wait(message, lane, wait);
    }

    /// Messages that have waited for a while may be started again.
    pub(crate) fn try_again(&mut self) {
        let now = Instant::now();
        while let Some((lane, message)) = self.out_of_reach.take_due(now) {
            self.guide.failing.ended(lane);
            self.lanes.put_back(lane, message);
        }
    }

    /// Leaves what waits, and may not be started any more, to its next owner.
    pub(crate) fn leave_out_of_reach(&mut self) {
        let assignments = &self.assignments;
        let left = self
            .out_of_reach
            .take_unless(|message| assignments.may_start(message.place));
        for (lane, message) in left {
            self.leave_message(&message, lane);
        }
    }
}
