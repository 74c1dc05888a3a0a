//! `jobs.email`: one mail to one address.

use longshore_jobs::JobPayload;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::not_empty;

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
