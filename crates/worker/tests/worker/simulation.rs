//! Seeded histories: one to three instances that crash at any step, lose their partitions at any step, with or without
//! knowing, on a store and brokers that fail, fed with messages that fail in every way; and a checker that reads what
//! happened. A failing seed prints itself with its events. `LONGSHORE_SEED=n` runs one, `LONGSHORE_HISTORIES=n` so many.

mod terms;

mod world;

mod cluster;

mod instance;

mod actor;
mod line;
mod ports;

mod journal;

mod check;
mod timers;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use journal::Happening;
use world::World;

const HISTORIES: u64 = 10_000;
/// Histories that are lived twice and compared.
const REPLAYED: u64 = 150;

/// A history that is over.
struct Lived {
    happenings: Vec<Happening>,
    problems: Vec<String>,
}

#[test]
fn invariants_hold_in_every_history() {
    let number = |name| {
        let text = std::env::var(name).ok()?;
        Some(
            text.parse::<u64>()
                .unwrap_or_else(|_| panic!("{name} is a number")),
        )
    };
    if let Some(seed) = number("LONGSHORE_SEED") {
        return report(seed);
    }
    let end = number("LONGSHORE_HISTORIES").unwrap_or(HISTORIES);
    let (next, broken) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || broken.load(Ordering::Relaxed) < seed {
                        return;
                    }
                    if live(seed).is_none_or(|lived| !lived.problems.is_empty()) {
                        broken.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let seed = broken.into_inner();
    if seed < end {
        report(seed);
        panic!("history {seed} broke an invariant, but not when it was run again");
    }
}

#[test]
fn a_history_replays_exactly() {
    for seed in 0..REPLAYED {
        let first = live(seed).expect("no panic").happenings;
        let second = live(seed).expect("no panic").happenings;
        let differs = first
            .iter()
            .zip(&second)
            .position(|(one, other)| one != other);
        if let Some(at) = differs {
            let before = first[..at].iter().rev().take(5).rev();
            let before: Vec<String> = before.map(ToString::to_string).collect();
            let (before, one, other) = (before.join("\n"), &first[at], &second[at]);
            panic!("history {seed} differs after\n{before}\nin\n{one}\n{other}");
        }
        assert_eq!(first.len(), second.len(), "history {seed}");
    }
}

/// Runs one history, and tells all of it if it breaks an invariant.
fn report(seed: u64) {
    let again = format!("LONGSHORE_SEED={seed} runs it alone");
    let Some(lived) = live(seed) else {
        panic!("history {seed} panicked; {again}");
    };
    if !lived.problems.is_empty() {
        let told: Vec<String> = lived.happenings.iter().map(ToString::to_string).collect();
        let (told, problems) = (told.join("\n"), lived.problems.join("\n  "));
        panic!("{told}\n\nhistory {seed} breaks an invariant; {again}\n  {problems}");
    }
}

/// `None` if it panicked.
fn live(seed: u64) -> Option<Lived> {
    catch_unwind(AssertUnwindSafe(|| {
        // The runtime under test draws its jitter from the thread's generator.
        fastrand::seed(seed);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut world = World::new(fastrand::Rng::with_seed(seed));
            let lived = world.live().await;
            let happenings = world.journal.read();
            let problems = match lived {
                Ok(()) => check::problems(&happenings, &world),
                Err(stuck) => {
                    let mut problems = check::problems(&happenings, &world);
                    problems.push(stuck);
                    problems
                }
            };
            Lived {
                happenings,
                problems,
            }
        })
    }))
    .ok()
}
