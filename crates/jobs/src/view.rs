//! A job and a queue as they are shown.

use std::collections::BTreeMap;

use jiff::Timestamp;
use longshore_store::Row;
use longshore_worker::{StoreError, sql};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::claimed::time;
use crate::{JobState, Jobs, NewJob, Repeat, repeat};

/// Jobs in one answer at most.
pub const MAX_LISTED: usize = 1_000;

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobView {
    /// The job.
    pub id: String,
    /// Its queue.
    pub queue: String,
    /// Where it is.
    pub state: JobState,
    /// Its priority.
    pub priority: i64,
    /// When it was added.
    pub added_at: Option<Timestamp>,
    /// When it is run, or was to be run.
    pub due_at: Option<Timestamp>,
    /// Runs in all.
    pub attempts: i64,
    /// Runs so far.
    pub attempts_made: i64,
    /// How far the current run is, from 0 to 100.
    pub progress: i64,
    /// Its unique key.
    pub unique_key: Option<String>,
    /// The job that had its unique key, so that this one was dropped.
    pub duplicate_of: Option<String>,
    /// When its last run began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What the last failure said.
    pub last_error: Option<String>,
    /// What there is to do; only where one job is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// What its runs have said, the last lines of it; only where one job is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Vec<LogLine>>,
}

/// A line that a run of a job has left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLine {
    /// When it came to the store.
    pub at: Option<Timestamp>,
    /// The run, from 1.
    pub attempt: i64,
    /// What it says.
    pub line: String,
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueView {
    /// Its name.
    pub name: String,
    /// Whether no job of it is started.
    pub paused: bool,
    /// Jobs that one process runs at once.
    pub concurrency: usize,
    /// How many jobs there are in each state.
    pub jobs: BTreeMap<JobState, i64>,
}

const COLUMNS: &str = "id, queue, state, priority, added_at, due_at, attempts, attempts_made, progress, unique_key, \
     duplicate_of, started_at, ended_at, last_error";

impl Jobs {
    /// Jobs of a queue or of all, in a state or in any, the last added first; at most `limit`, and [`MAX_LISTED`].
    ///
    /// # Errors
    /// As those of the store.
    pub async fn list(
        &self,
        queue: Option<&str>,
        state: Option<JobState>,
        limit: usize,
    ) -> Result<Vec<JobView>, StoreError> {
        let list = sql(format!(
            "select {COLUMNS} from jobs where ($1 = '' or queue = $1) and ($2 = '' or state = $2) \
             order by added_at desc, id desc limit $3"
        ))
        .bind(queue.unwrap_or_default().to_owned())
        .bind(state.map(JobState::as_str).unwrap_or_default())
        .bind(limit.min(MAX_LISTED) as i64);
        let rows = self.store().fetch(&list).await?;
        Ok(rows.iter().filter_map(view).collect())
    }

    /// A job with its payload and its log; `None` if there is none.
    ///
    /// # Errors
    /// As those of the store.
    pub async fn show(&self, id: &str) -> Result<Option<JobView>, StoreError> {
        let one =
            sql(format!("select {COLUMNS}, value from jobs where id = $1")).bind(id.to_owned());
        let Some(row) = self.store().fetch_optional(&one).await? else {
            return Ok(None);
        };
        let log = sql("select attempt, at, line from job_logs where job_id = $1 order by number")
            .bind(id.to_owned());
        let log = self.store().fetch(&log).await?;
        let job = row
            .bytes(14)
            .and_then(|value| serde_json::from_slice::<NewJob<Value>>(value).ok());
        Ok(view(&row).map(|view| JobView {
            payload: job.map(|job| job.payload),
            log: Some(log.iter().filter_map(line).collect()),
            ..view
        }))
    }

    /// The queues of this worker.
    ///
    /// # Errors
    /// As those of the store.
    pub async fn queues(&self) -> Result<Vec<QueueView>, StoreError> {
        let counts = sql("select queue, state, count(*) from jobs group by queue, state");
        let counts = self.store().fetch(&counts).await?;
        let paused = sql("select name from job_queues where paused <> 0");
        let paused = self.store().fetch(&paused).await?;
        let view = |(name, queue): (&str, &crate::queue::Queue)| QueueView {
            name: name.to_owned(),
            paused: paused.iter().any(|row| row.text(0) == Some(name)),
            concurrency: queue.config.concurrency,
            jobs: counts
                .iter()
                .filter(|row| row.text(0) == Some(name))
                .filter_map(|row| Some((JobState::parse(row.text(1)?)?, row.integer(2)?)))
                .collect(),
        };
        Ok(self.known().iter().map(view).collect())
    }

    /// The jobs that repeat.
    ///
    /// # Errors
    /// As those of the store.
    pub async fn repeats(&self) -> Result<Vec<Repeat>, StoreError> {
        let all = sql(format!(
            "select {} from job_repeats order by name",
            repeat::COLUMNS
        ));
        let rows = self.store().fetch(&all).await?;
        Ok(rows.iter().filter_map(Repeat::read).collect())
    }
}

fn view(row: &Row) -> Option<JobView> {
    let moment = |column| row.integer(column).and_then(time);
    let text = |column| row.text(column).map(str::to_owned);
    Some(JobView {
        id: text(0)?,
        queue: text(1)?,
        state: JobState::parse(row.text(2)?)?,
        priority: row.integer(3)?,
        added_at: moment(4),
        due_at: moment(5),
        attempts: row.integer(6)?,
        attempts_made: row.integer(7)?,
        progress: row.integer(8)?,
        unique_key: text(9),
        duplicate_of: text(10),
        started_at: moment(11),
        ended_at: moment(12),
        last_error: text(13),
        payload: None,
        log: None,
    })
}

fn line(row: &Row) -> Option<LogLine> {
    Some(LogLine {
        at: row.integer(1).and_then(time),
        attempt: row.integer(0)?,
        line: row.text(2)?.to_owned(),
    })
}
