//! A job that was claimed to be run, as the table tells it, and what becomes of it when its run has ended.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use longshore_event::{
    Cause, DeadLetter, Envelope, ErrorKind, Headers, Limits, Offset, OutgoingRecord, Record,
    TopicPartition, TraceParent, attribute, encode,
};
use longshore_store::Row;
use longshore_worker::Failure;
use uuid::Uuid;

use crate::handler::Chain;
use crate::intake::AnyJob;
use crate::{Backoff, JobCompleted, JobFailed};

/// What [`Claimed::read`] reads.
pub(crate) const COLUMNS: &str = "id, queue, priority, due_at, attempts, attempts_made, backoff, time_limit_ms, \
     remove_on_complete, endings, first_failed_at, topic, partition, record_offset, recorded_at, headers, value, \
     started_at";

/// The wait after a run that found something out of reach that is no fault of the job.
const OUTAGE_WAIT: Duration = Duration::from_secs(5);

/// A job under a lease.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) id: String,
    pub(crate) queue: String,
    pub(crate) priority: i64,
    pub(crate) due_at: i64,
    pub(crate) attempts: u32,
    /// This run included.
    pub(crate) attempts_made: u32,
    pub(crate) backoff: Backoff,
    pub(crate) time_limit: Duration,
    pub(crate) remove_on_complete: bool,
    /// When this run began, which no other run of the job did.
    pub(crate) started_at: Timestamp,
    endings: u32,
    first_failed_at: Option<Timestamp>,
    pub(crate) record: Record,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Completed,
    Failed(FailedRun),
    /// The worker stops; the run was no attempt.
    Released,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailedRun {
    pub(crate) kind: ErrorKind,
    pub(crate) is_outage: bool,
    pub(crate) error_type: String,
    pub(crate) message: String,
}

/// What becomes of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Completed,
    /// It waits until then; `counted` says whether the run was an attempt.
    Again {
        due_at: Timestamp,
        counted: bool,
    },
    Dead,
}

impl From<Failure> for FailedRun {
    fn from(failure: Failure) -> Self {
        Self {
            kind: failure.kind(),
            is_outage: failure.is_outage(),
            error_type: failure.error_type().to_owned(),
            message: failure.message(),
        }
    }
}

impl FailedRun {
    /// The process that ran it died, or was cut off for longer than its lease.
    pub(crate) fn stalled() -> Self {
        Self {
            kind: ErrorKind::Transient,
            is_outage: false,
            error_type: "Stalled".to_owned(),
            message: "the process that ran it has not been heard of for longer than its lease"
                .to_owned(),
        }
    }
}

impl Claimed {
    /// Reads what stands in [`COLUMNS`]; `None` if something else wrote it.
    pub(crate) fn read(row: &Row) -> Option<Self> {
        let number = |column| row.integer(column);
        let small = |column| u32::try_from(row.integer(column)?).ok();
        let id = row.text(0)?.to_owned();
        let topic = row.text(11)?;
        let partition = i32::try_from(number(12)?).ok()?;
        Some(Self {
            queue: row.text(1)?.to_owned(),
            priority: number(2)?,
            due_at: number(3)?,
            attempts: small(4)?,
            attempts_made: small(5)?,
            backoff: serde_json::from_str(row.text(6)?).ok()?,
            time_limit: Duration::from_millis(u64::try_from(number(7)?).ok()?),
            remove_on_complete: number(8)? != 0,
            started_at: number(17).and_then(time)?,
            endings: small(9)?,
            first_failed_at: number(10).and_then(time),
            record: Record {
                partition: TopicPartition::new(topic, partition),
                offset: Offset(number(13)?),
                timestamp: number(14).and_then(time),
                key: Some(id.clone().into()),
                value: Some(row.bytes(16)?.to_vec().into()),
                headers: Headers::from_bytes(row.bytes(15)?).ok()?,
            },
            id,
        })
    }

    /// An event without a correlation id begins a chain of its own, under the job's id.
    pub(crate) fn chain(&self) -> Chain {
        let header = |name| self.record.headers.get_str(name);
        let parent = header(attribute::TRACE_PARENT).and_then(TraceParent::parse);
        Chain {
            correlation_id: header(attribute::CORRELATION_ID)
                .unwrap_or(&self.id)
                .to_owned(),
            trace_parent: parent.map(|parent| parent.to_string()),
        }
    }

    /// `chance` is from 0 to 1.
    pub(crate) fn verdict(&self, outcome: &Outcome, now: Timestamp, chance: f64) -> Verdict {
        match outcome {
            Outcome::Completed => Verdict::Completed,
            Outcome::Released => Verdict::Again {
                due_at: now,
                counted: false,
            },
            Outcome::Failed(run) if run.is_outage => Verdict::Again {
                due_at: after(now, OUTAGE_WAIT),
                counted: false,
            },
            Outcome::Failed(run)
                if run.kind == ErrorKind::Transient && self.attempts_made < self.attempts =>
            {
                let wait = self.backoff.wait(self.attempts_made, chance);
                Verdict::Again {
                    due_at: after(now, wait),
                    counted: true,
                }
            }
            Outcome::Failed(_) => Verdict::Dead,
        }
    }

    /// The event of its success.
    pub(crate) fn completed(&self, group: &str, now: Timestamp) -> Vec<(Uuid, OutgoingRecord)> {
        let event = JobCompleted {
            job_id: self.id.clone(),
            queue: self.queue.clone(),
            attempts: self.attempts_made,
            completed_at: now,
        };
        self.caused(|cause| encode(&event, cause, now).ok(), group, 0)
            .into_iter()
            .collect()
    }

    /// The event of its failure, and its dead letter.
    pub(crate) fn failed(
        &self,
        run: &FailedRun,
        group: &str,
        now: Timestamp,
    ) -> Vec<(Uuid, OutgoingRecord)> {
        let event = JobFailed {
            job_id: self.id.clone(),
            queue: self.queue.clone(),
            attempts: self.attempts_made,
            error: run.message.clone(),
            failed_at: now,
        };
        let letter = DeadLetter {
            topic: self.record.partition.topic.to_string(),
            partition: self.record.partition.partition,
            offset: self.record.offset.0,
            group: group.to_owned(),
            delivery_count: self.attempts_made,
            message: run.message.clone(),
            kind: run.kind,
            error_type: run.error_type.clone(),
            handler: self.queue.clone(),
            first_failed_at: self.first_failed_at.unwrap_or(now),
            last_failed_at: now,
            redrive_count: self.record.redrive_count(),
        };
        let event = self.caused(|cause| encode(&event, cause, now).ok(), group, 0);
        let letter = letter.record(&self.record);
        let letter = self.caused(
            |cause| {
                let identity = cause.envelope.identity();
                let id = longshore_event::derived_id(group, identity, cause.ordinal);
                Some((id, letter))
            },
            group,
            1,
        );
        event.into_iter().chain(letter).collect()
    }

    /// What the record that added the job causes in this life of the job, by its number.
    fn caused<T>(
        &self,
        make: impl FnOnce(&Cause<'_, AnyJob>) -> Option<T>,
        group: &str,
        number: usize,
    ) -> Option<T> {
        // The record was decoded when the job was added.
        let envelope = Envelope::decode(self.record.clone(), &Limits::default()).ok()?;
        make(&Cause {
            envelope: &envelope,
            group,
            ordinal: 2 * self.endings as usize + number,
        })
    }
}

pub(crate) fn time(microseconds: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(microseconds).ok()
}

pub(crate) fn after(now: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed(attempts_made: u32) -> Claimed {
        Claimed {
            id: "j-1".to_owned(),
            queue: "bell".to_owned(),
            priority: 0,
            due_at: 0,
            attempts: 3,
            attempts_made,
            backoff: Backoff::Fixed {
                wait_ms: 1_000,
                jitter: 0.0,
            },
            time_limit: Duration::from_secs(1),
            remove_on_complete: false,
            started_at: NOW,
            endings: 0,
            first_failed_at: None,
            record: Record {
                partition: TopicPartition::new("jobs.bell", 0),
                offset: Offset(7),
                timestamp: None,
                key: Some("j-1".into()),
                value: Some(r#"{"jobId":"j-1","payload":{}}"#.into()),
                headers: Headers::new(),
            },
        }
    }

    fn failed(failure: Failure) -> Outcome {
        Outcome::Failed(failure.into())
    }

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    #[test]
    fn a_transient_failure_is_tried_again_until_the_attempts_are_used_up() {
        let again = Verdict::Again {
            due_at: after(NOW, Duration::from_secs(1)),
            counted: true,
        };
        let verdicts = [1, 2, 3]
            .map(|made| claimed(made).verdict(&failed(Failure::transient("no")), NOW, 0.0));
        assert_eq!(verdicts, [again.clone(), again, Verdict::Dead]);
    }

    #[test]
    fn a_permanent_failure_is_the_end_and_an_outage_is_no_attempt() {
        let permanent = claimed(1).verdict(&failed(Failure::permanent("no")), NOW, 0.0);
        assert_eq!(permanent, Verdict::Dead);
        for outcome in [failed(Failure::outage("away")), Outcome::Released] {
            let verdict = claimed(3).verdict(&outcome, NOW, 0.0);
            assert!(
                matches!(verdict, Verdict::Again { counted: false, .. }),
                "{verdict:?}"
            );
        }
    }

    #[test]
    fn a_job_belongs_to_the_chain_of_the_event_that_added_it() {
        const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let mut job = claimed(1);
        let chain = |job: &Claimed| (job.chain().correlation_id, job.chain().trace_parent);
        assert_eq!(chain(&job), ("j-1".to_owned(), None));
        job.record.headers.push_str("correlation-id", "c-7");
        job.record.headers.push_str("traceparent", PARENT);
        assert_eq!(chain(&job), ("c-7".to_owned(), Some(PARENT.to_owned())));
    }

    #[test]
    fn each_end_of_a_job_has_ids_of_its_own_and_the_same_end_has_the_same() {
        let run = FailedRun::stalled();
        let ids = |job: &Claimed| {
            let records = job.failed(&run, "jobs", NOW);
            let completed = job.completed("jobs", NOW);
            assert_eq!((records.len(), completed.len()), (2, 1));
            assert_eq!(&*records[1].1.topic, "jobs.bell.dlq");
            [records[0].0, records[1].0]
        };
        let first = claimed(1);
        let second = Claimed {
            endings: 1,
            ..claimed(1)
        };
        assert_eq!(ids(&first), ids(&first));
        let mut all = [ids(&first), ids(&second)].concat();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 4);
    }
}
