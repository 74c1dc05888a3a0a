//! Logs: to standard error, as text for people or JSON for machines, filtered by `RUST_LOG`.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Mutex;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people; in colour on a terminal, unless `NO_COLOR` is set.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends logs to a file, written anew: for a process that has its terminal for something else. From INFO up, or as
/// `RUST_LOG` says. Does nothing more if logs go somewhere already.
///
/// # Errors
/// The file cannot be created.
pub fn log_to_file(path: &Path) -> io::Result<()> {
    let file = File::create(path)?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter())
        .log_internal_errors(false)
        .with_writer(Mutex::new(file))
        .with_ansi(false);
    // An error means that somebody else has set a subscriber before, which is theirs to do.
    logs.try_init().ok();
    Ok(())
}

/// Sends logs to standard error: from INFO up, or as `RUST_LOG` says. Does nothing if logs go somewhere already.
pub fn init_telemetry(format: LogFormat) {
    // What cannot be written is lost. To complain of it would be a panic, since whoever read standard error is gone.
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter())
        .log_internal_errors(false)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && !no_colour());
    // An error means that somebody else has set a subscriber before, which is theirs to do.
    drop(match format {
        LogFormat::Text => logs.try_init(),
        LogFormat::Json => logs.json().flatten_event(true).try_init(),
    });
}

/// What is logged unless RUST_LOG says otherwise. What sqlx tells at INFO is of no use to who runs a worker.
const DEFAULT_FILTER: &str = "info,sqlx=warn";

fn filter() -> EnvFilter {
    let directives = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    if directives.is_empty() {
        return EnvFilter::new(DEFAULT_FILTER);
    }
    EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse_lossy(directives)
}

/// <https://no-color.org>
fn no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}
