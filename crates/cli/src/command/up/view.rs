//! Shows orders move: bars on a terminal, a line a second otherwise.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::metrics::Numbers;
use super::progress::{Progress, Stage};
use crate::output::Output;

/// How often rates are measured, and how often a line is printed.
const SECOND: Duration = Duration::from_secs(1);

pub(super) struct View {
    surface: Surface,
    names: Vec<&'static str>,
    started: Instant,
    /// When the rates were measured, and the numbers then.
    measured: (Instant, Vec<Numbers>),
    rates: Vec<f64>,
}

enum Surface {
    Live(Bars),
    Lines {
        output: Output,
        last: Option<String>,
    },
    /// Results as JSON are for programs; nobody watches.
    Nothing,
}

struct Bars {
    stages: Vec<ProgressBar>,
    workers: Vec<ProgressBar>,
}

impl View {
    pub(super) fn open(output: Output, progress: &Progress, names: Vec<&'static str>) -> Self {
        let surface = if output.json {
            Surface::Nothing
        } else if io::stderr().is_terminal() {
            Surface::Live(Bars::open(progress.total(), &names))
        } else {
            Surface::Lines { output, last: None }
        };
        Self {
            surface,
            started: Instant::now(),
            measured: (Instant::now(), vec![Numbers::default(); names.len()]),
            rates: vec![0.0; names.len()],
            names,
        }
    }

    pub(super) fn show(&mut self, progress: &Progress, numbers: &[Numbers]) -> io::Result<()> {
        let second_is_over = self.measure(numbers);
        match &mut self.surface {
            Surface::Live(bars) => bars.show(progress, numbers, &self.rates),
            Surface::Lines { output, last } if second_is_over => {
                let line = line(progress, &self.names, numbers, &self.rates);
                if last.as_ref() != Some(&line) {
                    let seconds = self.started.elapsed().as_secs_f64();
                    output.line(format_args!("{seconds:6.1} s  {line}"))?;
                    *last = Some(line);
                }
            }
            Surface::Lines { .. } | Surface::Nothing => {}
        }
        Ok(())
    }

    /// Leaves the terminal as a command leaves it.
    pub(super) fn close(self) {
        if let Surface::Live(bars) = self.surface {
            for bar in bars.stages.iter().chain(&bars.workers) {
                bar.abandon();
            }
        }
    }

    /// Measures the rates once a second, and says whether it did.
    fn measure(&mut self, numbers: &[Numbers]) -> bool {
        let (at, before) = &self.measured;
        let elapsed = at.elapsed();
        if elapsed < SECOND {
            return false;
        }
        let pairs = numbers.iter().zip(before);
        let rate = |(now, before): (&Numbers, &Numbers)| {
            now.handled.saturating_sub(before.handled) as f64 / elapsed.as_secs_f64()
        };
        self.rates = pairs.map(rate).collect();
        self.measured = (Instant::now(), numbers.to_vec());
        true
    }
}

impl Bars {
    fn open(total: usize, names: &[&str]) -> Self {
        let all = MultiProgress::new();
        let bar = template("{prefix:>14} {bar:40.cyan/dim} {pos:>6}/{len}");
        let stages = Stage::ALL.map(|stage| {
            let bar = ProgressBar::new(total as u64).with_style(bar.clone());
            all.add(bar.with_prefix(stage.name()))
        });
        let text = template("{prefix:>14} {msg}");
        let workers = names.iter().map(|name| {
            let line = ProgressBar::new_spinner().with_style(text.clone());
            all.add(line.with_prefix((*name).to_owned()))
        });
        Self {
            stages: stages.to_vec(),
            workers: workers.collect(),
        }
    }

    fn show(&self, progress: &Progress, numbers: &[Numbers], rates: &[f64]) {
        for (bar, stage) in self.stages.iter().zip(Stage::ALL) {
            bar.set_position(progress.count(stage) as u64);
        }
        for ((line, numbers), rate) in self.workers.iter().zip(numbers).zip(rates) {
            line.set_message(describe(numbers, *rate));
            line.tick();
        }
    }
}

fn template(text: &str) -> ProgressStyle {
    // The templates are constants of this file; one with a mistake in it is shown in indicatif's own style.
    ProgressStyle::with_template(text).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn line(progress: &Progress, names: &[&str], numbers: &[Numbers], rates: &[f64]) -> String {
    let stages = Stage::ALL.map(|stage| format!("{} {}", stage.name(), progress.count(stage)));
    let mut parts = vec![stages.join(", ")];
    for ((name, numbers), rate) in names.iter().zip(numbers).zip(rates) {
        parts.push(format!("{name}: {}", describe(numbers, *rate)));
    }
    parts.join(" | ")
}

fn describe(numbers: &Numbers, rate: f64) -> String {
    let Numbers {
        handled,
        failed,
        dead,
        in_flight,
    } = numbers;
    let letters = if *dead == 1 { "letter" } else { "letters" };
    format!(
        "{handled} handled, {rate:.0}/s, {failed} failed runs, {dead} dead {letters}, {in_flight} in flight"
    )
}
