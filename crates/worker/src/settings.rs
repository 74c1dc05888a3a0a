//! What can be set of a worker, with the bounds that keep its memory and its waits finite.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use longshore_event::{Limits, redrive_topic};
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
    /// Records that may wait in the store until their topic can be written, those of other instances included and timers
    /// aside; counted once a second, and up to a million. At the bound no more messages are taken in until some are
    /// published. The two thousand of each topic that fit into memory are let through however low it is.
    pub max_unpublished: u64,
    /// Immediate retries of a transient failure.
    pub retry: Retry,
    /// What comes after them, if the strategy can park messages.
    pub park: Park,
    /// What a dead message means for its key.
    pub on_dead: OnDead,
    /// When so many messages fail that the worker waits instead.
    pub brake: Brake,
    /// Where dead letters come back, to this group alone. Only on this topic are the headers of a redrive believed.
    pub redrive_topic: Arc<str>,
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
        let group = group.into();
        Self {
            redrive_topic: redrive_topic(&group),
            group,
            concurrency: 64,
            max_in_flight: 2_000,
            max_batch: 500,
            max_unpublished: 500_000,
            retry: Retry::default(),
            park: Park::default(),
            on_dead: OnDead::default(),
            brake: Brake::default(),
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
        Some(doubling(self.first, self.longest, failed.saturating_sub(1)))
    }
}

/// Parking: what failed all its immediate retries waits in the store, and its key with it, and is tried again later.
#[derive(Clone, Copy, Debug)]
pub struct Park {
    /// Runs of the handler in all, the immediate ones included; then the message is dead.
    pub attempts: u32,
    /// The first wait; each later one is twice as long.
    pub first: Duration,
    /// The longest wait between two runs.
    pub longest: Duration,
    /// Parked keys in memory, some hundred bytes each: so many that wait, and so many that are held until a redrive. At
    /// either bound no more messages are taken in until keys have drained, but for redrives.
    pub max_keys: usize,
    /// Parked messages in the store, as far as this instance knows of them. At the bound no more messages are taken in
    /// until some have drained, but for redrives.
    pub max_messages: u64,
}

impl Default for Park {
    /// About an hour in all: 5 s, 10 s, 20 s and so on up to 10 minutes.
    fn default() -> Self {
        Self {
            attempts: 16,
            first: Duration::from_secs(5),
            longest: Duration::from_secs(600),
            max_keys: 50_000,
            max_messages: 500_000,
        }
    }
}

impl Park {
    /// The wait before the next run of a message that has failed `failed` times, `immediate` of them at once; `None` to
    /// give up.
    pub(crate) fn next(&self, failed: u32, immediate: u32) -> Option<Duration> {
        if failed >= self.attempts {
            return None;
        }
        Some(doubling(
            self.first,
            self.longest,
            failed.saturating_sub(immediate),
        ))
    }
}

/// What a dead message means for the later messages of its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDead {
    /// They go on.
    #[default]
    GoOn,
    /// They wait until the dead one is redriven or discarded. Needs a strategy that can park messages.
    HoldKey,
}

/// The brake: when most of the recent messages fail, what they need is probably down, and parking or burying them all
/// would help nobody. The worker then waits and probes with one message at a time.
#[derive(Clone, Copy, Debug)]
pub struct Brake {
    /// Messages that are looked back at.
    pub window: usize,
    /// It does not act before it has seen so many.
    pub least: usize,
    /// It acts when a greater share than this failed; 1.0 turns it off.
    pub share: f64,
    /// The wait before the first probe; each later one is twice as long.
    pub first: Duration,
    /// The longest wait between two probes.
    pub longest: Duration,
}

impl Default for Brake {
    fn default() -> Self {
        Self {
            window: 50,
            least: 20,
            share: 0.5,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(30),
        }
    }
}

/// `first` doubled `times`, at most `longest`, with jitter.
pub(crate) fn doubling(first: Duration, longest: Duration, times: u32) -> Duration {
    // Twenty doublings make twelve days of a second.
    jittered(first.saturating_mul(1 << times.min(20)).min(longest))
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

    /// Asks `time` each time.
    pub fn from_fn(time: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(time))
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
