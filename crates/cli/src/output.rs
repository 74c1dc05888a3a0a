//! What is printed where: results to standard output, notes and errors to standard error, colour on a terminal only.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;
use tracing_subscriber::EnvFilter;

/// How a command prints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// JSON instead of text.
    pub(crate) json: bool,
    /// Whether standard output shows colour.
    pub(crate) colour: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            colour: io::stdout().is_terminal() && !no_colour(),
        }
    }

    /// One line of text.
    pub(crate) fn line(self, text: impl Display) -> io::Result<()> {
        writeln!(io::stdout(), "{text}")
    }

    /// One line of JSON.
    pub(crate) fn json(self, value: &impl Serialize) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, value)?;
        writeln!(out)?;
        Ok(())
    }

    /// `text` in a colour, if there is any.
    pub(crate) fn paint(self, colour: Colour, text: impl Display) -> String {
        if self.colour {
            format!("\x1b[{}m{text}\x1b[0m", colour as u8)
        } else {
            text.to_string()
        }
    }
}

/// Colours by their ANSI codes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Cyan = 36,
    Grey = 90,
}

/// Something the user should know that is no result.
#[expect(
    clippy::print_stderr,
    reason = "this is where the command line talks to people"
)]
pub(crate) fn note(text: impl Display) {
    eprintln!("{text}");
}

/// A number with what it counts: `1 key`, `2 keys`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Warnings, and when an outage is over. librdkafka repeats in its words what the reader says in ours, and what becomes of
/// a producer and its transactions is told by the command that has them.
const QUIET: &str = "warn,longshore_kafka=info,longshore_kafka::producer=off,longshore_kafka::transaction=off,librdkafka=error";

/// Sends warnings to standard error, or what `RUST_LOG` asks for. For commands that wait out an outage, which is only
/// told by the log.
pub(crate) fn warn_on_standard_error() {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| QUIET.to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && !no_colour())
        .init();
}

/// What is wrong with the command line as a whole, which no single flag's parser sees.
pub(crate) fn wrong_usage(text: impl Display) -> anyhow::Error {
    clap::Error::raw(clap::error::ErrorKind::ValueValidation, format!("{text}\n")).into()
}

/// Tells an error with its causes; the exit code that goes with it.
pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
    if let Some(wrong) = error.downcast_ref::<clap::Error>() {
        return match wrong.print() {
            Ok(()) => ExitCode::from(2),
            Err(_) => ExitCode::FAILURE,
        };
    }
    if is_broken_pipe(error) {
        // Whoever read our output has read enough: `longshore tail | head`.
        return ExitCode::SUCCESS;
    }
    let label = if io::stderr().is_terminal() && !no_colour() {
        "\x1b[31merror:\x1b[0m"
    } else {
        "error:"
    };
    note(format_args!("{label} {error}"));
    for cause in error.chain().skip(1) {
        note(format_args!("  because: {cause}"));
    }
    ExitCode::FAILURE
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = error
        .downcast_ref::<io::Error>()
        .map(io::Error::kind)
        .or_else(|| error.downcast_ref::<serde_json::Error>()?.io_error_kind());
    kind == Some(io::ErrorKind::BrokenPipe)
}

/// <https://no-color.org>
fn no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_told_as_one() {
        assert_eq!(counted(0, "key", "keys"), "0 keys");
        assert_eq!(counted(1, "key", "keys"), "1 key");
        assert_eq!(counted(2, "key", "keys"), "2 keys");
    }
}
