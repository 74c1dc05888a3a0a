//! `jobs.report`: orders and revenue of a period, as a CSV file.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use longshore_jobs::{Job, JobHandler, JobPayload};
use longshore_worker::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::job::figures::{DayFigures, OrderFigures};
use crate::job::file::{file_of, write_whole};

/// A report to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SalesReport {
    /// Where the period begins; what happened then is in it.
    pub from: Timestamp,
    /// Where it ends; what happened then is not in it.
    pub to: Timestamp,
}

impl JobPayload for SalesReport {
    const TOPIC: &'static str = "jobs.report";

    fn check(&self) -> Result<(), String> {
        match self.from < self.to {
            true => Ok(()),
            false => Err("from must be before to".to_owned()),
        }
    }
}

/// Writes the reports of `jobs.report`, each to a file `<job id>.csv`.
#[derive(Debug)]
pub struct ReportJobs<F> {
    figures: F,
    directory: PathBuf,
}

impl<F: OrderFigures> ReportJobs<F> {
    /// Writes to `directory` what `figures` say.
    pub fn new(figures: F, directory: impl Into<PathBuf>) -> Self {
        Self {
            figures,
            directory: directory.into(),
        }
    }

    /// The file of a job's report.
    pub fn file(directory: &Path, job_id: &str) -> PathBuf {
        file_of(directory, job_id, "csv")
    }
}

impl<F: OrderFigures> JobHandler for ReportJobs<F> {
    type Payload = SalesReport;

    async fn run(&self, job: &Job<SalesReport>) -> Result<(), Failure> {
        let report = job.payload();
        let days = self.figures.by_day(report.from, report.to).await?;
        job.progress(50);
        let file = Self::file(&self.directory, job.id());
        write_whole(&file, csv(&days).as_bytes()).await?;
        job.log(format!("written to {}", file.display()));
        Ok(())
    }
}

/// One line a day and currency. Revenue is in minor units, as amounts are everywhere.
fn csv(days: &[DayFigures]) -> String {
    let mut text = String::from("day,currency,created,paid,cancelled,revenue_minor_units\n");
    for day in days {
        let date = day.day.to_zoned(TimeZone::UTC).date();
        let DayFigures {
            currency,
            created,
            paid,
            cancelled,
            revenue,
            ..
        } = day;
        // A currency is three letters: nothing in a line needs quotes. Writing to a string does not fail.
        writeln!(
            text,
            "{date},{currency},{created},{paid},{cancelled},{revenue}"
        )
        .ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_a_line_for_each_day_and_currency() {
        let day = DayFigures {
            day: "2026-11-26T00:00:00Z".parse().expect("a time"),
            currency: "EUR".to_owned(),
            created: 3,
            paid: 2,
            cancelled: 1,
            revenue: 2932,
        };
        assert_eq!(
            csv(&[day]),
            "day,currency,created,paid,cancelled,revenue_minor_units\n2026-11-26,EUR,3,2,1,2932\n"
        );
    }
}
