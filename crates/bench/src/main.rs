//! `longshore-bench`: what a message costs beside hand-written loops, and what failing keys cost the healthy ones.
//!
//! Speeds are ratios of one run, against one broker and one topic.

#![allow(clippy::print_stdout)]

mod arena;
mod contestant;
mod failures;
mod note;
mod report;

use clap::{Parser, ValueEnum};

/// Measure what a message costs, as ratios against hand-written loops in one run.
#[derive(Parser, Debug)]
#[command(after_help = "Examples:
  longshore-bench
  longshore-bench --messages 20000 --store postgres://postgres@127.0.0.1/bench
  longshore-bench --brokers 127.0.0.1:9092 --rounds 5
  longshore-bench failures --messages 50000 --keys 500")]
struct Arguments {
    #[arg(value_enum, default_value_t)]
    scenario: Scenario,

    /// Messages in the topic that every contestant works through.
    #[arg(long, default_value_t = 100_000)]
    messages: usize,

    /// How many different keys they have.
    #[arg(long, default_value_t = 10_000)]
    keys: usize,

    /// Every contestant runs this often, in turns; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,

    /// A Kafka to run on; without it an embedded broker is started.
    #[arg(long, env = "KAFKA_BROKERS")]
    brokers: Option<String>,

    /// `sqlite`, for a new file each time, or the URL of a PostgreSQL database in which schemas may be made.
    #[arg(long, default_value = "sqlite")]
    store: String,

    /// Used by the benchmark itself: run one contestant and print what it did as JSON.
    #[arg(long, hide = true)]
    contestant: Option<String>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Scenario {
    /// What a message costs, beside hand-written loops.
    #[default]
    Cost,
    /// What it costs the healthy keys that every message of one key in ten fails until it was parked once.
    Failures,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    match (&arguments.contestant, arguments.scenario) {
        (Some(task), _) => runtime.block_on(contestant::run(serde_json::from_str(task)?)),
        (None, Scenario::Cost) => runtime.block_on(arena::run(&arguments)),
        (None, Scenario::Failures) => runtime.block_on(failures::run(&arguments)),
    }
}
