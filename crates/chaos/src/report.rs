//! What a run tells: a line for everything that happens, a summary at the end, and the exit code.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::violation::Violation;

/// Violations that are printed one by one; a run that goes wrong may have thousands of one kind.
const SHOWN: usize = 100;

/// What happens during a run, in lines with their time on standard error, and counted.
#[derive(Debug)]
pub(crate) struct Journal {
    began: Instant,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    counts: BTreeMap<&'static str, usize>,
    violations: Vec<Violation>,
}

impl Journal {
    pub(crate) fn begin() -> Self {
        Self {
            began: Instant::now(),
            notes: Mutex::default(),
        }
    }

    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    pub(crate) fn line(&self, text: fmt::Arguments<'_>) {
        note(format_args!(
            "{:>7} s  {text}",
            seconds(self.began.elapsed())
        ));
    }

    pub(crate) fn count(&self, what: &'static str) {
        *self.notes().counts.entry(what).or_default() += 1;
    }

    pub(crate) fn violation(&self, violation: Violation) {
        self.line(format_args!("VIOLATION: {violation}"));
        self.notes().violations.push(violation);
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.notes().counts.clone()
    }

    /// Those found so far, which are the caller's from now on.
    pub(crate) fn take_violations(&self) -> Vec<Violation> {
        std::mem::take(&mut self.notes().violations)
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a run, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) passed: bool,
    pub(crate) seed: u64,
    pub(crate) strategy: &'static str,
    pub(crate) protocol: &'static str,
    pub(crate) broker: String,
    /// Whether the network was cut.
    pub(crate) network: bool,
    /// From the first message to the last end.
    pub(crate) seconds: f64,
    pub(crate) disturbances: BTreeMap<&'static str, usize>,
    pub(crate) messages: usize,
    /// Messages that the producer sent again.
    pub(crate) copies: usize,
    /// Ends, as the logs have them; absent if the logs break a promise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ends: Option<Ends>,
    /// Records of aborted transactions; absent if there were no transactions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aborted: Option<usize>,
    /// Rows that handlers wrote; absent if they had no database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) effects: Option<usize>,
    pub(crate) violations: Vec<String>,
    /// Where logs and evidence are, if they were kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scratch: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Ends {
    pub(crate) done: usize,
    pub(crate) dead: usize,
    /// Follow-on events and dead letters that stand in the log once more under the same id.
    pub(crate) repeats: usize,
}

impl Report {
    pub(crate) fn print(&self, as_json: bool) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if as_json {
            serde_json::to_writer(&mut out, self)?;
            writeln!(out)?;
        } else {
            write!(out, "{self}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            strategy,
            protocol,
            broker,
            messages,
            copies,
            ..
        } = self;
        writeln!(f)?;
        writeln!(
            f,
            "seed {seed}, strategy {strategy}, protocol {protocol}, {broker}, {:.0} s",
            self.seconds
        )?;
        let counts = self.disturbances.iter();
        let counts: Vec<_> = counts
            .map(|(what, count)| format!("{what}: {count}"))
            .collect();
        writeln!(f, "disturbances  {}", counts.join(", "))?;
        if !self.network {
            writeln!(f, "              the network was NOT cut")?;
        }
        writeln!(f, "messages      {messages}, {copies} of them sent again")?;
        if let Some(Ends {
            done,
            dead,
            repeats,
        }) = self.ends
        {
            writeln!(
                f,
                "ends          {done} done, {dead} dead; {repeats} published again under the same id"
            )?;
        }
        if let Some(aborted) = self.aborted {
            writeln!(
                f,
                "aborted       {aborted} records, which readers of committed records do not see"
            )?;
        }
        if let Some(effects) = self.effects {
            writeln!(f, "effects       {effects}")?;
        }
        for violation in self.violations.iter().take(SHOWN) {
            writeln!(f, "VIOLATION: {violation}")?;
        }
        if self.violations.len() > SHOWN {
            writeln!(f, "and {} more", self.violations.len() - SHOWN)?;
        }
        if let Some(scratch) = &self.scratch {
            writeln!(f, "logs and evidence are in {}", scratch.display())?;
        }
        match self.passed {
            true => writeln!(f, "all promises kept"),
            false => writeln!(
                f,
                "{} promises broken; --seed {seed} disturbs in the same way",
                self.violations.len()
            ),
        }
    }
}

/// A line on standard error.
pub(crate) fn note(text: fmt::Arguments<'_>) {
    if writeln!(std::io::stderr(), "{text}").is_err() {
        // Nobody listens.
    }
}

/// A time with one digit behind the point.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}

/// An error and its causes, from the outermost, joined by `: `.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    message
}

/// Success if all promises were kept; otherwise failure, also if the run itself failed, which is told.
pub(crate) fn exit_code(passed: anyhow::Result<bool>) -> ExitCode {
    match passed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            note(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
