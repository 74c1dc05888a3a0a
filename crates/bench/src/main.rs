//! `longshore-bench`: messages per second and peak memory of a worker, beside hand-written loops that do the same work.
//!
//! Each contestant runs in a process of its own against one broker and one topic, so that memory is its own and speeds
//! are ratios of one run.

#![allow(clippy::print_stdout)]

mod arena;
mod contestant;
mod note;
mod report;

use clap::Parser;

/// Measure what a message costs, as ratios against hand-written loops in one run.
#[derive(Parser, Debug)]
#[command(after_help = "Examples:
  longshore-bench
  longshore-bench --messages 20000 --store postgres://postgres@127.0.0.1/bench
  longshore-bench --brokers 127.0.0.1:9092 --rounds 5")]
struct Arguments {
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

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    match &arguments.contestant {
        Some(task) => runtime.block_on(contestant::run(serde_json::from_str(task)?)),
        None => runtime.block_on(arena::run(&arguments)),
    }
}
