//! The jobs of a worker: what an operator or another service can do with them, and the executor that runs them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use longshore_store::SqlStore;
use longshore_worker::{Clock, OutboxBell, Statement, StoreError, sql};
use serde_json::Value;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::cron::Schedule;
use crate::executor::Executor;
use crate::options::check_name;
use crate::record::adding;
use crate::turn::JobTable;
use crate::{NewJob, Queues, Repeat};

/// The queues of a worker over its store, which was opened with [`MIGRATIONS`](crate::MIGRATIONS). Clones share them.
#[derive(Clone, Debug)]
pub struct Jobs {
    table: JobTable,
    queues: Arc<Queues>,
    bell: Option<OutboxBell>,
    clock: Clock,
    wake: Arc<Notify>,
}

/// Why something was not done with a job.
#[derive(Debug, thiserror::Error)]
pub enum JobsError {
    /// There is no such queue, job or repetition.
    #[error("there is no {what} {name:?}")]
    Unknown {
        /// What is missing.
        what: &'static str,
        /// Its name or id.
        name: String,
    },
    /// The job is in a state in which this cannot be done.
    #[error("{0}")]
    Conflict(String),
    /// What is asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The store did not do it.
    #[error("the store of the jobs did not do it")]
    Store(#[from] StoreError),
}

/// Namespace of the ids of the records that add jobs by hand.
const NAMESPACE: Uuid = Uuid::from_u128(0x6c6f_6e67_7368_6f72_652d_6164_642d_6a6f);

impl Jobs {
    /// `bell` is rung after records were put into the store's outbox; without it they leave within a minute.
    pub fn new(
        store: SqlStore,
        queues: Arc<Queues>,
        group: Arc<str>,
        clock: Clock,
        bell: Option<OutboxBell>,
    ) -> Self {
        Self {
            table: JobTable { store, group },
            queues,
            bell,
            clock,
            wake: Arc::default(),
        }
    }

    /// Runs jobs until `stop` completes, and then for `drain` at most, until those that run have finished. What is left
    /// then is given back, to be run again.
    pub fn execute<S>(&self, stop: S, drain: Duration) -> impl Future<Output = ()> + Send + use<S>
    where
        S: Future<Output = ()> + Send + Unpin,
    {
        let executor = Executor {
            table: self.table.clone(),
            queues: self.queues.clone(),
            bell: self.bell.clone(),
            clock: self.clock.clone(),
            wake: self.wake.clone(),
            drain,
            random: fastrand::Rng::new(),
        };
        executor.run(stop)
    }

    /// Adds a job through the topic of its queue: once this returns, it will be there, usually within milliseconds. Adding
    /// the same id twice adds it once.
    ///
    /// # Errors
    /// [`JobsError::Unknown`] queue, [`JobsError::Invalid`] job, [`JobsError::Store`].
    pub async fn add(
        &self,
        queue: &str,
        job: &NewJob<Value>,
        correlation_id: Option<&str>,
    ) -> Result<(), JobsError> {
        let known = self.known_queue(queue)?;
        self.check(queue, job)?;
        let now = self.clock.now();
        let id = Uuid::new_v5(&NAMESPACE, job.job_id.as_bytes());
        let correlation_id = correlation_id.unwrap_or(&job.job_id);
        let group = &self.table.group;
        let record = adding(job, known, &id.to_string(), group, correlation_id, now)
            .map_err(|error| JobsError::Invalid(error.to_string()))?;
        let mut transaction = self.store().begin().await?;
        transaction.publish([(id, record)], now).await?;
        transaction.commit().await?;
        self.ring(now).await;
        Ok(())
    }

    /// Gives a job that has failed another life, with all its attempts.
    ///
    /// # Errors
    /// [`JobsError::Unknown`] job, [`JobsError::Conflict`] if it has not failed, or another has taken its unique key.
    pub async fn retry(&self, id: &str) -> Result<(), JobsError> {
        let retry = sql(
            "update jobs set state = 'waiting', due_at = $2, attempts_made = 0, ended_at = null, \
             progress = 0 where id = $1 and state = 'failed'",
        )
        .bind(id.to_owned())
        .bind(self.clock.now().as_microsecond());
        match self.store().execute(&retry).await {
            Ok(0) => Err(self.unless_missing(id, "it has not failed").await?),
            Ok(_) => {
                self.wake.notify_one();
                Ok(())
            }
            Err(StoreError::Rejected(_)) => Err(JobsError::Conflict(format!(
                "job {id:?} is not tried again: another job has its unique key"
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a job, wherever it is, unless it runs.
    ///
    /// # Errors
    /// [`JobsError::Unknown`] job, [`JobsError::Conflict`] if it runs.
    pub async fn remove(&self, id: &str) -> Result<(), JobsError> {
        let remove =
            sql("delete from jobs where id = $1 and state <> 'active'").bind(id.to_owned());
        match self.store().execute(&remove).await? {
            0 => Err(self.unless_missing(id, "it runs").await?),
            _ => Ok(()),
        }
    }

    /// Starts no more jobs of a queue, in any instance. What runs goes on, and jobs are still taken in.
    ///
    /// # Errors
    /// [`JobsError::Unknown`] queue.
    pub async fn pause(&self, queue: &str) -> Result<(), JobsError> {
        self.set_paused(queue, true).await
    }

    /// Starts jobs of a queue again.
    ///
    /// # Errors
    /// [`JobsError::Unknown`] queue.
    pub async fn resume(&self, queue: &str) -> Result<(), JobsError> {
        self.set_paused(queue, false).await?;
        self.wake.notify_one();
        Ok(())
    }

    /// Adds a job for every occurrence of a cron expression from now on, in UTC. A repetition of the same name is replaced.
    ///
    /// # Errors
    /// [`JobsError::Unknown`] queue, [`JobsError::Invalid`] repetition.
    pub async fn repeat(&self, repeat: &Repeat) -> Result<Repeat, JobsError> {
        self.known_queue(&repeat.queue)?;
        check_name("name", &repeat.name).map_err(JobsError::Invalid)?;
        let job = NewJob {
            job_id: repeat.name.clone(),
            payload: repeat.payload.clone(),
            options: repeat.options.clone(),
        };
        let schedule = Schedule::parse(&repeat.cron).map_err(JobsError::Invalid)?;
        let never = || JobsError::Invalid(format!("cron {:?} never comes", repeat.cron));
        let next = schedule.after(self.clock.now()).ok_or_else(never)?;
        // What the intake would refuse each time is refused now.
        self.check(&repeat.queue, &repeat.occurrence(next))?;
        let job =
            serde_json::to_string(&job).map_err(|error| JobsError::Invalid(error.to_string()))?;
        let put = sql("insert into job_repeats (name, queue, cron, job, next_at) values ($1, $2, $3, $4, $5) \
             on conflict (name) do update set queue = excluded.queue, cron = excluded.cron, job = excluded.job, \
             next_at = excluded.next_at")
        .bind(&repeat.name)
        .bind(&repeat.queue)
        .bind(&repeat.cron)
        .bind(job)
        .bind(next.as_microsecond());
        self.store().execute(&put).await?;
        self.wake.notify_one();
        Ok(Repeat {
            next_at: Some(next),
            last_at: None,
            ..repeat.clone()
        })
    }

    /// Adds no more jobs of a repetition; those that were added stay.
    ///
    /// # Errors
    /// [`JobsError::Unknown`] repetition.
    pub async fn end_repeat(&self, name: &str) -> Result<(), JobsError> {
        let remove = sql("delete from job_repeats where name = $1").bind(name.to_owned());
        match self.store().execute(&remove).await? {
            0 => Err(unknown("repetition", name)),
            _ => Ok(()),
        }
    }

    pub(crate) fn store(&self) -> &SqlStore {
        &self.table.store
    }

    pub(crate) fn known(&self) -> &Queues {
        &self.queues
    }

    /// The topic of a queue.
    fn known_queue(&self, queue: &str) -> Result<&'static str, JobsError> {
        let known = self.queues.get(queue);
        known
            .map(|known| known.topic)
            .ok_or_else(|| unknown("queue", queue))
    }

    /// What a queue would refuse when it runs is refused to the one who asks for it.
    fn check(&self, queue: &str, job: &NewJob<Value>) -> Result<(), JobsError> {
        check_name("jobId", &job.job_id).map_err(JobsError::Invalid)?;
        job.options.check().map_err(JobsError::Invalid)?;
        let value =
            serde_json::to_vec(job).map_err(|error| JobsError::Invalid(error.to_string()))?;
        match self.queues.get(queue) {
            Some(queue) => queue.runner.check(&value).map_err(JobsError::Invalid),
            None => Ok(()),
        }
    }

    async fn set_paused(&self, queue: &str, paused: bool) -> Result<(), JobsError> {
        self.known_queue(queue)?;
        let set: Statement = sql("insert into job_queues (name, paused, window_start, window_runs) values ($1, $2, 0, 0) \
             on conflict (name) do update set paused = excluded.paused")
        .bind(queue.to_owned())
        .bind(paused);
        self.store().execute(&set).await?;
        Ok(())
    }

    async fn unless_missing(&self, id: &str, because: &str) -> Result<JobsError, JobsError> {
        let state = sql("select state from jobs where id = $1").bind(id.to_owned());
        Ok(match self.store().fetch_optional(&state).await? {
            None => unknown("job", id),
            Some(row) => JobsError::Conflict(format!(
                "job {id:?} is {}: {because}",
                row.text(0).unwrap_or_default()
            )),
        })
    }

    async fn ring(&self, now: Timestamp) {
        if let Some(bell) = &self.bell {
            bell.ring(now).await;
        }
    }
}

fn unknown(what: &'static str, name: &str) -> JobsError {
    JobsError::Unknown {
        what,
        name: name.to_owned(),
    }
}
