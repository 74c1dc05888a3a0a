//! How a job is to be run, from flags.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use longshore::parse_duration;
use longshore_jobs::{Backoff, JobOptions};

/// What a job asks for; whatever is not given is the queue's default.
#[derive(Debug, Args)]
pub(crate) struct OptionArguments {
    /// Higher ones run first
    #[arg(
        long,
        env = "LONGSHORE_JOB_PRIORITY",
        default_value = "0",
        value_name = "N",
        allow_negative_numbers = true
    )]
    priority: i32,
    /// Run it no earlier than this long from now, as in `10m`
    #[arg(long, env = "LONGSHORE_JOB_DELAY", value_name = "TIME", value_parser = parse_duration)]
    delay: Option<Duration>,
    /// Run it no earlier than this, as in `2026-11-26T08:00:00Z`
    #[arg(
        long,
        env = "LONGSHORE_JOB_RUN_AT",
        value_name = "TIME",
        conflicts_with = "delay"
    )]
    run_at: Option<Timestamp>,
    /// Runs in all, the first one included
    #[arg(long, env = "LONGSHORE_JOB_ATTEMPTS", value_name = "N")]
    attempts: Option<u32>,
    /// The wait after the first failure; each later one is twice as long, up to --backoff-longest
    #[arg(long, env = "LONGSHORE_JOB_BACKOFF", value_name = "TIME", value_parser = parse_duration)]
    backoff: Option<Duration>,
    /// The longest wait between two runs; the same as --backoff makes all of them the same
    #[arg(long, env = "LONGSHORE_JOB_BACKOFF_LONGEST", default_value = "10m", value_name = "TIME", value_parser = parse_duration)]
    backoff_longest: Duration,
    /// The share of each wait that is left to chance, from 0 to 1
    #[arg(
        long,
        env = "LONGSHORE_JOB_JITTER",
        default_value = "0.5",
        value_name = "SHARE"
    )]
    jitter: f64,
    /// Time for one run
    #[arg(long, env = "LONGSHORE_JOB_TIME_LIMIT", value_name = "TIME", value_parser = parse_duration)]
    time_limit: Option<Duration>,
    /// Keep nothing of it once it has succeeded
    #[arg(long, env = "LONGSHORE_JOB_REMOVE", value_parser = clap::builder::FalseyValueParser::new())]
    remove_on_complete: bool,
    /// Drop it while another job of the queue with this key waits or runs
    #[arg(long, env = "LONGSHORE_JOB_UNIQUE", value_name = "KEY")]
    unique: Option<String>,
}

impl OptionArguments {
    pub(super) fn options(&self) -> JobOptions {
        let backoff = self.backoff.map(|first| Backoff::Exponential {
            first_ms: milliseconds(first),
            longest_ms: milliseconds(self.backoff_longest.max(first)),
            jitter: self.jitter,
        });
        JobOptions {
            priority: self.priority,
            delay_ms: self.delay.map(milliseconds),
            run_at: self.run_at,
            attempts: self.attempts,
            backoff,
            time_limit_ms: self.time_limit.map(milliseconds),
            remove_on_complete: self.remove_on_complete.then_some(true),
            unique_key: self.unique.clone(),
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
