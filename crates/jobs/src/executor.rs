//! Runs jobs beside the messages: one task that claims, starts, renews and ends them, one transaction a turn.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use longshore_store::Commits;
use longshore_worker::{Clock, Failure, OutboxBell, StoreError};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::claimed::{Claimed, Outcome, after};
use crate::handler::Start;
use crate::notes::Notes;
use crate::turn::{JobTable, Kept, Room, Turn, Turned};
use crate::{Queues, prune};

mod state;
use state::{Ended, Running, State};

/// Between two turns that only time asks for: what comes due meanwhile is taken together.
const GATHER: Duration = Duration::from_millis(20);
/// How long notes of a running job wait for the store.
const NOTES: Duration = Duration::from_millis(500);
/// How often the store is asked where other instances may have put jobs in; where there are none, it is never.
const POLL: Duration = Duration::from_secs(1);
/// How often old jobs are looked for.
const PRUNE: Duration = Duration::from_secs(60);
/// The rest after which removing goes on where there were more than one statement removes.
const PRUNE_ON: Duration = Duration::from_millis(250);
/// The wait after the first turn that failed; each later one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// The longest wait, so that jobs run soon after the store is back.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What an executor works with.
#[derive(Debug)]
pub(crate) struct Executor {
    pub(crate) table: JobTable,
    pub(crate) queues: Arc<Queues>,
    pub(crate) bell: Option<OutboxBell>,
    pub(crate) clock: Clock,
    /// Rung when somebody in this process has changed the table.
    pub(crate) wake: Arc<Notify>,
    /// Time for what runs to finish when it is told to stop.
    pub(crate) drain: Duration,
    pub(crate) random: fastrand::Rng,
}

impl Executor {
    /// Works until `stop` completes and what runs has finished, or has been given back.
    pub(crate) async fn run(mut self, mut stop: impl Future<Output = ()> + Unpin) {
        let mut commits = self.table.store.commits();
        let mut state = State {
            tasks: JoinSet::new(),
            running: HashMap::new(),
            ended: Vec::new(),
            orphans: self.table.store.is_exclusive(),
            look: true,
            next: None,
            prune_at: Instant::now(),
            wait: FIRST_WAIT,
            rest_until: None,
            deadline: None,
        };
        loop {
            if state.rest_until.is_none_or(|until| until <= Instant::now()) {
                self.turn(&mut state).await;
            }
            if state.deadline.is_some() && state.running.is_empty() && state.ended.is_empty() {
                return;
            }
            if self
                .wait(&mut state, &mut commits, &mut stop)
                .await
                .is_break()
            {
                return;
            }
        }
    }

    /// Waits until there is something to do, and takes in what has ended.
    async fn wait(
        &mut self,
        state: &mut State,
        commits: &mut Commits,
        stop: &mut (impl Future<Output = ()> + Unpin),
    ) -> std::ops::ControlFlow<()> {
        let stopping = state.deadline.is_some();
        let wakes_at = self.wakes_at(state);
        tokio::select! {
            biased;
            () = stop, if !stopping => {
                state.deadline = Some(Instant::now() + self.drain);
            }
            Some(ended) = state.tasks.join_next_with_id() => {
                state.take_in(ended);
                while let Some(ended) = state.tasks.try_join_next_with_id() {
                    state.take_in(ended);
                }
            }
            () = at(state.deadline) => return self.give_back(state).await,
            () = at(wakes_at) => {
                let now = Instant::now();
                state.look |= state.next.is_some_and(|next| next <= now);
            }
            () = commits.next(), if !stopping => state.look = true,
            () = self.wake.notified(), if !stopping => state.look = true,
        }
        std::ops::ControlFlow::Continue(())
    }

    /// When to go on without being told.
    fn wakes_at(&self, state: &State) -> Option<Instant> {
        if let Some(until) = state.rest_until.filter(|until| *until > Instant::now()) {
            return Some(until);
        }
        let now = Instant::now();
        // A job may say something at any time; nobody tells of it.
        let notes = (!state.running.is_empty()).then(|| now + NOTES);
        let renew = state
            .running
            .values()
            .map(|running| self.renew_in(running))
            .min();
        let renew = renew.map(|wait| now + wait);
        let mut wakes = vec![notes, renew];
        if state.deadline.is_none() && self.has_room(state) {
            wakes.push(state.next.map(|next| next.max(now + GATHER)));
            wakes.push(Some(state.prune_at));
        }
        wakes.into_iter().flatten().min()
    }

    /// A lease is renewed when a third of it has passed.
    fn renew_in(&self, running: &Running) -> Duration {
        let lease = self.lease(&running.job);
        let left = running.lease_until.duration_since(self.clock.now());
        let left = Duration::try_from(left).unwrap_or(Duration::ZERO);
        left.saturating_sub(lease * 2 / 3)
    }

    fn lease(&self, job: &Claimed) -> Duration {
        let queue = self.queues.get(&job.queue);
        queue.map_or(Duration::ZERO, |queue| queue.config.lease)
    }

    fn has_room(&self, state: &State) -> bool {
        self.rooms(state).next().is_some()
    }

    fn rooms<'a>(&'a self, state: &'a State) -> impl Iterator<Item = Room<'a>> {
        self.queues.iter().filter_map(|(name, queue)| {
            let running = state
                .running
                .values()
                .filter(|running| running.job.queue == name);
            let free = queue.config.concurrency.saturating_sub(running.count());
            (free > 0).then_some(Room {
                queue: name,
                free,
                lease: queue.config.lease,
                rate: queue.config.rate,
            })
        })
    }

    /// One transaction, if there is something to do in it.
    async fn turn(&mut self, state: &mut State) {
        let now = self.clock.now();
        self.prune(state, now).await;
        let chance = self.random.f64();
        let stopping = state.deadline.is_some();
        let rooms: Vec<Room<'_>> = match stopping {
            false => self.rooms(state).collect(),
            true => Vec::new(),
        };
        let kept: Vec<Kept<'_>> = state
            .running
            .values()
            .filter_map(|running| {
                let due = self.renew_in(running).is_zero();
                (due || !running.notes.is_empty()).then(|| Kept {
                    job: &running.job,
                    lease: &running.lease,
                    until: after(now, self.lease(&running.job)),
                    notes: running.notes.take(),
                })
            })
            .collect();
        let claims = state.look && !rooms.is_empty();
        if state.ended.is_empty() && kept.is_empty() && !claims {
            return;
        }
        let turn = Turn {
            ended: state.ended.iter().map(Ended::end).collect(),
            kept,
            rooms,
            orphans: state.orphans,
        };
        let turned = self.table.turn(&turn, &self.clock, chance);
        match within(state.held_for(self.clock.now()), turned).await {
            Ok(turned) => {
                let kept: HashMap<String, Timestamp> = turn
                    .kept
                    .iter()
                    .map(|kept| (kept.job.id.clone(), kept.until))
                    .collect();
                self.turned(state, turned, &kept).await;
            }
            Err(error) => {
                for kept in turn.kept {
                    let running = state.running.values().find(|one| one.job.id == kept.job.id);
                    if let Some(running) = running {
                        running.notes.give_back(kept.notes);
                    }
                }
                warn!(error = Failure::from(error).message(), wait = ?state.wait, "jobs are not claimed or settled; tried again");
                state.rest_until = Some(Instant::now() + state.wait);
                state.wait = (state.wait * 2).min(LONGEST_WAIT);
                state.let_go_of_expired(self.clock.now());
            }
        }
    }

    async fn turned(
        &mut self,
        state: &mut State,
        turned: Turned,
        kept: &HashMap<String, Timestamp>,
    ) {
        state.ended.clear();
        state.orphans = false;
        state.look = false;
        state.wait = FIRST_WAIT;
        state.rest_until = None;
        for running in state.running.values_mut() {
            if let Some(until) = kept.get(&running.job.id) {
                running.lease_until = *until;
            }
        }
        state.let_go(|running| turned.lost.contains(&running.job.id));
        let now = self.clock.now();
        state.next = turned.next.and_then(|next| {
            let wait = Duration::try_from(next.duration_since(now)).unwrap_or(Duration::ZERO);
            Instant::now().checked_add(wait)
        });
        if !self.table.store.is_exclusive() {
            // Nobody tells of what other instances take in.
            let poll = Instant::now() + POLL;
            state.next = Some(state.next.map_or(poll, |next| next.min(poll)));
        }
        for (job, lease_until) in turned.claimed {
            self.start(state, job, turned.lease.clone(), lease_until);
        }
        if turned.published
            && let Some(bell) = &self.bell
        {
            bell.ring(now).await;
        }
    }

    fn start(&self, state: &mut State, job: Claimed, lease: String, lease_until: Timestamp) {
        let Some(queue) = self.queues.get(&job.queue) else {
            return;
        };
        debug!(
            job = job.id,
            queue = job.queue,
            attempt = job.attempts_made,
            "job started"
        );
        let notes = Notes::default();
        let run = queue.runner.run(Start {
            id: job.id.clone(),
            value: job.record.value.clone().unwrap_or_default(),
            attempt: job.attempts_made,
            attempts: job.attempts,
            chain: job.chain(),
            notes: notes.clone(),
        });
        let limit = job.time_limit;
        let abort = state.tasks.spawn(async move {
            let result = tokio::time::timeout(limit, run).await;
            result.unwrap_or_else(|_| Err(Failure::transient(TimeLimit(limit))))
        });
        state.running.insert(
            abort.id(),
            Running {
                job,
                lease,
                lease_until,
                notes,
                abort,
            },
        );
    }

    /// The time to finish is over: what still runs is given back, to be run again by whoever is next.
    async fn give_back(&mut self, state: &mut State) -> std::ops::ControlFlow<()> {
        for (_, running) in state.running.drain() {
            running.abort.abort();
            warn!(job = running.job.id, "job is interrupted: the worker stops");
            state.ended.push(Ended {
                notes: running.notes.take(),
                job: running.job,
                lease: running.lease,
                outcome: Outcome::Released,
            });
        }
        // Once: what it does not settle is recovered after its lease.
        self.turn(state).await;
        std::ops::ControlFlow::Break(())
    }

    async fn prune(&self, state: &mut State, now: Timestamp) {
        if state.prune_at > Instant::now() {
            return;
        }
        let pruning = prune::prune(&self.table.store, &self.queues, now);
        let rest = match within(state.held_for(now), pruning).await {
            Ok(true) => PRUNE_ON,
            Ok(false) => PRUNE,
            Err(error) => {
                debug!(
                    error = Failure::from(error).message(),
                    "old jobs are not removed; tried again"
                );
                PRUNE
            }
        };
        state.prune_at = Instant::now() + rest;
    }
}

/// Gives the store no more time than the leases have of what runs: it must be let go of when those are over.
async fn within<T>(
    limit: Option<Duration>,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let Some(limit) = limit else {
        return call.await;
    };
    let turned = tokio::time::timeout(limit, call).await;
    turned.unwrap_or_else(|elapsed| Err(StoreError::Unavailable(elapsed.into())))
}

#[derive(Debug, thiserror::Error)]
#[error("the run took longer than its time limit of {0:?}")]
struct TimeLimit(Duration);

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
