//! Handlers at work: lanes start, journeys end, and it is decided what a failure means.

use futures_util::{FutureExt, StreamExt};
use longshore_event::ErrorKind;

use crate::brake::Outcome;
use crate::ending::Handled;
use crate::journey::{Failed, Journey};
use crate::lanes::LaneId;
use crate::message::Message;
use crate::run_loop::RunLoop;
use crate::{CommitStrategy, Handler, Source};

impl<H: Handler, S: Source, C: CommitStrategy> RunLoop<H, S, C> {
    /// Starts handlers while there are idle lanes and free hands; those that finish at once free theirs again.
    pub(crate) fn start_journeys(&mut self) {
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
        let tenure = self.assignments.tenure(message.place);
        let known = self.lanes.took_effect(lane, message.identity());
        let (Some(metrics), Some(tenure), false) = (metrics, tenure, known) else {
            self.lanes.finish(lane, None);
            if known {
                self.assignments.finish(message.place);
            }
            self.let_message_go(&message);
            return;
        };
        let (metrics, tenure) = (metrics.clone(), tenure.clone());
        self.brake.started(lane, message.arrival.is_from_source());
        self.lanes.went_out(lane, message.place);
        let journey = self.guide.clone().journey(message, lane, metrics, tenure);
        self.journeys.push(journey.boxed());
    }

    /// A journey is over: its message waits for its commit, or it is decided what its failure means.
    pub(crate) fn ended(&mut self, journey: Journey<H::Payload>) {
        match journey {
            Journey::Done(handled) => {
                if let Some(lane) = handled.trail.lane {
                    self.guide.failing.ended(lane);
                    self.brake.ended(lane, Outcome::Answered);
                }
                if self.assignments.holds(handled.trail.place) {
                    self.ready(*handled);
                } else {
                    self.settle(&handled.trail, None);
                }
            }
            Journey::Failed(failed) if failed.failure.is_outage() => self.wait_out(*failed),
            Journey::Failed(failed) => {
                self.guide.failing.ended(failed.lane);
                self.failed_or_left(*failed);
            }
            Journey::Left(left) => {
                self.brake.left(left.lane);
                self.leave_message(&left.message, left.lane);
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
        // Were the probe to wait too, one message that never succeeds would be the probe for ever.
        let probe = self.brake.is_probed_by(lane);
        self.brake.ended(lane, Outcome::Failed);
        let waits = !probe || self.guide.may_run_again(message.runs);
        if self.brake.is_engaged() && waits {
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
        self.leave_message(&message, lane);
    }

    /// The message that is out of this lane is the next owner's.
    pub(crate) fn leave_message(&mut self, message: &Message<H::Payload>, lane: LaneId) {
        self.guide.failing.ended(lane);
        self.assignments.abandon(message.place);
        self.lanes.finish(lane, None);
        self.let_message_go(message);
    }

    /// The message waits for its commit.
    pub(crate) fn ready(&mut self, handled: Handled) {
        self.assignments.ready(handled.trail.place);
        self.handled.push_back(handled);
    }
}
