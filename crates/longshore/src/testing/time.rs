//! Time in a test: it stands still unless the test lets it pass.
//!
//! tokio's paused clock jumps to the next timer whenever no task can run, and that is also the case while a task waits for
//! a thread that tokio knows nothing of, such as the one of a SQLite connection: a query would take as long as its own time
//! limit. But it never jumps while something runs on tokio's blocking pool. So a [`StandingClock`] keeps a thread there,
//! doing nothing, at all times but those in which a test lets time pass and no store is being asked.

use std::cell::RefCell;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::time::Duration;

use jiff::Timestamp;
use longshore_worker::Clock;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::now;

/// Real time after which a test that waits for a clock that does not move is given up.
const PATIENCE: Duration = Duration::from_secs(60);

thread_local! {
    /// The clock of the test that runs on this thread: a paused clock is a runtime's, and such a runtime a thread's.
    static OF_THIS_TEST: RefCell<Weak<StandingClock>> = const { RefCell::new(Weak::new()) };
}

/// The clock of one test, shared by its workers.
#[derive(Debug)]
pub(super) struct StandingClock {
    runtime: Handle,
    origin: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// As long as there is a worker, time stands still,
    workers: usize,
    /// unless it is let pass,
    passing: usize,
    /// and no call of a store is under way.
    calls: usize,
    /// Time stands still until this is dropped.
    hold: Option<mpsc::Sender<Infallible>>,
    /// What tokio's clock is ahead by: it moves by whole milliseconds, also where no time should pass.
    hidden: Duration,
    /// What is shown at most while time passes.
    limit: Option<Duration>,
}

/// Why time stands still, or passes, until it is dropped.
#[derive(Debug)]
pub(super) struct Presence {
    clock: Arc<StandingClock>,
    of: fn(&mut State) -> &mut usize,
}

/// Time did not pass though it was let: something is busy without end, or is waited for that does not come.
#[derive(Debug)]
pub(super) struct Stuck;

impl std::fmt::Display for Stuck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the worker did not come to rest within {} s of real time: it is busy without end, or waits for a thread that does not answer",
            PATIENCE.as_secs()
        )
    }
}

impl StandingClock {
    /// The clock of the test that runs here; a new one, at [`now`], if it has none yet.
    ///
    /// # Panics
    /// Outside of a tokio runtime of one thread.
    #[track_caller]
    pub(super) fn of_this_test() -> Arc<Self> {
        OF_THIS_TEST.with_borrow_mut(|current| {
            current.upgrade().unwrap_or_else(|| {
                let clock = Arc::new(Self::pause());
                *current = Arc::downgrade(&clock);
                clock
            })
        })
    }

    #[track_caller]
    fn pause() -> Self {
        let runtime = Handle::current();
        assert!(
            runtime.runtime_flavor() == RuntimeFlavor::CurrentThread,
            "a test worker needs a runtime of one thread, whose clock can stand still: write #[tokio::test] without a flavor"
        );
        if !is_paused() {
            tokio::time::pause();
        }
        Self {
            runtime,
            origin: Instant::now(),
            state: Mutex::default(),
        }
    }

    /// For a worker's settings: shows what the test has let pass.
    pub(super) fn clock(self: &Arc<Self>) -> Clock {
        let clock = self.clone();
        Clock::from_fn(move || clock.now())
    }

    pub(super) fn now(&self) -> Timestamp {
        now() + self.shown(&self.lock())
    }

    /// There is a worker under test.
    pub(super) fn worker(self: &Arc<Self>) -> Presence {
        self.enter(|state| &mut state.workers)
    }

    /// A store is being asked.
    pub(super) fn call(self: &Arc<Self>) -> Presence {
        self.enter(|state| &mut state.calls)
    }

    /// Lets time pass until `future` is done: as much as it takes, of which clocks show `most` at most if it is given.
    pub(super) async fn pass<T>(
        self: &Arc<Self>,
        most: Option<Duration>,
        future: impl Future<Output = T>,
    ) -> Result<T, Stuck> {
        let _limit = Limit::set(self, most);
        let _passing = self.enter(|state| &mut state.passing);
        tokio::select! {
            biased;
            value = future => Ok(value),
            () = stands_for(PATIENCE) => Err(Stuck),
        }
    }

    fn enter(self: &Arc<Self>, of: fn(&mut State) -> &mut usize) -> Presence {
        let mut state = self.lock();
        *of(&mut state) += 1;
        self.hold_or_let_go(&mut state);
        Presence {
            clock: self.clone(),
            of,
        }
    }

    fn hold_or_let_go(&self, state: &mut State) {
        let stands = state.calls > 0 || (state.workers > 0 && state.passing == 0);
        match (stands, &state.hold) {
            (true, None) => {
                let (hold, held) = mpsc::channel::<Infallible>();
                // Ends when the sender is dropped; nothing is ever sent.
                self.runtime.spawn_blocking(move || held.recv().is_err());
                state.hold = Some(hold);
            }
            (false, Some(_)) => state.hold = None,
            (true, Some(_)) | (false, None) => {}
        }
    }

    fn passed(&self, state: &State) -> Duration {
        self.origin.elapsed().saturating_sub(state.hidden)
    }

    fn shown(&self, state: &State) -> Duration {
        let passed = self.passed(state);
        state.limit.map_or(passed, |limit| passed.min(limit))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole after every operation, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut state = self.clock.lock();
        *(self.of)(&mut state) -= 1;
        self.clock.hold_or_let_go(&mut state);
    }
}

/// What is shown at most, until it is dropped.
struct Limit<'a>(&'a StandingClock);

impl<'a> Limit<'a> {
    fn set(clock: &'a StandingClock, most: Option<Duration>) -> Self {
        let mut state = clock.lock();
        state.limit = most.map(|most| clock.shown(&state) + most);
        Self(clock)
    }
}

impl Drop for Limit<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        let unseen = self.0.passed(&state) - self.0.shown(&state);
        state.hidden += unseen;
        state.limit = None;
    }
}

/// Completes when the clock has not moved for so much real time.
async fn stands_for(patience: Duration) {
    loop {
        let before = Instant::now();
        real_time(patience).await;
        if Instant::now() == before {
            return;
        }
    }
}

/// Waits for real time, whatever tokio's clock shows.
async fn real_time(time: Duration) {
    let (over, is_over) = oneshot::channel();
    let (_cancel, cancelled) = mpsc::channel::<Infallible>();
    std::thread::spawn(move || {
        if cancelled.recv_timeout(time) == Err(mpsc::RecvTimeoutError::Timeout) {
            // Nobody waits any more if the test went on just now.
            over.send(()).ok();
        }
    });
    is_over.await.ok();
}

/// Whether tokio's clock stands still; it can be asked in no other way.
fn is_paused() -> bool {
    const LOOK: Duration = Duration::from_micros(20);
    let (before, real) = (Instant::now(), std::time::Instant::now());
    while real.elapsed() < LOOK {
        std::hint::spin_loop();
    }
    Instant::now() == before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_held_does_not_move_and_is_noticed() {
        let clock = StandingClock::of_this_test();
        let _worker = clock.worker();
        let asleep = tokio::spawn(tokio::time::sleep(Duration::from_secs(1)));

        stands_for(Duration::from_millis(20)).await;

        assert!(!asleep.is_finished(), "time was not let pass");
        assert_eq!(clock.now(), now());
    }

    #[tokio::test(start_paused = true)]
    async fn clocks_show_no_more_than_was_let_pass() {
        let clock = StandingClock::of_this_test();
        let _worker = clock.worker();

        let second = Duration::from_secs(1);
        let sleep = tokio::time::sleep(3 * second);
        clock.pass(Some(second), sleep).await.expect("it passes");
        assert_eq!(clock.now(), now() + second);

        let sleep = tokio::time::sleep(3 * second);
        clock.pass(None, sleep).await.expect("it passes");
        assert_eq!(clock.now(), now() + 4 * second);
    }

    #[tokio::test(start_paused = true)]
    async fn time_does_not_pass_while_a_store_is_asked() {
        let clock = StandingClock::of_this_test();
        let _worker = clock.worker();
        let call = clock.call();
        let asking = async {
            real_time(Duration::from_millis(20)).await;
            let waited = clock.now();
            drop(call);
            waited
        };

        let long = tokio::time::sleep(Duration::from_secs(60));
        let both = async { tokio::join!(asking, long).0 };
        let waited = clock.pass(None, both).await.expect("it passes");

        assert_eq!(waited, now());
        assert_eq!(clock.now(), now() + Duration::from_secs(60));
    }

    #[test]
    #[should_panic(expected = "a runtime of one thread")]
    fn a_runtime_of_many_threads_is_refused() {
        let runtime = tokio::runtime::Runtime::new().expect("threads");
        runtime.block_on(async { StandingClock::of_this_test() });
    }
}
