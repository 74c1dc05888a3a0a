//! What the author of a queue writes: one async function from a job to its end.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use longshore_event::Event;
use longshore_worker::{Failure, FailureExt};

use crate::notes::Notes;
use crate::{JobPayload, NewJob};

/// Runs the jobs of one queue.
///
/// # Contract
/// - A job runs in one place at a time, but it may run again: after a failure, after its process died, and if its process
///   could not renew its lease for so long that another took over. What it does to others must therefore be idempotent;
///   [`Job::id`] is the same in all runs and makes a good key.
/// - Runs are tasks of their own, side by side. The future is dropped when its time limit is over, when its lease is lost,
///   and when the worker stops and the time to finish is over.
pub trait JobHandler: Send + Sync + 'static {
    /// What there is to do.
    type Payload: JobPayload;

    /// Runs one job.
    ///
    /// # Errors
    /// [`Failure`] says what to do next: a transient one (any error raised with `?`) is tried again after the job's backoff
    /// until its attempts are used up, a permanent one fails the job at once, and an outage is tried again without being
    /// counted.
    fn run(&self, job: &Job<Self::Payload>) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// One run of a job.
#[derive(Debug)]
pub struct Job<P> {
    id: String,
    payload: P,
    attempt: u32,
    attempts: u32,
    chain: Chain,
    notes: Notes,
}

/// The chain of causes that the event which added a job belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) correlation_id: String,
    pub(crate) trace_parent: Option<String>,
}

impl<P> Job<P> {
    /// A run by hand, to call a handler directly in a test. It is the cause of itself.
    pub fn new(id: impl Into<String>, payload: P, attempt: u32, attempts: u32) -> Self {
        let id = id.into();
        let chain = Chain {
            correlation_id: id.clone(),
            trace_parent: None,
        };
        Self {
            id,
            chain,
            payload,
            attempt,
            attempts,
            notes: Notes::default(),
        }
    }

    /// The job, the same in all its runs.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What to do.
    pub fn payload(&self) -> &P {
        &self.payload
    }

    /// Which run this is, from 1. A run whose process died is counted.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Runs in all.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Shared by all that follows from one cause: that of the event that added the job.
    pub fn correlation_id(&self) -> &str {
        &self.chain.correlation_id
    }

    /// The `traceparent` of the event that added the job, if it has one.
    pub fn trace_parent(&self) -> Option<&str> {
        self.chain.trace_parent.as_deref()
    }

    /// Says how far it is, from 0 to 100; it is in the store within a second, and then seen by whoever asks.
    pub fn progress(&self, percent: u8) {
        self.notes.progress(percent.min(100));
    }

    /// Leaves a line for whoever looks at the job. Long lines are cut, and of many the last ones are kept.
    pub fn log(&self, line: impl Into<String>) {
        self.notes.log(line.into());
    }

    /// The lines of this run that are not in the store yet, for tests.
    pub fn lines(&self) -> Vec<String> {
        self.notes.lines()
    }
}

/// A job as a runner takes it.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) id: String,
    /// The value of the record that added it.
    pub(crate) value: bytes::Bytes,
    pub(crate) attempt: u32,
    pub(crate) attempts: u32,
    pub(crate) chain: Chain,
    pub(crate) notes: Notes,
}

/// A handler of any payload.
pub(crate) trait Runner: Send + Sync {
    fn run(&self, start: Start) -> BoxFuture<'static, Result<(), Failure>>;

    /// Whether the value of a record has a payload of this queue.
    fn check(&self, value: &[u8]) -> Result<(), String>;
}

pub(crate) struct Run<H>(pub(crate) Arc<H>);

impl<H: JobHandler> Runner for Run<H> {
    fn run(&self, start: Start) -> BoxFuture<'static, Result<(), Failure>> {
        let handler = self.0.clone();
        async move {
            let job = decode::<H::Payload>(&start.value).permanent()?;
            let job = Job {
                id: start.id,
                payload: job.payload,
                attempt: start.attempt,
                attempts: start.attempts,
                chain: start.chain,
                notes: start.notes,
            };
            handler.run(&job).await
        }
        .boxed()
    }

    fn check(&self, value: &[u8]) -> Result<(), String> {
        decode::<H::Payload>(value)
            .map(drop)
            .map_err(|error| match error {
                WrongPayload::Json(error) => error.to_string(),
                WrongPayload::Invalid(reason) => reason,
            })
    }
}

fn decode<P: JobPayload>(value: &[u8]) -> Result<NewJob<P>, WrongPayload> {
    let job: NewJob<P> = serde_json::from_slice(value).map_err(WrongPayload::Json)?;
    job.check().map_err(WrongPayload::Invalid)?;
    Ok(job)
}

/// The payload is not what the queue's handler takes.
#[derive(Debug, thiserror::Error)]
enum WrongPayload {
    #[error("the payload is not what this queue takes")]
    Json(#[source] serde_json::Error),
    #[error("the payload is not valid: {0}")]
    Invalid(String),
}
