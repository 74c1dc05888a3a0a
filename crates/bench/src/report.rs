//! The medians of all rounds, and the ratios that matter.

use std::collections::BTreeMap;
use std::fmt;

use crate::contestant::{Contestant, Figures};

#[derive(Debug, Default)]
pub(crate) struct Report(BTreeMap<Contestant, Vec<Figures>>);

impl Report {
    pub(crate) fn add(&mut self, contestant: Contestant, figures: Figures) {
        self.0.entry(contestant).or_default().push(figures);
    }

    fn speed(&self, contestant: Contestant) -> f64 {
        median(&self.0[&contestant], |figures| figures.per_second)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<34}{:>10}{:>12}",
            "median of all rounds", "msg/s", "peak MiB"
        )?;
        for (contestant, rounds) in &self.0 {
            let memory = median(rounds, |figures| figures.peak_mebibytes);
            writeln!(
                f,
                "{contestant:<34}{:>10.0}{memory:>12.0}",
                self.speed(*contestant)
            )?;
        }
        for (one, other) in [
            (Contestant::WorkerPlain, Contestant::PlainLoop),
            (Contestant::Worker, Contestant::StoreLoop),
            (Contestant::Worker, Contestant::PlainLoop),
            (Contestant::Worker, Contestant::WorkerSingle),
        ] {
            let ratio = self.speed(one) / self.speed(other);
            writeln!(f, "{one} is {ratio:.2} times as fast as {other}")?;
        }
        Ok(())
    }
}

fn median(rounds: &[Figures], figure: impl Fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(figure).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
