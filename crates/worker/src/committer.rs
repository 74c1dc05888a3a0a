//! Group commit: everything that is ready becomes one transaction; if that is refused, each message is tried alone, so
//! that one bad write harms only its own message.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use longshore_event::Identity;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::assignments::Assignments;
use crate::backoff::Backoff;
use crate::ending::{End, Handled, Trail};
use crate::failure::chain;
use crate::journey::Guide;
use crate::lanes::LaneScope;
use crate::message::{Arrival, Message};
use crate::parking::Which;
use crate::run_loop::RunLoop;
use crate::status::StatusBoard;
use crate::{CommitError, CommitStrategy, Failure, Finished, Handler, Refused, Source};

/// How soon it is looked again how far a partition is behind.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What a try to commit came to.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    /// Finished, one way or the other.
    pub(crate) settled: Vec<Trail>,
    /// To be tried again later, in order: the commit target is out of reach. Whether they took effect is unknown.
    pub(crate) left: Vec<Handled>,
}

impl<H: Handler, S: Source, C: CommitStrategy> RunLoop<H, S, C> {
    /// Commits all that is ready, unless a commit is under way: then it gathers for the next one.
    pub(crate) fn start_commit(&mut self) {
        if self.committing.is_some()
            || self
                .commit_retry
                .as_ref()
                .is_some_and(|(_, at)| *at > Instant::now())
        {
            return;
        }
        let batch = self.next_batch();
        if batch.is_empty() {
            // What could not be committed has left with its partition.
            self.commit_retry = None;
            return;
        }
        let commit = commit(
            batch,
            self.strategy.clone(),
            self.guide.clone(),
            self.status.clone(),
        );
        self.committing = Some(commit.boxed());
        self.ended_before_commit = self.assignments.ended();
    }

    /// Whether the commit under way may hold messages of a stay that is over.
    pub(crate) fn is_committing_for_an_ended_stay(&self) -> bool {
        self.committing.is_some() && self.ended_before_commit != self.assignments.ended()
    }

    fn next_batch(&mut self) -> Vec<Handled> {
        let most = self.guide.settings.max_batch;
        if self.guide.scope == LaneScope::Group {
            let size = self.handled.len().min(most);
            return self.handled.drain(..size).collect();
        }
        let mut ready = Vec::new();
        for handled in std::mem::take(&mut self.handled) {
            if self.assignments.completes_prefix(handled.trail.place) {
                ready.push(handled);
            } else {
                self.handled.push_back(handled);
            }
        }
        // Cut off at the end, it is still a prefix of each partition.
        ready.sort_by_key(|handled| Assignments::log_order(handled.trail.place));
        let rest = ready.split_off(ready.len().min(most));
        self.handled.extend(rest);
        ready
    }

    /// What belongs to a partition that has moved on must not take effect here. This frees lanes, so it comes before
    /// handlers are started.
    pub(crate) fn drop_abandoned(&mut self) {
        let assignments = &self.assignments;
        let held = |handled: &Handled| assignments.holds(handled.trail.place);
        if self.handled.iter().all(held) {
            return;
        }
        for handled in std::mem::take(&mut self.handled) {
            if self.assignments.holds(handled.trail.place) {
                self.handled.push_back(handled);
            } else {
                self.settle(&handled.trail, None);
            }
        }
    }

    pub(crate) fn committed(&mut self, committed: Committed) {
        self.committing = None;
        let Committed { settled, left } = committed;
        if left.is_empty() {
            self.commit_retry = None;
        } else {
            let (mut backoff, _) = self
                .commit_retry
                .take()
                .unwrap_or_else(|| (Backoff::new(), Instant::now()));
            let again = Instant::now() + backoff.delay();
            self.commit_retry = Some((backoff, again));
            for handled in left.into_iter().rev() {
                self.handled.push_front(handled);
            }
            self.drop_abandoned();
        }
        if settled.is_empty() {
            return;
        }
        self.metrics.committed(settled.len());
        for trail in &settled {
            self.ended_for_good(trail);
        }
        self.offsets_moved();
    }

    fn ended_for_good(&mut self, trail: &Trail) {
        if let Some(metrics) = self.assignments.metrics(trail.place) {
            match trail.end {
                End::Done => drop(metrics.handled.inc()),
                End::Dead(kind) => metrics.dead_lettered(kind),
                End::Parked => drop(metrics.parked.inc()),
                End::Fenced => {}
            }
        }
        if trail.is_newly_held
            && let Some(lane) = trail.lane
        {
            self.hold_behind(trail, lane);
        }
        if trail.end == End::Fenced {
            self.assignments.abandon(trail.place);
            self.fenced(trail);
            self.settle(trail, None);
        } else {
            self.assignments.finish(trail.place);
            // What is parked has not taken effect yet, be it this message or a copy of it.
            let took_effect = trail.end != End::Parked && !trail.is_claimed;
            let done = took_effect.then_some(&trail.identity);
            self.settle(trail, done);
        }
    }

    /// Everybody who waited for this message goes on: its lane, its key among the parked, the source.
    pub(crate) fn settle(&mut self, trail: &Trail, done: Option<&Identity>) {
        if let Some(lane) = trail.lane {
            self.lanes.finish(lane, done);
        }
        let holds_key = self.parking.holds(&trail.key);
        if holds_key && trail.parks {
            let which = match trail.lane {
                Some(_) => Which::Head,
                None => Which::Behind,
            };
            self.parking.settled(&trail.key, which);
            if trail.end != End::Parked {
                self.parking.wake(&trail.key);
            }
        } else if holds_key && let Arrival::Parked(parked) = &trail.arrival {
            self.parking.drained_one(&trail.key, parked.stay);
        } else if holds_key && trail.arrival.redrive() > 0 {
            self.parking.wake(&trail.key);
        }
        if trail.arrival.is_from_source() {
            self.release(1);
        }
    }

    /// A message that never started, or failed after its partition had left, is nobody's here any more.
    pub(crate) fn let_message_go(&mut self, message: &Message<H::Payload>) {
        match &message.arrival {
            Arrival::Parked(parked) => {
                let key = message.lane(self.guide.scope);
                self.parking.drained_one(&key, parked.stay);
            }
            Arrival::Log | Arrival::Redriven(_) => self.release(1),
        }
    }

    pub(crate) fn offsets_moved(&mut self) {
        let due = Instant::now() + self.guide.settings.offset_interval;
        self.offsets_due = Some(self.offsets_due.map_or(due, |at| at.min(due)));
    }

    pub(crate) fn commit_offsets(&mut self) {
        self.offsets_due = None;
        let moved = self.assignments.take_moved();
        if !moved.is_empty() {
            self.source.commit(&moved);
        }
        let mut is_behind = false;
        for (partition, next) in self.assignments.positions() {
            let Some(end) = self.source.end_offset(partition) else {
                continue;
            };
            let lag = (end.0 - next.0).max(0);
            self.metrics.lag(partition, lag);
            is_behind |= lag > 0;
        }
        if is_behind {
            self.look_again();
        }
    }

    /// Where a partition is not at its end, nothing may move, and yet its end does.
    pub(crate) fn look_again(&mut self) {
        let wait = LOOK_AGAIN.max(self.guide.settings.offset_interval);
        self.offsets_due
            .get_or_insert_with(|| Instant::now() + wait);
    }
}

/// Tries to commit the batch.
///
/// # Panics
/// If the strategy does not give back the batch that it refuses: going on would lose messages.
pub(crate) async fn commit<H: Handler, C: CommitStrategy>(
    batch: Vec<Handled>,
    strategy: Arc<C>,
    guide: Arc<Guide<H>>,
    status: StatusBoard,
) -> Committed {
    let (effects, settled): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|handled| (handled.effects, handled.trail))
        .unzip();
    let Err(Refused { batch, reason }) = strategy.commit(effects).await else {
        status.commits_recovered();
        return Committed {
            settled,
            left: Vec::new(),
        };
    };
    assert_eq!(
        batch.len(),
        settled.len(),
        "a strategy gives back what it was handed"
    );
    let batch = batch.into_iter().zip(settled);
    let mut batch = batch.map(|(effects, trail)| Handled { effects, trail });
    if let CommitError::Unavailable(reason) = reason {
        status.commits_failed(&chain(&*reason));
        return Committed {
            settled: Vec::new(),
            left: batch.collect(),
        };
    }
    let mut committed = Committed::default();
    while let Some(handled) = batch.next() {
        match commit_alone(handled, &*strategy, &guide, &status).await {
            Ok(trail) => committed.settled.push(trail),
            Err(handled) => {
                committed.left.push(handled);
                committed.left.extend(batch);
                break;
            }
        }
    }
    committed
}

/// Commits one message; if its effects are refused, its dead letter takes their place. Gives it back if the commit
/// target is out of reach.
async fn commit_alone<H: Handler>(
    handled: Handled,
    strategy: &impl CommitStrategy,
    guide: &Guide<H>,
    status: &StatusBoard,
) -> Result<Trail, Handled> {
    let Handled {
        mut effects,
        mut trail,
    } = handled;
    loop {
        let Refused { batch, reason } = match strategy.commit(vec![effects]).await {
            Ok(()) => break,
            Err(refused) => refused,
        };
        match reason {
            CommitError::Duplicate => {
                trail.is_claimed = true;
                break;
            }
            CommitError::Fenced(reason) => {
                warn!(position = %trail.record.position(), error = chain(&*reason), "left to the partition's new owner");
                trail.end = End::Fenced;
                break;
            }
            CommitError::Rejected(reason) if !matches!(trail.end, End::Dead(_)) => {
                let failure = Failure::permanent(reason);
                trail.end = End::Dead(failure.kind());
                effects = guide.dead(&trail, &failure);
                trail.is_newly_held = effects.parked.is_some() && !trail.parks;
            }
            // What the handler says of a dead letter is less than the dead letter.
            CommitError::Rejected(reason) if batch.iter().any(|one| !one.writes.is_empty()) => {
                error!(position = %trail.record.position(), error = chain(&*reason), "dead letter without the handler's statements, which were rejected");
                (effects, trail) = without_statements(batch, trail);
            }
            // A dead letter has no statements any more, so this is ours to mend and not the message's fault.
            CommitError::Rejected(reason) => {
                error!(position = %trail.record.position(), error = chain(&*reason), "dead letter rejected by the commit target; retried for ever");
                status.commits_failed(&chain(&*reason));
                return Err(again(batch, trail));
            }
            CommitError::Unavailable(reason) => {
                status.commits_failed(&chain(&*reason));
                return Err(again(batch, trail));
            }
        }
    }
    status.commits_recovered();
    Ok(trail)
}

/// The same effects but for their statements.
fn without_statements(batch: Vec<Finished>, trail: Trail) -> (Finished, Trail) {
    let handled = again(batch, trail);
    let effects = Finished {
        writes: Vec::new(),
        ..handled.effects
    };
    (effects, handled.trail)
}

/// A message whose commit is tried again.
fn again(mut batch: Vec<Finished>, trail: Trail) -> Handled {
    let effects = batch
        .pop()
        .expect("a strategy gives back what it was handed");
    Handled { effects, trail }
}
