//! The orchestrator against services that fail, runs that are dropped at any await, and two instances at once.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;
use crate::log::LogError;
use crate::{State, Step};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const LIMIT: Duration = Duration::from_secs(60);

/// Pending once: a place where a run may be dropped, or another one go first.
async fn a_moment() {
    let mut passed = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut passed, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// It fails and nothing has happened.
    Before,
    /// It happens, and the answer is lost.
    After,
    Hangs,
}

/// Services with a memory for keys, and what their ledger says.
#[derive(Default)]
struct Services {
    /// Answers by key: `true` is done.
    answers: Mutex<BTreeMap<String, bool>>,
    /// What took effect, in order.
    effects: Mutex<Vec<String>>,
    /// Of the next calls.
    faults: Mutex<VecDeque<Fault>>,
    /// The action that says no.
    refuses: Option<&'static str>,
}

impl Services {
    async fn call(&self, key: &str) -> Result<bool, Failure> {
        a_moment().await;
        let fault = lock(&self.faults).pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::Before => return Err(Failure::transient("no connection")),
            Fault::Hangs => std::future::pending().await,
            Fault::None | Fault::After => {}
        }
        let answer = *lock(&self.answers)
            .entry(key.to_owned())
            .or_insert_with(|| {
                let done = self.refuses.is_none_or(|action| !key.starts_with(action));
                if done {
                    lock(&self.effects).push(key.to_owned());
                }
                done
            });
        a_moment().await;
        match fault {
            Fault::After => Err(Failure::transient("the answer is lost")),
            _ => Ok(answer),
        }
    }
}

/// Flight and hotel, booked together and then told.
struct Trip<'a>(&'a Services);

#[derive(Clone, Copy)]
enum Booking {
    Flight,
    Hotel,
    Confirm,
    Tell,
}

impl Saga for Trip<'_> {
    const NAME: &'static str = "trip";
    const STEPS: &'static [Step<Booking>] = &[
        Step::new(Booking::Flight, "flight").compensated_by("no-flight"),
        Step::new(Booking::Hotel, "hotel").compensated_by("no-hotel"),
        Step::new(Booking::Confirm, "confirm").commits(),
        Step::new(Booking::Tell, "tell"),
    ];
    const LIMIT: Duration = LIMIT;
    type Step = Booking;
    type Data = Vec<String>;
    type Refusal = String;

    async fn act(
        &self,
        step: Booking,
        data: &mut Vec<String>,
        call: &Call<'_>,
    ) -> Result<Answer<String>, Failure> {
        if !self.0.call(call.key()).await? {
            return Ok(Answer::Refused(call.key().to_owned()));
        }
        if matches!(step, Booking::Flight | Booking::Hotel) {
            data.push(call.key().to_owned());
        }
        Ok(Answer::Done)
    }

    async fn compensate(
        &self,
        _: Booking,
        data: &Vec<String>,
        call: &Call<'_>,
    ) -> Result<(), Failure> {
        let booked = call.key().trim_start_matches("no-");
        assert!(data.iter().any(|key| key == booked), "{booked} is known");
        self.0.call(call.key()).await.map(drop)
    }
}

#[derive(Default)]
struct Memory(Mutex<Option<Row>>);

impl Memory {
    fn put(&self, row: Row) -> bool {
        let mut stored = lock(&self.0);
        let before = stored.as_ref().map_or(0, |row| row.version);
        let fits = before == row.version - 1;
        if fits {
            *stored = Some(row);
        }
        fits
    }

    fn state(&self) -> Option<State> {
        lock(&self.0).as_ref().map(|row| row.state)
    }

    fn part(&self, name: &str) -> crate::Part {
        let row = lock(&self.0).clone().expect("recorded");
        let parts = row
            .journal
            .steps
            .into_iter()
            .flat_map(|step| [Some(step.action), step.compensation]);
        let mut parts = parts.flatten();
        parts.find(|part| part.name == name).expect("a part")
    }
}

impl Log for Memory {
    async fn load(&self, _: &'static str, _: &str) -> Result<Option<Row>, LogError> {
        a_moment().await;
        let row = lock(&self.0).clone();
        a_moment().await;
        Ok(row)
    }

    async fn record(&self, row: Row) -> Result<bool, LogError> {
        a_moment().await;
        let recorded = self.put(row);
        a_moment().await;
        Ok(recorded)
    }
}

type End = Ending<Vec<String>, String>;

/// A store, services, and what messages have said in their transactions.
#[derive(Default)]
struct World {
    services: Services,
    memory: Memory,
    said: Mutex<Vec<End>>,
}

impl World {
    /// One run and the transaction of its message. `Ok(true)` if the message is done.
    async fn handle(
        &self,
        start: Start<Vec<String>, String>,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let run = Run {
            saga: &Trip(&self.services),
            id: "t-1",
            log: &self.memory,
            clock: RunClock::at(now),
        };
        let is_follow_up = matches!(start, Start::FollowUp);
        let Some(finished) = run.drive(start).await? else {
            return Ok(true);
        };
        a_moment().await;
        // The message's transaction: all of it, or none.
        let committed = self.memory.put(finished.row);
        if committed && !is_follow_up {
            lock(&self.said).push(finished.ending);
        }
        a_moment().await;
        Ok(committed)
    }

    fn effects(&self) -> Vec<String> {
        lock(&self.services.effects).clone()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
}

fn begin() -> Start<Vec<String>, String> {
    Start::Begin(Vec::new())
}

#[test]
fn a_saga_is_recorded_step_by_step_and_ends_with_the_message() {
    runtime().block_on(async {
        let world = World::default();
        assert!(world.handle(begin(), NOW).await.expect("done"));
        assert_eq!(
            world.memory.state(),
            Some(State::Running),
            "one step is left"
        );
        assert!(world.handle(Start::FollowUp, NOW).await.expect("done"));

        assert_eq!(
            world.effects(),
            ["flight:t-1", "hotel:t-1", "confirm:t-1", "tell:t-1"]
        );
        assert_eq!(world.memory.state(), Some(State::Completed));
        let data = vec!["flight:t-1".to_owned(), "hotel:t-1".to_owned()];
        assert_eq!(*lock(&world.said), [Ending::Committed(data)]);
    });
}

#[test]
fn a_call_that_hangs_is_a_failure_that_the_saga_remembers() {
    runtime().block_on(async {
        let world = World::default();
        lock(&world.services.faults).extend([Fault::Hangs, Fault::Before]);
        for expected in ["did not answer within", "no connection"] {
            let failure = world.handle(begin(), NOW).await.expect_err("fails");
            assert!(failure.message().contains(expected), "{failure:?}");
            let error = world
                .memory
                .part("flight")
                .last_error
                .expect("it is recorded");
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(world.memory.part("flight").attempts, 2);
        world.handle(begin(), NOW).await.expect("done");
        assert_eq!(world.memory.part("flight").attempts, 3);
    });
}

#[test]
fn a_saga_past_its_limit_asks_what_is_open_and_takes_it_back() {
    runtime().block_on(async {
        let world = World::default();
        lock(&world.services.faults).extend([Fault::None, Fault::After]);
        world
            .handle(begin(), NOW)
            .await
            .expect_err("the answer is lost");
        let late = NOW + SignedDuration::try_from(LIMIT).expect("short");
        world.handle(begin(), late).await.expect("done");

        assert_eq!(*lock(&world.said), [Ending::TimedOut]);
        assert_eq!(world.memory.state(), Some(State::TimedOut));
        assert_eq!(
            world.effects(),
            ["flight:t-1", "hotel:t-1", "no-hotel:t-1", "no-flight:t-1"]
        );
    });
}

#[test]
fn a_saga_that_is_called_off_before_it_begins_does_nothing() {
    runtime().block_on(async {
        let world = World::default();
        let off = Start::CalledOff("changed my mind".to_owned());
        assert!(world.handle(off, NOW).await.expect("done"));
        assert!(world.effects().is_empty());
        assert_eq!(
            *lock(&world.said),
            [Ending::Refused("changed my mind".to_owned())]
        );
        assert!(
            world.handle(begin(), NOW).await.expect("done"),
            "it has ended"
        );
        assert!(world.effects().is_empty());
    });
}

#[derive(Clone, Copy, Debug)]
enum Turn {
    /// This instance goes on for a moment; if it has nothing to do, the message comes to it again.
    Poll(usize),
    /// This instance dies.
    Crash(usize),
    /// From now on, messages find the saga called off.
    CallOff,
    /// From now on, it is too late.
    Late,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        40 => (0_usize..2).prop_map(Turn::Poll),
        4 => (0_usize..2).prop_map(Turn::Crash),
        1 => Just(Turn::CallOff),
        1 => Just(Turn::Late),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![4 => Just(Fault::None), 1 => Just(Fault::Before), 1 => Just(Fault::After)]
}

type Handling<'a> = Pin<Box<dyn Future<Output = Result<bool, Failure>> + 'a>>;

/// Lets the turns happen, then lets one instance go on until the message is done.
fn play(world: &World, turns: &[Turn]) {
    let runtime = runtime();
    let _guard = runtime.enter();
    let mut context = Context::from_waker(Waker::noop());
    let mut instances: [Option<Handling<'_>>; 2] = [None, None];
    let (mut called_off, mut now) = (false, NOW);
    let start = |called_off| match called_off {
        true => Start::CalledOff("off".to_owned()),
        false => begin(),
    };
    for turn in turns {
        match *turn {
            Turn::Poll(which) => {
                let begun = || -> Handling<'_> { Box::pin(world.handle(start(called_off), now)) };
                let handling = instances[which].get_or_insert_with(begun);
                if handling.as_mut().poll(&mut context).is_ready() {
                    instances[which] = None;
                }
            }
            Turn::Crash(which) => instances[which] = None,
            Turn::CallOff => called_off = true,
            Turn::Late => now = NOW + SignedDuration::try_from(LIMIT).expect("short"),
        }
    }
    drop(instances);
    for last in [start(called_off), Start::FollowUp] {
        let mut tries = 0..100;
        while !matches!(runtime.block_on(world.handle(last.clone(), now)), Ok(true)) {
            tries.next().expect("it ends");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_books_balance_whoever_dies_where(
        turns in prop::collection::vec(turn(), 0..80),
        faults in prop::collection::vec(fault(), 0..8),
        refuses in prop::sample::select(vec![None, Some("flight"), Some("hotel"), Some("confirm")]),
    ) {
        let world = World {
            services: Services { refuses, faults: Mutex::new(faults.into()), ..Services::default() },
            ..World::default()
        };
        play(&world, &turns);

        let (effects, said) = (world.effects(), lock(&world.said).clone());
        prop_assert_eq!(said.len(), 1, "it ends once: {:?}", said);
        prop_assert!(world.memory.state().is_some_and(State::is_end));
        let has = |key: &str| effects.iter().filter(|effect| *effect == key).count();
        if matches!(said[0], Ending::Committed(_)) {
            prop_assert_eq!(effects, ["flight:t-1", "hotel:t-1", "confirm:t-1", "tell:t-1"]);
        } else {
            for service in ["flight", "hotel"] {
                let (done, undone) = (has(&format!("{service}:t-1")), has(&format!("no-{service}:t-1")));
                prop_assert_eq!(done, undone, "{}: {:?}", service, effects);
            }
            let place = |key: &str| effects.iter().position(|effect| effect == key);
            prop_assert!(place("no-hotel:t-1") <= place("no-flight:t-1") || place("no-hotel:t-1").is_none());
            prop_assert_eq!(has("tell:t-1"), 0);
        }
    }
}
