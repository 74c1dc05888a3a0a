//! What becomes of jobs whose run has ended, and of those that go on, within a turn.

use longshore_worker::{StoreError, sql};

use crate::claimed::{Claimed, Outcome, Verdict};
use crate::notes::{MAX_LINES, Taken};
use crate::turn::{End, Kept, Work};

/// Bytes that are kept of an error.
const MAX_ERROR_BYTES: usize = 4_096;

impl Work<'_> {
    pub(crate) async fn end(&mut self, end: &End<'_>, chance: f64) -> Result<(), StoreError> {
        let verdict = end.job.verdict(end.outcome, self.now, chance);
        if !self
            .settle(end.job, end.lease, end.outcome, &verdict)
            .await?
        {
            // Somebody else has it, or this was committed before, when nobody knew.
            return Ok(());
        }
        if verdict != Verdict::Completed || !end.job.remove_on_complete {
            self.note(end.job, end.notes).await?;
        }
        Ok(())
    }

    /// Makes the verdict true, if the lease still holds; says whether it does.
    pub(crate) async fn settle(
        &mut self,
        job: &Claimed,
        lease: &str,
        outcome: &Outcome,
        verdict: &Verdict,
    ) -> Result<bool, StoreError> {
        let now = self.now.as_microsecond();
        let under_lease = "where id = $1 and lease_id = $2 and state = 'active'";
        let text = |set: &str| {
            sql(format!("{set} {under_lease}"))
                .bind(job.id.clone())
                .bind(lease.to_owned())
        };
        let error = match outcome {
            Outcome::Failed(run) => Some(error_text(&run.message)),
            Outcome::Completed | Outcome::Released => None,
        };
        let statement = match verdict {
            Verdict::Completed if job.remove_on_complete => text("delete from jobs"),
            Verdict::Completed => text(
                "update jobs set state = 'completed', ended_at = $3, progress = 100, endings = endings + 1, \
                 lease_id = null, lease_until = null",
            )
            .bind(now),
            Verdict::Again { due_at, counted } => text(
                "update jobs set state = $3, due_at = $4, attempts_made = attempts_made - $5, \
                 last_error = coalesce($6, last_error), first_failed_at = coalesce(first_failed_at, $7), \
                 last_failed_at = coalesce($7, last_failed_at), lease_id = null, lease_until = null",
            )
            .bind(if *due_at > self.now { "delayed" } else { "waiting" })
            // One that was interrupted keeps its place.
            .bind(if error.is_some() { due_at.as_microsecond() } else { job.due_at })
            .bind(i64::from(!counted))
            .bind(error.clone())
            .bind(error.as_ref().map(|_| now)),
            Verdict::Dead => text(
                "update jobs set state = 'failed', ended_at = $3, last_error = $4, endings = endings + 1, \
                 first_failed_at = coalesce(first_failed_at, $3), last_failed_at = $3, \
                 lease_id = null, lease_until = null",
            )
            .bind(now)
            .bind(error),
        };
        if self.transaction.execute(&statement).await? == 0 {
            return Ok(false);
        }
        let group = &self.table.group;
        match (verdict, outcome) {
            (Verdict::Completed, _) => self.records.extend(job.completed(group, self.now)),
            (Verdict::Dead, Outcome::Failed(run)) => {
                tracing::warn!(
                    job = job.id,
                    queue = job.queue,
                    error = run.message,
                    attempts = job.attempts_made,
                    "job failed"
                );
                self.records.extend(job.failed(run, group, self.now));
            }
            _ => {}
        }
        Ok(true)
    }

    pub(crate) async fn keep(&mut self, kept: &Kept<'_>) -> Result<(), StoreError> {
        let renew = sql(
            "update jobs set lease_until = $3 where id = $1 and lease_id = $2 and state = 'active'",
        )
        .bind(kept.job.id.clone())
        .bind(kept.lease.to_owned())
        .bind(kept.until.as_microsecond());
        if self.transaction.execute(&renew).await? == 0 {
            self.turned.lost.push(kept.job.id.clone());
            return Ok(());
        }
        self.note(kept.job, &kept.notes).await
    }

    async fn note(&mut self, job: &Claimed, notes: &Taken) -> Result<(), StoreError> {
        if let Some(percent) = notes.progress {
            let progress = sql("update jobs set progress = $2 where id = $1 and state = 'active'")
                .bind(job.id.clone())
                .bind(u32::from(percent));
            self.transaction.execute(&progress).await?;
        }
        for (number, line) in &notes.lines {
            let insert = sql("insert into job_logs (job_id, number, attempt, at, line) values ($1, $2, $3, $4, $5) \
                 on conflict do nothing")
                .bind(job.id.clone())
                .bind(place(job, *number))
                .bind(job.attempts_made)
                .bind(self.now.as_microsecond())
                .bind(line.clone());
            self.transaction.execute(&insert).await?;
        }
        if !notes.lines.is_empty() {
            let cut = sql(format!(
                "delete from job_logs where job_id = $1 and number not in \
                 (select number from job_logs where job_id = $1 order by number desc limit {MAX_LINES})"
            ))
            .bind(job.id.clone());
            self.transaction.execute(&cut).await?;
        }
        Ok(())
    }
}

/// The number of a line in its job's log: behind those of earlier runs, also of those that counted as the same attempt.
fn place(job: &Claimed, line: u64) -> i64 {
    const LINE_BITS: u32 = 20;
    let line = line.min((1 << LINE_BITS) - 1) as i64;
    job.started_at.as_millisecond() << LINE_BITS | line
}

/// As much of an error as is kept. PostgreSQL takes no NUL in a text.
fn error_text(message: &str) -> String {
    message[..message.floor_char_boundary(MAX_ERROR_BYTES)].replace('\0', "\u{fffd}")
}
