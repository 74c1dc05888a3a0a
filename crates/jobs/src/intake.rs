//! From the event to the row: adding a job is a statement in its message's transaction, so that each is added once.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use longshore_event::{DecodeError, Envelope, Payload, Record, attribute};
use longshore_worker::{Context, Failure, Handler, Statement, sql};
use serde_json::Value;

use crate::NewJob;
use crate::new_job::TOPIC_PREFIX;
use crate::options::check_name;
use crate::queue::QueueConfig;
use crate::state::OPEN;

/// A job of any queue, as its topic brings it. Whether the payload is its queue's is found out when it runs.
#[derive(Debug)]
pub struct AnyJob {
    pub(crate) queue: String,
    pub(crate) job: NewJob<Value>,
}

impl Payload for AnyJob {
    fn decode(record: &Record) -> Result<Self, DecodeError> {
        let topic = &*record.partition.topic;
        if let Some(found) = record.headers.get_str(attribute::TYPE)
            && found != topic
        {
            return Err(DecodeError::Type {
                found: found.chars().take(64).collect(),
                expected: "the name of its topic",
            });
        }
        let value = record.value.as_deref().ok_or(DecodeError::Tombstone)?;
        if value.is_empty() {
            return Err(DecodeError::Empty);
        }
        let job: NewJob<Value> =
            serde_json::from_slice(value).map_err(|source| DecodeError::Json {
                event: "job",
                source,
            })?;
        let checked = check_name("jobId", &job.job_id).and_then(|()| job.options.check());
        checked.map_err(|reason| DecodeError::Invalid {
            event: "job",
            reason,
        })?;
        let queue = topic.strip_prefix(TOPIC_PREFIX).unwrap_or(topic).to_owned();
        Ok(Self { queue, job })
    }
}

/// The handler of the topics of all queues.
#[derive(Clone, Debug)]
pub struct JobIntake {
    queues: Arc<BTreeMap<&'static str, QueueConfig>>,
}

impl JobIntake {
    /// Takes jobs in for the queues of these names; what a job leaves open, the configuration says.
    pub fn new(queues: impl IntoIterator<Item = (&'static str, QueueConfig)>) -> Self {
        Self {
            queues: Arc::new(queues.into_iter().collect()),
        }
    }

    /// Adds the job of a message, for a handler that reads other topics, too.
    ///
    /// # Errors
    /// A permanent [`Failure`] if there is no such queue.
    pub fn add<P: Payload>(
        &self,
        job: &AnyJob,
        message: &Envelope<P>,
        context: &mut Context<'_, P>,
    ) -> Result<(), Failure> {
        let Some(config) = self.queues.get(job.queue.as_str()) else {
            return Err(Failure::permanent(UnknownQueue(job.queue.clone())));
        };
        let added = Added {
            job,
            record: message.record(),
            config,
            said_at: message.time(),
            now: context.now(),
        };
        for statement in added.statements() {
            context.write(statement);
        }
        Ok(())
    }
}

impl Handler for JobIntake {
    type Payload = AnyJob;
    const NAME: &'static str = "jobs";

    async fn handle(
        &self,
        message: &Envelope<AnyJob>,
        context: &mut Context<'_, AnyJob>,
    ) -> Result<(), Failure> {
        self.add(message.event(), message, context)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("this worker has no queue {0:?}")]
struct UnknownQueue(String);

/// A job on its way into the table.
pub(crate) struct Added<'a> {
    pub(crate) job: &'a AnyJob,
    pub(crate) record: &'a Record,
    pub(crate) config: &'a QueueConfig,
    /// When it was added, by whoever did.
    pub(crate) said_at: Option<Timestamp>,
    pub(crate) now: Timestamp,
}

const INSERT: &str = "insert into jobs (id, queue, state, priority, due_at, added_at, attempts, attempts_made, \
     backoff, time_limit_ms, remove_on_complete, unique_key, progress, endings, topic, partition, record_offset, \
     recorded_at, headers, value) \
     values ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $10, $11, 0, 0, $12, $13, $14, $15, $16, $17) \
     on conflict do nothing";

/// What becomes of one whose unique key is taken. It does nothing if the job is there, be it that it was just added.
const INSERT_DUPLICATE: &str = "insert into jobs (id, queue, state, priority, due_at, added_at, attempts, \
     attempts_made, backoff, time_limit_ms, remove_on_complete, unique_key, progress, endings, topic, partition, \
     record_offset, recorded_at, headers, value, ended_at, duplicate_of) \
     values ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $10, $11, 0, 0, $12, $13, $14, $15, $16, $17, $18, \
     (select id from jobs where queue = $19 and unique_key = $20 and state in ({open}))) \
     on conflict do nothing";

/// A redriven job that has failed gets another life, with whatever was mended in it.
const REVIVE: &str = "update jobs set state = 'waiting', due_at = $2, attempts_made = 0, ended_at = null, \
     progress = 0, headers = $3, value = $4 where id = $1 and state = 'failed'";

impl Added<'_> {
    pub(crate) fn statements(&self) -> Vec<Statement> {
        let due_at = self.due_at();
        let state = if due_at > self.now {
            "delayed"
        } else {
            "waiting"
        };
        let key = self.job.job.options.unique_key.clone();
        let mut statements = vec![self.insert(INSERT.into(), state, key.clone())];
        if let Some(key) = key {
            let text = INSERT_DUPLICATE.replace("{open}", OPEN);
            statements.push(
                self.insert(text, "duplicate", None)
                    .bind(self.now.as_microsecond())
                    .bind(&self.job.queue)
                    .bind(key),
            );
        }
        if self.record.redrive_count() > 0 {
            statements.push(
                sql(REVIVE)
                    .bind(&self.job.job.job_id)
                    .bind(self.now.as_microsecond())
                    .bind(self.record.headers.to_bytes())
                    .bind(self.value()),
            );
        }
        statements
    }

    fn insert(&self, text: String, state: &'static str, unique_key: Option<String>) -> Statement {
        let (job, options) = (&self.job.job, &self.job.job.options);
        let backoff = options.backoff.unwrap_or(self.config.backoff);
        let limit = u64::try_from(self.config.time_limit.as_millis()).unwrap_or(u64::MAX);
        let limit = options.time_limit_ms.unwrap_or(limit);
        let remove = options.remove_on_complete;
        let partition = &self.record.partition;
        sql(text)
            .bind(&job.job_id)
            .bind(&self.job.queue)
            .bind(state)
            .bind(options.priority)
            .bind(self.due_at().as_microsecond())
            .bind(self.now.as_microsecond())
            .bind(options.attempts.unwrap_or(self.config.attempts))
            // A number and two words: it is always JSON.
            .bind(serde_json::to_string(&backoff).unwrap_or_default())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind(remove.unwrap_or(self.config.remove_on_complete))
            .bind(unique_key)
            .bind(partition.topic.to_string())
            .bind(partition.partition)
            .bind(self.record.offset.0)
            .bind(self.record.timestamp.map(Timestamp::as_microsecond))
            .bind(self.record.headers.to_bytes())
            .bind(self.value())
    }

    /// By the clock of whoever added it, so that those of several partitions are first come, first served; but a clock that
    /// is ahead delays nothing.
    fn due_at(&self) -> Timestamp {
        let options = &self.job.job.options;
        let added = self.said_at.unwrap_or(self.now).min(self.now);
        if let Some(run_at) = options.run_at {
            return run_at;
        }
        let delay = options.delay_ms.unwrap_or(0);
        let delay = SignedDuration::from_millis(i64::try_from(delay).unwrap_or(i64::MAX));
        added.checked_add(delay).unwrap_or(Timestamp::MAX)
    }

    fn value(&self) -> Vec<u8> {
        self.record.value.as_deref().unwrap_or_default().to_vec()
    }
}
