//! What an executor runs at the moment, what has ended and is not settled, and when to go on.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use longshore_worker::Failure;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;
use tracing::warn;

use crate::claimed::{Claimed, FailedRun, Outcome};
use crate::notes::{Notes, Taken};
use crate::turn::End;

/// One run under way.
pub(super) struct Running {
    pub(super) job: Claimed,
    pub(super) lease: String,
    pub(super) lease_until: Timestamp,
    pub(super) notes: Notes,
    pub(super) abort: AbortHandle,
}

/// A run that has ended and is not settled.
pub(super) struct Ended {
    pub(super) job: Claimed,
    pub(super) lease: String,
    pub(super) outcome: Outcome,
    pub(super) notes: Taken,
}

/// What changes from turn to turn.
pub(super) struct State {
    pub(super) tasks: JoinSet<Result<(), Failure>>,
    pub(super) running: HashMap<Id, Running>,
    pub(super) ended: Vec<Ended>,
    pub(super) orphans: bool,
    /// Whether there may be something to claim.
    pub(super) look: bool,
    /// When to look again without being told.
    pub(super) next: Option<Instant>,
    pub(super) prune_at: Instant,
    /// The wait after a turn that failed.
    pub(super) wait: Duration,
    /// No turn before this.
    pub(super) rest_until: Option<Instant>,
    /// Set once the executor is to stop: when it gives up on what still runs.
    pub(super) deadline: Option<Instant>,
}

impl State {
    pub(super) fn take_in(&mut self, ended: Result<(Id, Result<(), Failure>), JoinError>) {
        let (id, outcome) = match ended {
            Ok((id, Ok(()))) => (id, Outcome::Completed),
            Ok((id, Err(failure))) => (id, Outcome::Failed(failure.into())),
            Err(error) => (error.id(), Outcome::Failed(panicked(error))),
        };
        // One that was let go of is somebody else's by now.
        if let Some(running) = self.running.remove(&id) {
            self.ended.push(Ended {
                notes: running.notes.take(),
                job: running.job,
                lease: running.lease,
                outcome,
            });
            self.look = true;
        }
    }

    /// Stops runs whose jobs are no longer this process's.
    pub(super) fn let_go(&mut self, lost: impl Fn(&Running) -> bool) {
        self.running.retain(|_, running| {
            let lost = lost(running);
            if lost {
                warn!(
                    job = running.job.id,
                    "the lease of a running job is lost; the run is dropped"
                );
                running.abort.abort();
            }
            !lost
        });
    }

    /// How long all that runs is this process's for sure; `None` if nothing runs whose lease is not over.
    pub(super) fn held_for(&self, now: Timestamp) -> Option<Duration> {
        let leases = self.running.values().map(|running| running.lease_until);
        let first = leases.filter(|until| *until > now).min()?;
        Duration::try_from(first.duration_since(now)).ok()
    }

    /// The store has been away for longer than a lease: somebody else may run the job by now.
    pub(super) fn let_go_of_expired(&mut self, now: Timestamp) {
        self.let_go(|running| running.lease_until <= now);
    }
}

impl Ended {
    pub(super) fn end(&self) -> End<'_> {
        End {
            job: &self.job,
            lease: &self.lease,
            outcome: &self.outcome,
            notes: &self.notes,
        }
    }
}

fn panicked(error: JoinError) -> FailedRun {
    let message = match error.try_into_panic() {
        Ok(panic) => match panic.downcast::<String>() {
            Ok(text) => format!("panicked: {text}"),
            Err(panic) => match panic.downcast::<&'static str>() {
                Ok(text) => format!("panicked: {text}"),
                Err(_) => "panicked".to_owned(),
            },
        },
        Err(error) => error.to_string(),
    };
    Failure::transient(message).into()
}
