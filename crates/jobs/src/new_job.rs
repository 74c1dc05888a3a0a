//! The event that adds a job to its queue: publishing it is adding the job.

use std::time::Duration;

use jiff::Timestamp;
use longshore_event::Event;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::options::check_name;
use crate::{Backoff, JobOptions};

/// What the topic of every queue begins with; its name follows.
pub const TOPIC_PREFIX: &str = "jobs.";

/// What there is to do: one type for each queue.
pub trait JobPayload: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The topic of its queue: `jobs.` and the queue's name.
    const TOPIC: &'static str;

    /// What the JSON shape alone cannot say.
    ///
    /// # Errors
    /// A sentence that names the field; the job then fails without being tried.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// The queue's name.
    fn queue() -> &'static str {
        Self::TOPIC
            .strip_prefix(TOPIC_PREFIX)
            .unwrap_or(Self::TOPIC)
    }
}

/// A job to add. From a handler: `context.publish(&NewJob::new(Email { .. }).priority(5))`.
///
/// Its id is made here, so that whoever adds it knows it. A second job with an id that is there already is dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewJob<P> {
    /// The job, unique over all queues.
    #[schemars(length(min = 1))]
    pub job_id: String,
    /// What to do.
    pub payload: P,
    /// How.
    #[serde(flatten)]
    pub options: JobOptions,
}

impl<P: JobPayload> Event for NewJob<P> {
    const TYPE: &'static str = P::TOPIC;

    fn key(&self) -> &str {
        &self.job_id
    }

    fn check(&self) -> Result<(), String> {
        check_name("jobId", &self.job_id)?;
        self.options.check()?;
        self.payload.check()
    }
}

impl<P> NewJob<P> {
    /// A job under a fresh id (UUIDv7), that may run at once.
    pub fn new(payload: P) -> Self {
        Self::with_id(Uuid::now_v7().to_string(), payload)
    }

    /// A job under an id of the caller's, such as one that is derived from what the job is for: adding it twice then adds
    /// it once.
    pub fn with_id(job_id: impl Into<String>, payload: P) -> Self {
        Self {
            job_id: job_id.into(),
            payload,
            options: JobOptions::default(),
        }
    }

    /// Runs it before those of a lower priority; 0 is the default, negative ones come last.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.options.priority = priority;
        self
    }

    /// Runs it no earlier than `delay` after it was added.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.options.delay_ms = Some(milliseconds(delay));
        self
    }

    /// Runs it no earlier than `when`.
    #[must_use]
    pub fn run_at(mut self, when: Timestamp) -> Self {
        self.options.run_at = Some(when);
        self
    }

    /// Runs in all, the first one included, before it has failed.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.options.attempts = Some(attempts);
        self
    }

    /// The waits between runs.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.options.backoff = Some(backoff);
        self
    }

    /// Time for one run; one that takes longer has failed.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.options.time_limit_ms = Some(milliseconds(limit));
        self
    }

    /// Keeps nothing of it once it has succeeded.
    #[must_use]
    pub fn remove_on_complete(mut self) -> Self {
        self.options.remove_on_complete = Some(true);
        self
    }

    /// Drops it while another job of the queue with this key waits or runs.
    #[must_use]
    pub fn unique(mut self, key: impl Into<String>) -> Self {
        self.options.unique_key = Some(key.into());
        self
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Ring {
        times: u32,
    }

    impl JobPayload for Ring {
        const TOPIC: &'static str = "jobs.bell";
    }

    #[test]
    fn a_job_is_an_event_of_its_queue_under_its_id() {
        let job = NewJob::with_id("j-1", Ring { times: 3 })
            .priority(7)
            .attempts(2)
            .delay(Duration::from_secs(1));

        assert_eq!(NewJob::<Ring>::TOPIC, "jobs.bell");
        assert_eq!(Ring::queue(), "bell");
        assert_eq!(job.key(), "j-1");
        let json = serde_json::to_value(&job).expect("JSON");
        assert_eq!(
            json,
            serde_json::json!({"jobId": "j-1", "payload": {"times": 3}, "priority": 7, "delayMs": 1000, "attempts": 2})
        );
        assert_eq!(
            serde_json::from_value::<NewJob<Ring>>(json).expect("job"),
            job
        );
    }

    #[test]
    fn only_id_and_payload_are_needed() {
        let json = serde_json::json!({"jobId": "j-1", "payload": {"times": 3}, "unknown": 1});
        let job: NewJob<Ring> = serde_json::from_value(json).expect("job");
        assert_eq!(job, NewJob::with_id("j-1", Ring { times: 3 }));
        assert_eq!(job.check(), Ok(()));
    }
}
