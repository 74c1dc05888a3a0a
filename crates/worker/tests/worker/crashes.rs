//! Seeded histories: a worker that crashes, loses its store, its acknowledgements and its partitions at any moment, and
//! a checker that reads what is left. A failing seed prints itself; `LONGSHORE_SEED=n` runs it alone.

use std::collections::HashMap;
use std::time::Duration;

use longshore_event::{DeadLetter, attribute};

use crate::bench::{Bench, text};

const HISTORIES: u64 = 400;
const KEYS: usize = 5;
const MESSAGES: usize = 40;

#[test]
fn effects_are_once_and_in_order_whatever_happens() {
    let only = std::env::var("LONGSHORE_SEED").ok();
    let only: Option<u64> = only.map(|seed| seed.parse().expect("LONGSHORE_SEED is a number"));
    let seeds = only.map_or(0..HISTORIES, |seed| seed..seed + 1);
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let history = std::panic::catch_unwind(|| runtime.block_on(run(seed)));
        if history.is_err() {
            panic!("history {seed} breaks an invariant; LONGSHORE_SEED={seed} runs it alone");
        }
    }
}

async fn run(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    fastrand::seed(seed);
    let bench = Bench::new(3);
    for n in 0..MESSAGES {
        let kind = ["", "", "", "slow", "flaky", "poison", "bad"][random.usize(..7)];
        bench.produce(
            &format!("k-{}", random.usize(..KEYS)),
            &[&format!("{kind} {n}")],
        );
    }
    for _ in 0..random.usize(1..6) {
        bench
            .store
            .set_latency(Duration::from_millis(random.u64(..30)));
        bench
            .publisher
            .set_latency(Duration::from_millis(random.u64(..30)));
        let worker = bench.start();
        for _ in 0..random.usize(..4) {
            tokio::time::sleep(Duration::from_millis(random.u64(..900))).await;
            match random.usize(..7) {
                0 => bench.store.lose_answer_of_commit(random.usize(1..4)),
                1 => bench.store.fail_calls(random.usize(1..6)),
                2 => bench.publisher.lose_acknowledgements(),
                3 => bench.publisher.unavailable(),
                4 => {
                    let moving = vec![bench.partitions()[random.usize(..3)].clone()];
                    let within = Duration::from_millis(random.u64(..2_000));
                    if worker.status.borrow().assigned.contains(&moving[0]) {
                        worker
                            .control
                            .revoke(&moving, within)
                            .await
                            .unwrap_or_default();
                        worker.control.assign(&moving);
                    }
                }
                5 => {
                    worker.control.lose(&bench.partitions());
                    worker.control.assign(&bench.partitions());
                }
                _ => {}
            }
        }
        worker.crash().await;
        bench.publisher.available();
        assert_committed_below_unfinished(&bench);
    }
    bench.store.fail_calls(0);
    let worker = bench.start();
    bench
        .until_true("every message is finished", |bench| {
            bench.committed() == MESSAGES as i64
        })
        .await;
    bench.until_published().await;
    worker.stop().await.expect("left in good order");
    check(&bench);
}

/// Invariant 1: whatever stands below the committed offset is in the inbox.
fn assert_committed_below_unfinished(bench: &Bench) {
    for record in bench.log.records("notes") {
        let committed = bench.group.committed(&record.partition);
        if committed.is_some_and(|next| record.offset.next() <= next) {
            let id = record.headers.get_str(attribute::ID).expect("an id");
            assert!(
                bench.store.has_seen(&crate::bench::identity(id)),
                "{id} is lost"
            );
        }
    }
}

fn check(bench: &Bench) {
    let notes = bench.log.records("notes");
    let finished = bench.store.finished();
    assert_eq!(
        finished.len(),
        notes.len(),
        "each message takes effect once"
    );

    let mut ends: HashMap<String, &str> = HashMap::new();
    let mut ids: HashMap<String, String> = HashMap::new();
    for (topic, end) in [("echoes", "done"), ("notes.dlq", "dead")] {
        for record in bench.log.records(topic) {
            let text = text(&record);
            let other = ends.insert(text.clone(), end);
            assert!(
                other.is_none_or(|other| other == end),
                "{text} has two ends"
            );
            assert_eq!(DeadLetter::read(&record.headers).is_some(), end == "dead");
            let id = record
                .headers
                .get_str(attribute::ID)
                .expect("an id")
                .to_owned();
            let earlier = ids.insert(text.clone(), id.clone());
            assert!(
                earlier.is_none_or(|earlier| earlier == id),
                "{text} was published under two ids"
            );
        }
    }
    for note in &notes {
        let text = text(note);
        let dies = text.starts_with("poison") || text.starts_with("bad");
        assert_eq!(
            ends.get(&text),
            Some(&if dies { "dead" } else { "done" }),
            "{text}"
        );
    }
    assert_in_order(bench, "echoes");
    assert_in_order(bench, "notes.dlq");
}

/// First appearances of a key's follow-ons are in the order of their causes; a repetition bears the same id, so that
/// the reader's inbox skips it.
fn assert_in_order(bench: &Bench, topic: &str) {
    let mut last: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut seen = std::collections::HashSet::new();
    for record in bench.log.records(topic) {
        let text = text(&record);
        if !seen.insert(text.clone()) {
            continue;
        }
        let number: usize = text
            .rsplit(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .expect("a number");
        let key = record.key.as_deref().unwrap_or_default().to_vec();
        if let Some(before) = last.insert(key, number) {
            assert!(before < number, "{topic}: {number} came after {before}");
        }
    }
}
