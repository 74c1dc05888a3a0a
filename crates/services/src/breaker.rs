//! A circuit breaker: closed while a service answers; open while it is not asked; half-open while one try probes.
//!
//! Of the crates for it that are well kept, `failsafe` lets every call through when half-open and `recloser` looks back
//! over a number of calls by a clock of its own; what is needed here is one probe, a window of time, and tokio's clock.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::{BreakerSettings, Service};

/// Parts of the window that are forgotten one at a time.
const SLICES: usize = 10;

/// Whether a service is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BreakerState {
    /// It is.
    Closed,
    /// It is not.
    Open,
    /// One try decides.
    HalfOpen,
}

#[derive(Debug)]
pub(crate) struct Breaker {
    service: Service,
    settings: BreakerSettings,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// Grows with every change of the state: a try that was begun in an earlier one has nothing to say in this one.
    generation: u64,
}

#[derive(Debug)]
enum State {
    Closed(Window),
    Open { until: Instant },
    HalfOpen { probed: bool },
}

/// The leave to make one try. What is dropped unsettled says nothing, and gives a probe's place to the next.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    breaker: &'a Breaker,
    generation: u64,
}

/// No try may be made; the next probe is so far ahead, or under way if that is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) next_probe: Duration,
}

impl Breaker {
    pub(crate) fn new(service: Service, settings: BreakerSettings) -> Self {
        let inner = Inner {
            state: State::Closed(Window::new()),
            generation: 0,
        };
        Self {
            service,
            settings,
            inner: Mutex::new(inner),
        }
    }

    /// Leave for one try.
    pub(crate) fn permit(&self) -> Result<Permit<'_>, Refused> {
        let mut inner = self.lock();
        let now = Instant::now();
        match &mut inner.state {
            State::Closed(_) => {}
            State::Open { until } if now < *until => {
                let next_probe = until.duration_since(now);
                return Err(Refused { next_probe });
            }
            State::Open { .. } => inner.becomes(State::HalfOpen { probed: true }),
            State::HalfOpen { probed } if *probed => {
                let next_probe = Duration::ZERO;
                return Err(Refused { next_probe });
            }
            State::HalfOpen { probed } => *probed = true,
        }
        Ok(Permit {
            breaker: self,
            generation: inner.generation,
        })
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.lock().state {
            State::Closed(_) => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Failed tries and tries in the window, and the time until the next probe if it is open.
    pub(crate) fn numbers(&self) -> (u32, u32, Option<Duration>) {
        let now = Instant::now();
        match &self.lock().state {
            State::Closed(window) => {
                let (failed, tries) = window.counts(now, self.settings.window);
                (failed, tries, None)
            }
            State::Open { until } => (0, 0, Some(until.saturating_duration_since(now))),
            State::HalfOpen { .. } => (0, 0, None),
        }
    }

    fn settle(&self, generation: u64, failed: bool) {
        let mut inner = self.lock();
        if inner.generation != generation {
            return;
        }
        let now = Instant::now();
        let until = now + self.settings.open;
        match &mut inner.state {
            State::Closed(window) => {
                window.count(now, self.settings.window, failed);
                if !failed {
                    return;
                }
                let (failed, tries) = window.counts(now, self.settings.window);
                let share = f64::from(failed) / f64::from(tries.max(1));
                if tries >= self.settings.least && share >= self.settings.share {
                    warn!(service = %self.service, failed, of = tries, open_for = ?self.settings.open, "service fails: not asked until a probe");
                    inner.becomes(State::Open { until });
                }
            }
            State::HalfOpen { .. } if failed => inner.becomes(State::Open { until }),
            State::HalfOpen { .. } => {
                info!(service = %self.service, "service answers again");
                inner.becomes(State::Closed(Window::new()));
            }
            // Nothing is permitted there.
            State::Open { .. } => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nobody panics between two changes that belong together.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn becomes(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
    }
}

impl Permit<'_> {
    /// Says how the try went.
    pub(crate) fn settle(self, failed: bool) {
        self.breaker.settle(self.generation, failed);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let inner = &mut *self.breaker.lock();
        // A settled probe has changed the state, and with it the generation.
        if let State::HalfOpen { probed } = &mut inner.state
            && inner.generation == self.generation
        {
            *probed = false;
        }
    }
}

/// Tries by the slice of time in which they ended.
#[derive(Debug)]
struct Window {
    began: Instant,
    slices: [Slice; SLICES],
}

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    number: u64,
    tries: u32,
    failed: u32,
}

impl Window {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            slices: [Slice::default(); SLICES],
        }
    }

    fn number(&self, now: Instant, window: Duration) -> u64 {
        let slice = (window.as_millis() / SLICES as u128).max(1);
        let number = now.duration_since(self.began).as_millis() / slice;
        u64::try_from(number).unwrap_or(u64::MAX)
    }

    fn count(&mut self, now: Instant, window: Duration, failed: bool) {
        let number = self.number(now, window);
        let slice = &mut self.slices[(number % SLICES as u64) as usize];
        if slice.number != number {
            *slice = Slice {
                number,
                ..Slice::default()
            };
        }
        slice.tries += 1;
        slice.failed += u32::from(failed);
    }

    /// Failed tries and tries.
    fn counts(&self, now: Instant, window: Duration) -> (u32, u32) {
        let number = self.number(now, window);
        let recent = self.slices.iter();
        let recent = recent.filter(|slice| number - slice.number < SLICES as u64);
        recent.fold((0, 0), |(failed, tries), slice| {
            (failed + slice.failed, tries + slice.tries)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn breaker() -> Breaker {
        Breaker::new(Service::Payment, BreakerSettings::default())
    }

    fn tries(breaker: &Breaker, failed: bool, times: usize) {
        for _ in 0..times {
            breaker.permit().expect("permitted").settle(failed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_at_half_of_enough_tries() {
        let breaker = breaker();
        tries(&breaker, true, 9);
        assert_eq!(breaker.state(), BreakerState::Closed, "nine are too few");
        tries(&breaker, false, 10);
        assert_eq!(
            breaker.state(),
            BreakerState::Closed,
            "9 of 19 are less than half"
        );
        tries(&breaker, true, 1);
        assert_eq!(breaker.state(), BreakerState::Open);
        let refused = breaker.permit().expect_err("open");
        assert_eq!(refused.next_probe, Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_forgotten_with_time() {
        let breaker = breaker();
        tries(&breaker, true, 9);
        advance(Duration::from_secs(11)).await;
        tries(&breaker, true, 9);
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(breaker.numbers().0, 9);
        advance(Duration::from_secs(5)).await;
        tries(&breaker, true, 1);
        assert_eq!(
            breaker.state(),
            BreakerState::Open,
            "five seconds are no age"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_at_a_time_decides() {
        let breaker = breaker();
        tries(&breaker, true, 10);
        advance(Duration::from_secs(29)).await;
        breaker.permit().expect_err("not yet");
        advance(Duration::from_secs(1)).await;

        let probe = breaker.permit().expect("the probe");
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        breaker
            .permit()
            .expect_err("a second one waits for the first");
        probe.settle(true);
        assert_eq!(breaker.state(), BreakerState::Open);

        advance(Duration::from_secs(30)).await;
        breaker.permit().expect("the probe").settle(false);
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(breaker.numbers(), (0, 0, None), "what was is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_dropped_leaves_its_place_to_another() {
        let breaker = breaker();
        tries(&breaker, true, 10);
        advance(Duration::from_secs(30)).await;

        drop(breaker.permit().expect("the probe"));

        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        breaker.permit().expect("another probe").settle(false);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_straggler_from_before_says_nothing() {
        let breaker = breaker();
        let (late, later) = (
            breaker.permit().expect("closed"),
            breaker.permit().expect("closed"),
        );
        tries(&breaker, true, 10);
        advance(Duration::from_secs(30)).await;
        let probe = breaker.permit().expect("the probe");

        late.settle(false);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        drop(later);
        breaker.permit().expect_err("the probe is still under way");
        probe.settle(false);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
