//! One transaction of the executor: what has ended, what is renewed, what is recovered, what is due, and what is claimed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use longshore_event::OutgoingRecord;
use longshore_store::{SqlStore, Transaction, limit};
use longshore_worker::{Clock, StoreError, sql};
use uuid::Uuid;

use crate::claimed::{COLUMNS, Claimed, FailedRun, Outcome, Verdict, after, time};
use crate::notes::Taken;
use crate::queue::Rate;
use crate::repeat;

/// Rows that one turn recovers, or finds due, at most; the next turn follows at once.
const PAGE: i64 = 500;

/// What the executor wants of the table.
#[derive(Debug, Default)]
pub(crate) struct Turn<'a> {
    pub(crate) ended: Vec<End<'a>>,
    pub(crate) kept: Vec<Kept<'a>>,
    /// Queues with room, in the order of their names.
    pub(crate) rooms: Vec<Room<'a>>,
    /// Whether jobs that are active belong to nobody who lives: so at the start, where no other process can have them.
    pub(crate) orphans: bool,
}

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct End<'a> {
    pub(crate) job: &'a Claimed,
    pub(crate) lease: &'a str,
    pub(crate) outcome: &'a Outcome,
    pub(crate) notes: &'a Taken,
}

/// A run that goes on.
#[derive(Debug)]
pub(crate) struct Kept<'a> {
    pub(crate) job: &'a Claimed,
    pub(crate) lease: &'a str,
    pub(crate) until: Timestamp,
    pub(crate) notes: Taken,
}

/// A queue that can take more.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    pub(crate) queue: &'a str,
    pub(crate) free: usize,
    pub(crate) lease: Duration,
    pub(crate) rate: Option<Rate>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Turned {
    /// In the order in which they are to be started.
    pub(crate) claimed: Vec<(Claimed, Timestamp)>,
    /// The lease of all of them.
    pub(crate) lease: String,
    /// Jobs whose lease another has taken.
    pub(crate) lost: Vec<String>,
    /// When there is something to do again, as far as is known; the executor has to ask then.
    pub(crate) next: Option<Timestamp>,
    /// Whether records were put into the outbox.
    pub(crate) published: bool,
}

/// The table of the jobs, as the executor uses it.
#[derive(Clone, Debug)]
pub(crate) struct JobTable {
    pub(crate) store: SqlStore,
    pub(crate) group: std::sync::Arc<str>,
}

/// A turn under way.
pub(crate) struct Work<'a> {
    pub(crate) transaction: &'a mut Transaction,
    pub(crate) table: &'a JobTable,
    pub(crate) now: Timestamp,
    clock: &'a Clock,
    pub(crate) records: Vec<(Uuid, OutgoingRecord)>,
    pub(crate) turned: Turned,
}

impl JobTable {
    /// The order of the steps: what has ended makes room for what is claimed. Queues are locked before anything is found
    /// due, so that of several instances none claims a job while another is about to let a higher one in.
    ///
    /// # Errors
    /// As those of [`Transaction`]. After [`StoreError::Unavailable`] it may have taken effect: what has ended is then found
    /// to be nobody's when it is told again, and what was claimed is recovered after its lease.
    pub(crate) async fn turn(
        &self,
        turn: &Turn<'_>,
        clock: &Clock,
        chance: f64,
    ) -> Result<Turned, StoreError> {
        let mut transaction = self.store.begin().await?;
        let mut work = Work {
            transaction: &mut transaction,
            table: self,
            now: clock.now(),
            clock,
            records: Vec::new(),
            turned: Turned {
                lease: Uuid::new_v4().to_string(),
                ..Turned::default()
            },
        };
        for end in &turn.ended {
            work.end(end, chance).await?;
        }
        for kept in &turn.kept {
            work.keep(kept).await?;
        }
        if turn.orphans {
            work.run("update jobs set lease_until = 0 where state = 'active'")
                .await?;
        }
        work.claim(&turn.rooms, chance).await?;
        work.look_ahead(&turn.rooms).await?;
        let Work {
            records,
            now,
            mut turned,
            ..
        } = work;
        turned.published = !records.is_empty();
        transaction.publish(records, now).await?;
        transaction.commit().await?;
        Ok(turned)
    }
}

impl Work<'_> {
    async fn claim(&mut self, rooms: &[Room<'_>], chance: f64) -> Result<(), StoreError> {
        if rooms.is_empty() {
            return Ok(());
        }
        let mut allowed = Vec::with_capacity(rooms.len());
        for room in rooms {
            allowed.push(self.allowed(room).await?);
        }
        self.recover(chance).await?;
        let repeated = repeat::enqueue_due(
            self.transaction,
            &self.table.store,
            &self.table.group,
            self.now,
        )
        .await?;
        self.records.extend(repeated);
        self.let_in().await?;
        for (room, allowed) in rooms.iter().zip(allowed) {
            self.take(room, allowed).await?;
        }
        Ok(())
    }

    /// Locks the queue, and says how many runs may be started in it now.
    async fn allowed(&mut self, room: &Room<'_>) -> Result<usize, StoreError> {
        let make = sql(
            "insert into job_queues (name, paused, window_start, window_runs) values ($1, 0, 0, 0) \
             on conflict do nothing",
        )
        .bind(room.queue.to_owned());
        self.transaction.execute(&make).await?;
        let look = format!(
            "select paused, window_start, window_runs from job_queues where name = $1{}",
            self.table.store.locking()
        );
        let rows = self
            .transaction
            .fetch(&sql(look).bind(room.queue.to_owned()))
            .await?;
        // Whoever held the lock has claimed before this moment: times tell the order of claims over all instances.
        self.now = self.clock.now();
        let number = |column| {
            rows.first()
                .and_then(|row| row.integer(column))
                .unwrap_or(0)
        };
        if number(0) != 0 {
            return Ok(0);
        }
        let Some(rate) = room.rate else {
            return Ok(room.free);
        };
        let window = Window::at(self.now, number(1), number(2), rate);
        let allowed = room.free.min(window.left);
        if window.left < room.free {
            self.wake_at(window.ends);
        }
        Ok(allowed)
    }

    /// Jobs whose lease is over go on where they were, or have failed if that run was their last.
    async fn recover(&mut self, chance: f64) -> Result<(), StoreError> {
        let stalled = format!(
            "select {COLUMNS}, lease_id from jobs where state = 'active' and lease_until <= $1 \
             order by lease_until limit {PAGE}{}",
            self.table.store.taking()
        );
        let stalled = sql(stalled).bind(self.now.as_microsecond());
        for row in self.transaction.fetch(&stalled).await? {
            let (Some(job), Some(lease)) = (Claimed::read(&row), row.text(18)) else {
                continue;
            };
            let outcome = Outcome::Failed(FailedRun::stalled());
            let verdict = match job.verdict(&outcome, self.now, chance) {
                // It keeps its place: what ended was the process.
                Verdict::Again { counted, .. } => Verdict::Again {
                    due_at: time(job.due_at).unwrap_or(self.now),
                    counted,
                },
                verdict => verdict,
            };
            tracing::info!(
                job = job.id,
                queue = job.queue,
                attempts = job.attempts_made,
                "job recovered"
            );
            self.settle(&job, lease, &outcome, &verdict).await?;
        }
        Ok(())
    }

    /// What has become due waits for its turn.
    async fn let_in(&mut self) -> Result<(), StoreError> {
        let store = &self.table.store;
        let due = format!(
            "select id from jobs where state = 'delayed' and due_at <= $1 order by due_at limit {PAGE}{}",
            store.taking()
        );
        let due = store.among("id", &due);
        let due = sql(format!("update jobs set state = 'waiting' where {due}"))
            .bind(self.now.as_microsecond());
        self.transaction.execute(&due).await.map(drop)
    }

    /// Higher priority first, first come first served within.
    async fn take(&mut self, room: &Room<'_>, allowed: usize) -> Result<(), StoreError> {
        if allowed == 0 {
            return Ok(());
        }
        let store = &self.table.store;
        let next = format!(
            "select id from jobs where state = 'waiting' and queue = $4 \
             order by priority desc, due_at, id {}{}",
            limit(5),
            store.taking()
        );
        let next = store.among("id", &next);
        let claim = format!(
            "update jobs set state = 'active', attempts_made = attempts_made + 1, lease_id = $1, lease_until = $2, \
             started_at = $3, progress = 0 where {next} returning {COLUMNS}"
        );
        let until = after(self.now, room.lease);
        let claim = sql(claim)
            .bind(self.turned.lease.clone())
            .bind(until.as_microsecond())
            .bind(self.now.as_microsecond())
            .bind(room.queue.to_owned())
            .bind(i64::try_from(allowed).unwrap_or(i64::MAX));
        let rows = self.transaction.fetch(&claim).await?;
        let mut claimed: Vec<Claimed> = rows.iter().filter_map(Claimed::read).collect();
        claimed.sort_by(|a, b| {
            let order = |job: &Claimed| (std::cmp::Reverse(job.priority), job.due_at);
            order(a).cmp(&order(b)).then_with(|| a.id.cmp(&b.id))
        });
        if let Some(rate) = room.rate
            && !claimed.is_empty()
        {
            self.count(room.queue, rate, claimed.len()).await?;
        }
        let claimed = claimed.into_iter().map(|job| (job, until));
        self.turned.claimed.extend(claimed);
        Ok(())
    }

    /// Counts runs against the rate limit.
    async fn count(&mut self, queue: &str, rate: Rate, runs: usize) -> Result<(), StoreError> {
        let began = micros(self.now) - micros_of(rate.per);
        let count = sql("update job_queues set \
             window_runs = case when window_start <= $2 then $3 else window_runs + $3 end, \
             window_start = case when window_start <= $2 then $4 else window_start end where name = $1")
        .bind(queue.to_owned())
        .bind(began)
        .bind(i64::try_from(runs).unwrap_or(i64::MAX))
        .bind(micros(self.now));
        self.transaction.execute(&count).await.map(drop)
    }

    /// Finds out when the next job is due or stalls, and the next repetition.
    async fn look_ahead(&mut self, rooms: &[Room<'_>]) -> Result<(), StoreError> {
        if rooms.is_empty() {
            return Ok(());
        }
        let first = sql("select min(at) from (\
             select min(due_at) as at from jobs where state = 'delayed' \
             union all select min(lease_until) from jobs where state = 'active' \
             union all select min(next_at) from job_repeats) as moments");
        let rows = self.transaction.fetch(&first).await?;
        if let Some(at) = rows.first().and_then(|row| row.integer(0)).and_then(time) {
            self.wake_at(at);
        }
        Ok(())
    }

    fn wake_at(&mut self, at: Timestamp) {
        let next = self.turned.next.map_or(at, |next| next.min(at));
        self.turned.next = Some(next);
    }

    async fn run(&mut self, text: &'static str) -> Result<u64, StoreError> {
        self.transaction.execute(&sql(text)).await
    }
}

/// The rate limit of a queue at a moment: windows begin with the first run in them.
#[derive(Debug, PartialEq, Eq)]
struct Window {
    left: usize,
    ends: Timestamp,
}

impl Window {
    fn at(now: Timestamp, start: i64, runs: i64, rate: Rate) -> Self {
        let is_over = start <= micros(now) - micros_of(rate.per);
        let used = if is_over { 0 } else { runs };
        let left = i64::from(rate.runs).saturating_sub(used).max(0);
        Self {
            left: usize::try_from(left).unwrap_or(0),
            ends: time(start.saturating_add(micros_of(rate.per))).unwrap_or(Timestamp::MAX),
        }
    }
}

fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

fn micros_of(duration: Duration) -> i64 {
    let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_begins_with_its_first_run_and_ends_after_its_time() {
        let rate = Rate {
            runs: 3,
            per: Duration::from_secs(10),
        };
        let at = |second| Timestamp::from_second(second).expect("in range");
        let left = |second, runs| Window::at(at(second), micros(at(100)), runs, rate).left;
        assert_eq!(
            [left(100, 0), left(105, 2), left(109, 3), left(110, 3)],
            [3, 1, 0, 3]
        );
        assert_eq!(Window::at(at(105), micros(at(100)), 3, rate).ends, at(110));
    }
}
