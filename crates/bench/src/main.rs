//! `longshore-bench`: what a message costs beside hand-written loops, what failing keys cost the healthy ones, and how
//! late timers are.
//!
//! Speeds are ratios of one run, against one broker and one topic.

#![allow(clippy::print_stdout)]

mod arena;
mod contestant;
mod failures;
mod memory;
mod note;
mod output;
mod report;
mod timers;

use clap::{Parser, ValueEnum};

/// Measure what a message costs, as ratios against hand-written loops in one run.
#[derive(Parser, Debug)]
#[command(after_help = "Examples:
  longshore-bench
  longshore-bench --messages 20000 --store postgres://postgres@127.0.0.1/bench
  longshore-bench --brokers 127.0.0.1:9092 --rounds 5
  longshore-bench failures --messages 50000 --keys 500
  longshore-bench timers --messages 200000 --over 60 --rounds 1")]
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

    /// `timers`: the seconds over which the timers are due, evenly.
    #[arg(long, default_value_t = 60)]
    over: u32,

    /// `timers`: the seconds until the first one is due. Setting them all should take less.
    #[arg(long, default_value_t = 60)]
    lead: u32,

    /// Used by the benchmark itself: run one contestant and print what it did as JSON.
    #[arg(long, hide = true)]
    contestant: Option<String>,

    /// Used by the benchmark itself: set timers and fire them until standard input ends.
    #[arg(long, hide = true)]
    timer_worker: Option<String>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Scenario {
    /// What a message costs, beside hand-written loops.
    #[default]
    Cost,
    /// What it costs the healthy keys that every message of one key in ten fails until it was parked once.
    Failures,
    /// How late timers are that messages have set, one each.
    Timers,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    if let Some(task) = &arguments.contestant {
        return runtime.block_on(contestant::run(serde_json::from_str(task)?));
    }
    if let Some(task) = &arguments.timer_worker {
        return runtime.block_on(timers::work(serde_json::from_str(task)?));
    }
    match arguments.scenario {
        Scenario::Cost => runtime.block_on(arena::run(&arguments)),
        Scenario::Failures => runtime.block_on(failures::run(&arguments)),
        Scenario::Timers => runtime.block_on(timers::run(&arguments)),
    }
}
