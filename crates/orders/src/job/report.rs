//! `jobs.report`: orders and revenue of a period, as a CSV file.

use jiff::Timestamp;
use longshore_jobs::JobPayload;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
