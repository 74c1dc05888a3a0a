//! How jobs end, as events: for whoever waits for a job, and for the record.

use jiff::Timestamp;
use longshore_event::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::options::check_name;

/// A job has succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "job.completed")]
pub struct JobCompleted {
    /// The job.
    #[schemars(length(min = 1))]
    pub job_id: String,
    /// Its queue.
    pub queue: String,
    /// Runs it took, the last one included.
    pub attempts: u32,
    /// When.
    pub completed_at: Timestamp,
}

/// A job has failed for good: it is kept for inspection, and a dead letter tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "job.failed")]
pub struct JobFailed {
    /// The job.
    #[schemars(length(min = 1))]
    pub job_id: String,
    /// Its queue.
    pub queue: String,
    /// Runs it had.
    pub attempts: u32,
    /// What the last one said.
    pub error: String,
    /// When.
    pub failed_at: Timestamp,
}

impl Event for JobCompleted {
    const TYPE: &'static str = "job.completed";

    fn key(&self) -> &str {
        &self.job_id
    }

    fn check(&self) -> Result<(), String> {
        check_name("jobId", &self.job_id)
    }
}

impl Event for JobFailed {
    const TYPE: &'static str = "job.failed";

    fn key(&self) -> &str {
        &self.job_id
    }

    fn check(&self) -> Result<(), String> {
        check_name("jobId", &self.job_id)
    }
}
