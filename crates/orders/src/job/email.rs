//! `jobs.email`: one mail to one address.

use longshore_jobs::{Job, JobHandler, JobPayload};
use longshore_worker::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::not_empty;
use crate::job::Mailer;
use crate::port::failure;

/// A mail to send, rendered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Email {
    /// The address, as in `ada@example.org` or `Ada <ada@example.org>`.
    #[schemars(length(min = 3))]
    pub to: String,
    /// The subject.
    #[schemars(length(min = 1))]
    pub subject: String,
    /// The text.
    pub text: String,
    /// The same as HTML, for those who show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
}

impl JobPayload for Email {
    const TOPIC: &'static str = "jobs.email";

    fn check(&self) -> Result<(), String> {
        not_empty("to", &self.to)?;
        not_empty("subject", &self.subject)
    }
}

/// Sends the mails of `jobs.email`.
#[derive(Debug)]
pub struct EmailJobs<M>(pub M);

impl<M: Mailer> JobHandler for EmailJobs<M> {
    type Payload = Email;

    async fn run(&self, job: &Job<Email>) -> Result<(), Failure> {
        let mail = job.payload();
        self.0.send(job.id(), mail).await.map_err(failure)?;
        job.log(format!("sent to {}", mail.to));
        Ok(())
    }
}
