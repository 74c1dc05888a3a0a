//! Jobs that repeat: a definition under a unique name; each occurrence is added once, through the queue's topic.

use jiff::{SignedDuration, Timestamp};
use longshore_event::OutgoingRecord;
use longshore_store::{Row, SqlStore, Transaction};
use longshore_worker::{StoreError, sql};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::claimed::time;
use crate::cron::Schedule;
use crate::new_job::TOPIC_PREFIX;
use crate::record::adding;
use crate::{JobOptions, NewJob};

/// Definitions that are looked at in one transaction.
const PAGE: i64 = 100;
/// Occurrences that were missed for longer, while no worker ran, are passed over.
const MAX_LATE: SignedDuration = SignedDuration::from_hours(24);
/// Namespace of the ids of occurrences.
const NAMESPACE: Uuid = Uuid::from_u128(0x6c6f_6e67_7368_6f72_652d_7265_7065_6174);

/// A job that repeats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repeat {
    /// Its name, unique over all queues.
    pub name: String,
    /// The queue of its jobs.
    pub queue: String,
    /// When, in UTC: five fields, or six with seconds first.
    pub cron: String,
    /// The payload of each.
    pub payload: Value,
    /// How each is run.
    #[serde(flatten)]
    pub options: JobOptions,
    /// The next occurrence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// The last one that was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Timestamp>,
}

/// What [`Repeat::read`] reads.
pub(crate) const COLUMNS: &str = "name, queue, cron, job, next_at, last_at";

impl Repeat {
    /// The job of an occurrence: its id is derived, so that it can only be there once.
    pub(crate) fn occurrence(&self, at: Timestamp) -> NewJob<Value> {
        NewJob {
            job_id: format!("{}@{at}", self.name),
            payload: self.payload.clone(),
            options: self.options.clone(),
        }
    }

    /// `None` if something else wrote it.
    pub(crate) fn read(row: &Row) -> Option<Self> {
        let job: NewJob<Value> = serde_json::from_str(row.text(3)?).ok()?;
        Some(Self {
            name: row.text(0)?.to_owned(),
            queue: row.text(1)?.to_owned(),
            cron: row.text(2)?.to_owned(),
            payload: job.payload,
            options: job.options,
            next_at: row.integer(4).and_then(time),
            last_at: row.integer(5).and_then(time),
        })
    }
}

/// Moves every definition that is due past `now`, and returns the records that add its occurrences. In one transaction with
/// their publishing, an occurrence is added by one instance, once.
pub(crate) async fn enqueue_due(
    transaction: &mut Transaction,
    store: &SqlStore,
    group: &str,
    now: Timestamp,
) -> Result<Vec<(Uuid, OutgoingRecord)>, StoreError> {
    let due = format!(
        "select {COLUMNS} from job_repeats where next_at <= $1 order by next_at limit {PAGE}{}",
        store.taking()
    );
    let due = sql(due).bind(now.as_microsecond());
    let mut records = Vec::new();
    for row in transaction.fetch(&due).await? {
        let Some(repeat) = Repeat::read(&row) else {
            continue;
        };
        let (occurrence, next) = due_occurrence(&repeat, now);
        if let Some(at) = occurrence {
            records.extend(record(&repeat, at, group, now));
        }
        let moved = sql(
            "update job_repeats set next_at = $2, last_at = coalesce($3, last_at) where name = $1",
        )
        .bind(repeat.name)
        .bind(next.as_microsecond())
        .bind(occurrence.map(Timestamp::as_microsecond));
        transaction.execute(&moved).await?;
    }
    Ok(records)
}

/// The occurrence to add, and the moment to look at next. What is too late is passed over.
fn due_occurrence(repeat: &Repeat, now: Timestamp) -> (Option<Timestamp>, Timestamp) {
    let Ok(schedule) = Schedule::parse(&repeat.cron) else {
        return (None, Timestamp::MAX);
    };
    let earliest = now.checked_sub(MAX_LATE).unwrap_or(Timestamp::MIN);
    let next_after = |moment| schedule.after(moment).unwrap_or(Timestamp::MAX);
    match repeat.next_at {
        Some(at) if at < earliest => (None, next_after(earliest)),
        Some(at) => (Some(at), next_after(at)),
        None => (None, next_after(now)),
    }
}

fn record(
    repeat: &Repeat,
    at: Timestamp,
    group: &str,
    now: Timestamp,
) -> Option<(Uuid, OutgoingRecord)> {
    let job = repeat.occurrence(at);
    let id = Uuid::new_v5(&NAMESPACE, job.job_id.as_bytes());
    let topic = format!("{TOPIC_PREFIX}{}", repeat.queue);
    // It was JSON a moment ago.
    let record = adding(&job, &topic, &id.to_string(), group, &job.job_id, now).ok()?;
    Some((id, record))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn every_hour(next: &str) -> Repeat {
        Repeat {
            name: "sales".to_owned(),
            queue: "report".to_owned(),
            cron: "0 * * * *".to_owned(),
            payload: Value::Null,
            options: JobOptions::default(),
            next_at: Some(at(next)),
            last_at: None,
        }
    }

    #[test]
    fn missed_occurrences_are_added_one_by_one_and_old_ones_passed_over() {
        let now = at("2026-11-26T10:30:00Z");
        let missed = due_occurrence(&every_hour("2026-11-26T08:00:00Z"), now);
        assert_eq!(
            missed,
            (Some(at("2026-11-26T08:00:00Z")), at("2026-11-26T09:00:00Z"))
        );
        let old = due_occurrence(&every_hour("2026-11-01T08:00:00Z"), now);
        assert_eq!(old, (None, at("2026-11-25T11:00:00Z")));
    }

    #[test]
    fn an_occurrence_is_the_same_record_whoever_adds_it() {
        let repeat = every_hour("2026-11-26T08:00:00Z");
        let occurrence = at("2026-11-26T08:00:00Z");
        let (id, record) = record(&repeat, occurrence, "jobs", occurrence).expect("a record");
        let later = at("2026-11-26T09:00:00Z");
        let (again, _) = super::record(&repeat, occurrence, "jobs", later).expect("a record");
        assert_eq!(id, again);
        assert_eq!(&*record.topic, "jobs.report");
        assert_eq!(
            record.key.as_deref(),
            Some(&b"sales@2026-11-26T08:00:00Z"[..])
        );
    }
}
