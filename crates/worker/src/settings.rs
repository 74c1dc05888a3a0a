//! What can be set of a worker, with the bounds that keep its memory and its waits finite.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use longshore_event::Limits;
use tokio::time::Instant;

/// The settings of one worker process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The consumer group: part of every derived id, so it must be the same in all instances of a worker.
    pub group: Arc<str>,
    /// Handlers running at once, each on another key.
    pub concurrency: usize,
    /// Messages in memory: waiting in lanes, being handled, waiting for their commit. At the bound no more are read.
    pub max_in_flight: usize,
    /// Messages in one transaction.
    pub max_batch: usize,
    /// Immediate retries of a transient failure.
    pub retry: Retry,
    /// Time for one run of the handler; one that takes longer is dropped, which is a transient failure.
    pub handler_timeout: Duration,
    /// Time to finish what is in flight when partitions move or the worker stops.
    pub drain: Duration,
    /// What a record may measure.
    pub limits: Limits,
    /// Offsets are committed to the group this long after the first of them became free.
    pub offset_interval: Duration,
    /// Where the time comes from.
    pub clock: Clock,
}

impl Settings {
    /// Defaults for the consumer group `group`.
    pub fn new(group: impl Into<Arc<str>>) -> Self {
        Self {
            group: group.into(),
            concurrency: 64,
            max_in_flight: 2_000,
            max_batch: 500,
            retry: Retry::default(),
            handler_timeout: Duration::from_secs(60),
            drain: Duration::from_secs(25),
            limits: Limits::default(),
            offset_interval: Duration::from_millis(200),
            clock: Clock::system(),
        }
    }
}

/// Immediate retries in the lane: exponential, with jitter, bounded in number and in total time.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Runs of the handler in all, the first one included; at least 1.
    pub attempts: u32,
    /// The wait before the second run; each later one is twice as long.
    pub first: Duration,
    /// The longest wait between two runs.
    pub longest: Duration,
    /// No further run is started once this has passed since the first. Keep it well below `max.poll.interval.ms`.
    pub total: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 4,
            first: Duration::from_millis(100),
            longest: Duration::from_secs(5),
            total: Duration::from_secs(60),
        }
    }
}

impl Retry {
    /// The wait before another run after `failed` runs, the first of them `elapsed` ago; `None` to give up.
    pub(crate) fn next(&self, failed: u32, elapsed: Duration) -> Option<Duration> {
        if failed >= self.attempts || elapsed >= self.total {
            return None;
        }
        let doubled = self
            .first
            .saturating_mul(1 << failed.saturating_sub(1).min(20));
        Some(jittered(doubled.min(self.longest)))
    }
}

/// Between half of `wait` and the whole of it, so that what failed together does not come back together.
pub(crate) fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// The source of the time of day. Waits go by tokio's clock, which tests can pause.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Arc::new(Timestamp::now))
    }

    /// Starts at `start` and goes with tokio's clock, paused or not.
    ///
    /// # Panics
    /// The clock panics when it runs past the year 9999.
    pub fn from_tokio(start: Timestamp) -> Self {
        let origin = Instant::now();
        Self(Arc::new(move || start + origin.elapsed()))
    }

    /// Now, UTC.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_end_by_number_and_by_time() {
        let retry = Retry::default();
        assert!(retry.next(1, Duration::ZERO).is_some());
        assert!(retry.next(4, Duration::ZERO).is_none());
        assert!(retry.next(1, retry.total).is_none());
    }

    #[test]
    fn waits_grow_to_the_longest_and_are_jittered_by_half() {
        let retry = Retry {
            attempts: 100,
            ..Retry::default()
        };
        for (failed, nominal) in [(1, 100), (2, 200), (3, 400), (50, 5_000)] {
            let wait = retry.next(failed, Duration::ZERO).expect("another run");
            let nominal = Duration::from_millis(nominal);
            assert!(wait >= nominal / 2 && wait <= nominal, "{failed}: {wait:?}");
        }
    }
}
