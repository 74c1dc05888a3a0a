//! The brake at work: closed while messages go through; open when most of them fail; half-open while one message probes
//! whether the cause is gone.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::lanes::LaneId;
use crate::report::{BrakeReport, BrakeState};
use crate::settings::{self, doubling};

/// How the last message ended, as the brake sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// What it needs answered: it was done, or refused for good.
    Answered,
    /// It failed, and trying again might have helped.
    Failed,
}

#[derive(Debug)]
pub(crate) struct Brake {
    settings: settings::Brake,
    state: State,
    /// Messages from the log that run, and the last of those that have ended, in the order in which they were started. In
    /// the order in which they end, failures that wait for their retries come in bursts, and a burst looks as if
    /// everything failed.
    recent: VecDeque<Started>,
    /// How many of them have ended.
    seen: usize,
    /// How many of those have failed.
    failed: usize,
}

/// A message that was started, and whether it has failed.
#[derive(Debug)]
struct Started {
    lane: LaneId,
    outcome: Option<Outcome>,
}

#[derive(Debug)]
enum State {
    Closed,
    /// Nothing is started until then.
    Open {
        until: Instant,
        probes: u32,
    },
    /// One message is, and its end decides.
    HalfOpen {
        probe: Option<LaneId>,
        probes: u32,
    },
}

impl Brake {
    pub(crate) fn new(settings: settings::Brake) -> Self {
        Self {
            settings,
            state: State::Closed,
            recent: VecDeque::with_capacity(settings.window),
            seen: 0,
            failed: 0,
        }
    }

    /// Whether another message may be started.
    pub(crate) fn permits(&self) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { .. } => false,
            State::HalfOpen { probe, .. } => probe.is_none(),
        }
    }

    /// Whether failures are to wait instead of being parked or buried.
    pub(crate) fn is_engaged(&self) -> bool {
        !matches!(self.state, State::Closed)
    }

    /// Whether the lane's message is the probe.
    pub(crate) fn is_probed_by(&self, lane: LaneId) -> bool {
        matches!(self.state, State::HalfOpen { probe: Some(probe), .. } if probe == lane)
    }

    /// A message was started; in the half-open state it is the probe. Only one that is `fresh` counts among the recent
    /// ones: what was parked and fails again is known to fail, and says nothing about the others.
    pub(crate) fn started(&mut self, lane: LaneId, fresh: bool) {
        match &mut self.state {
            State::Closed if fresh && self.settings.share < 1.0 => self.recent.push_back(Started {
                lane,
                outcome: None,
            }),
            State::Closed | State::Open { .. } => {}
            State::HalfOpen { probe, .. } => *probe = Some(lane),
        }
    }

    /// A message came to an end.
    pub(crate) fn ended(&mut self, lane: LaneId, outcome: Outcome) {
        match &self.state {
            State::Closed => self.look_back(lane, outcome),
            // Started before it opened: says nothing about now.
            State::Open { .. } => {}
            State::HalfOpen { probe, probes } if *probe == Some(lane) => match outcome {
                Outcome::Answered => self.close(),
                Outcome::Failed => self.open(probes + 1),
            },
            State::HalfOpen { .. } => {}
        }
    }

    /// A message was dropped before it came to an end. If it was the probe, another one is to be.
    pub(crate) fn left(&mut self, lane: LaneId) {
        if let Some(place) = self.running(lane) {
            self.recent.remove(place);
        }
        if let State::HalfOpen { probe, .. } = &mut self.state
            && *probe == Some(lane)
        {
            *probe = None;
        }
    }

    /// What it says of itself; `time_of` tells the time of day of a moment.
    pub(crate) fn report(&self, time_of: impl Fn(Instant) -> Timestamp) -> BrakeReport {
        BrakeReport {
            state: match self.state {
                State::Closed => BrakeState::Closed,
                State::Open { .. } => BrakeState::Open,
                State::HalfOpen { .. } => BrakeState::HalfOpen,
            },
            failed: self.failed,
            of: self.seen,
            next_probe: self.probes_at().map(time_of),
        }
    }

    /// When the next probe may start; `None` if nothing is waited for.
    pub(crate) fn probes_at(&self) -> Option<Instant> {
        match self.state {
            State::Open { until, .. } => Some(until),
            State::Closed | State::HalfOpen { .. } => None,
        }
    }

    /// The wait before a probe is over.
    pub(crate) fn half_open(&mut self) {
        if let State::Open { probes, .. } = self.state {
            self.state = State::HalfOpen {
                probe: None,
                probes,
            };
        }
    }

    /// Opens if most of those that have ended have failed.
    fn look_back(&mut self, lane: LaneId, outcome: Outcome) {
        let Some(place) = self.running(lane) else {
            return;
        };
        self.recent[place].outcome = Some(outcome);
        self.seen += 1;
        self.failed += usize::from(outcome == Outcome::Failed);
        if self.seen > self.settings.window {
            self.forget_oldest();
        }
        let (seen, failed) = (self.seen, self.failed);
        if seen >= self.settings.least && failed as f64 > self.settings.share * seen as f64 {
            warn!(
                failed,
                of = seen,
                "most messages fail: waiting, and probing with one at a time"
            );
            self.open(0);
        }
    }

    /// Forgets the message that was started first, of those that have ended.
    fn forget_oldest(&mut self) {
        let mut started = self.recent.iter();
        let oldest = started.position(|started| started.outcome.is_some());
        if let Some(oldest) = oldest.and_then(|place| self.recent.remove(place)) {
            self.seen -= 1;
            self.failed -= usize::from(oldest.outcome == Some(Outcome::Failed));
        }
    }

    /// Where the lane's message is among the recent ones: one of a lane runs at a time, and most end soon after they were
    /// started.
    fn running(&self, lane: LaneId) -> Option<usize> {
        let mut started = self.recent.iter();
        started.rposition(|started| started.outcome.is_none() && started.lane == lane)
    }

    fn open(&mut self, probes: u32) {
        let wait: Duration = doubling(self.settings.first, self.settings.longest, probes);
        self.state = State::Open {
            until: Instant::now() + wait,
            probes,
        };
    }

    fn close(&mut self) {
        info!("a message went through: going on");
        self.state = State::Closed;
        self.recent.clear();
        self.seen = 0;
        self.failed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::LaneId;

    fn brake() -> Brake {
        Brake::new(settings::Brake {
            window: 10,
            least: 6,
            ..settings::Brake::default()
        })
    }

    fn end(brake: &mut Brake, outcomes: &[Outcome]) {
        for outcome in outcomes {
            brake.started(LaneId::for_test(0), true);
            brake.ended(LaneId::for_test(0), *outcome);
        }
    }

    #[test]
    fn it_opens_when_most_of_enough_messages_failed() {
        use Outcome::{Answered, Failed};
        let mut brake = brake();
        end(&mut brake, &[Failed, Failed, Failed]);
        assert!(brake.permits(), "three are too few to judge by");
        end(&mut brake, &[Answered, Answered, Answered]);
        assert!(brake.permits(), "half is not most");
        end(&mut brake, &[Failed]);
        assert!(!brake.permits() && brake.is_engaged());
    }

    #[test]
    fn what_was_parked_and_fails_again_does_not_open_it() {
        let mut brake = brake();
        for _ in 0..100 {
            brake.started(LaneId::for_test(0), false);
            brake.ended(LaneId::for_test(0), Outcome::Failed);
        }
        assert!(brake.permits());
    }

    #[test]
    fn failures_that_end_together_do_not_open_it_if_few_of_those_started_failed() {
        let mut brake = brake();
        // One in five fails, and ends only when all the others have.
        for lane in 0..50 {
            brake.started(LaneId::for_test(lane), true);
            if lane % 5 != 0 {
                brake.ended(LaneId::for_test(lane), Outcome::Answered);
            }
        }
        for lane in (0..50).step_by(5) {
            brake.ended(LaneId::for_test(lane), Outcome::Failed);
        }
        assert!(brake.permits());
    }

    #[test]
    fn one_probe_at_a_time_decides() {
        let mut brake = brake();
        end(&mut brake, &[Outcome::Failed; 6]);
        let first = brake.probes_at().expect("open");
        brake.half_open();
        assert!(brake.permits());
        brake.started(LaneId::for_test(7), true);
        assert!(!brake.permits(), "a second one must wait for the first");

        brake.ended(LaneId::for_test(3), Outcome::Answered);
        assert!(!brake.permits(), "a straggler is no probe");
        brake.ended(LaneId::for_test(7), Outcome::Failed);
        assert!(brake.probes_at().expect("open again") > first);

        brake.half_open();
        brake.started(LaneId::for_test(5), true);
        brake.left(LaneId::for_test(5));
        assert!(brake.permits() && brake.is_engaged(), "another one probes");
        brake.started(LaneId::for_test(7), true);
        brake.ended(LaneId::for_test(7), Outcome::Answered);
        assert!(brake.permits() && !brake.is_engaged());
    }
}
