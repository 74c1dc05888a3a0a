//! Partitions that come and go: finish before they move, drop what has moved, leave the group at the end.

use std::fmt::Write;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use longshore_event::{NextOffset, TopicPartition};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use crate::ending::Trail;
use crate::intake::Step;
use crate::message::Message;
use crate::run_loop::RunLoop;
use crate::{CommitStrategy, Handler, Source, SourceError};

/// How long a partition that another instance has taken over in the store may stay assigned to this one: well over a
/// session, within which the group finds out who is its member.
const FENCED: Duration = Duration::from_secs(90);

/// What the worker is doing about its partitions.
pub(crate) enum Phase {
    Running,
    /// Some partitions are about to move: their in-flight messages are being finished.
    Finishing(Revocation),
    /// They are finished: what they caused is being published.
    HandingOver(Revocation, BoxFuture<'static, ()>),
}

/// A source waiting for this worker to let partitions go. There is one at most: the source waits.
pub(crate) struct Revocation {
    pub(crate) partitions: Vec<TopicPartition>,
    pub(crate) deadline: Instant,
    pub(crate) finished: oneshot::Sender<Vec<(TopicPartition, NextOffset)>>,
}

impl Phase {
    /// When the source stops waiting; `None` while it does not wait.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Running => None,
            // The hand-over bounds itself by the same deadline.
            Self::HandingOver(..) => None,
            Self::Finishing(revocation) => Some(revocation.deadline),
        }
    }

    /// Whether any of these partitions is about to move.
    fn concerns(&self, partitions: &[TopicPartition]) -> bool {
        match self {
            Self::Running => false,
            Self::Finishing(revocation) | Self::HandingOver(revocation, _) => partitions
                .iter()
                .any(|partition| revocation.partitions.contains(partition)),
        }
    }

    /// Completes when the follow-on events of the moving partitions are published, or it is too late.
    pub(crate) async fn handed_over(&mut self) {
        match self {
            Self::HandingOver(_, handing_over) => handing_over.await,
            Self::Running | Self::Finishing(_) => std::future::pending().await,
        }
    }
}

impl<H: Handler, S: Source, C: CommitStrategy> RunLoop<H, S, C> {
    pub(crate) fn assigned(&mut self, partitions: Vec<TopicPartition>) {
        // A process that stood still hears that they come back before it notices that the time to let them go is over.
        if self.phase.concerns(&partitions) {
            self.answer_revocation();
        }
        info!(partitions = %list(&partitions), "partitions assigned");
        self.assignments.add(&partitions);
        if self.stopping {
            self.assignments.leave(&partitions);
        }
        self.status.assigned(self.assignments.partitions());
        self.steps.push_back(Step::TakeOver(partitions));
    }

    /// Stops reading and drops what has not been started; the source then gives the partitions back.
    pub(crate) fn stop(&mut self) {
        info!("stopping: finishing what is in flight");
        self.stopping = true;
        self.status.stopping();
        self.source.stop();
        let all = self.assignments.partitions();
        self.leave(&all);
    }

    pub(crate) fn revoked(&mut self, revocation: Revocation) {
        // A source that does not wait any longer has given up on the one before.
        self.answer_revocation();
        info!(partitions = %list(&revocation.partitions), "partitions revoked; finishing what is in flight");
        self.leave(&revocation.partitions);
        self.phase = Phase::Finishing(revocation);
    }

    pub(crate) fn lost(&mut self, partitions: &[TopicPartition]) {
        warn!(partitions = %list(partitions), "partitions lost; what is in flight is left to the next owner");
        self.leave(partitions);
        self.let_go(partitions);
        self.leave_to_next_owner(partitions);
    }

    /// Polls the hand-over once, so that the strategy knows; what it was still publishing the next owner publishes too.
    fn leave_to_next_owner(&self, partitions: &[TopicPartition]) {
        if self.strategy.hand_over(partitions).now_or_never().is_none() {
            info!(partitions = %list(partitions), "follow-on events are left to the next owner");
        }
    }

    /// Goes on with a revocation once nothing of its partitions is in flight.
    pub(crate) fn continue_revocation(&mut self) {
        let Phase::Finishing(revocation) = &self.phase else {
            return;
        };
        let (partitions, scope) = (&revocation.partitions, self.guide.scope);
        if self.assignments.outstanding(partitions, scope) > 0 {
            return;
        }
        let strategy = self.strategy.clone();
        let partitions = revocation.partitions.clone();
        let deadline = revocation.deadline;
        let handing_over = async move {
            let published = timeout_at(deadline, strategy.hand_over(&partitions)).await;
            if published.is_err() {
                warn!(partitions = %list(&partitions), "not all follow-on events are published; the next owner publishes them");
            }
        };
        let Phase::Finishing(revocation) = std::mem::replace(&mut self.phase, Phase::Running)
        else {
            return;
        };
        self.phase = Phase::HandingOver(revocation, handing_over.boxed());
    }

    /// Tells the source how far each moving partition got, which lets them go.
    pub(crate) fn answer_revocation(&mut self) {
        let revocation = match std::mem::replace(&mut self.phase, Phase::Running) {
            Phase::Running => return,
            Phase::Finishing(revocation) => {
                let (partitions, scope) = (&revocation.partitions, self.guide.scope);
                let left = self.assignments.outstanding(partitions, scope);
                warn!(partitions = %list(&revocation.partitions), left, "not all is finished in time; the rest is left to the next owner");
                self.leave_to_next_owner(&revocation.partitions);
                revocation
            }
            Phase::HandingOver(revocation, _) => revocation,
        };
        let watermarks = self.assignments.watermarks(&revocation.partitions);
        if revocation.finished.send(watermarks).is_err() {
            warn!(partitions = %list(&revocation.partitions), "the source did not wait; what was finished may be read again and is skipped then");
        }
        self.let_go(&revocation.partitions);
    }

    /// Starts nothing more of these partitions, and drops what no handler has been given.
    pub(crate) fn leave(&mut self, partitions: &[TopicPartition]) {
        self.assignments.leave(partitions);
        self.leave_take_over(partitions);
        self.leave_out_of_reach();
        let assignments = &self.assignments;
        let may_start = |message: &Message<H::Payload>| assignments.may_start(message.place);
        let mut dropped = self.lanes.take_unless(may_start);
        for step in &mut self.steps {
            match step {
                Step::TakeOver(over) | Step::LoadParked(over) => {
                    over.retain(|partition| !partitions.contains(partition));
                }
                Step::Admit(messages) | Step::AdmitRedriven(messages) => {
                    dropped.extend(messages.extract_if(.., |message| !may_start(message)));
                }
            }
        }
        for message in &dropped {
            self.assignments.abandon(message.place);
            self.let_message_go(message);
        }
        self.parking.leave(partitions);
    }

    /// A take-over that comes too late would fence the new owner: what is left of it starts again.
    fn leave_take_over(&mut self, partitions: &[TopicPartition]) {
        let before = self.taking_over.len();
        self.taking_over
            .retain(|partition| !partitions.contains(partition));
        if self.taking_over.len() != before {
            self.taking = None;
            let rest = std::mem::take(&mut self.taking_over);
            self.steps.push_front(Step::TakeOver(rest));
        }
    }

    fn let_go(&mut self, partitions: &[TopicPartition]) {
        self.assignments.remove(partitions);
        self.drop_abandoned();
        self.fenced
            .retain(|partition, _| !partitions.contains(partition));
        self.status.assigned(self.assignments.partitions());
    }

    /// The store says that a partition has another owner: whatever the group will say, nothing of it takes effect here.
    pub(crate) fn fenced(&mut self, trail: &Trail) {
        let partition = self.assignments.partition(trail.place);
        let Some(partition) =
            partition.filter(|partition| self.assignments.is_worked_on(partition))
        else {
            return;
        };
        warn!(%partition, "another instance has taken the partition over; waiting for the group to say so");
        self.leave(std::slice::from_ref(&partition));
        self.assignments.give_up(&partition);
        let until = Instant::now() + FENCED;
        self.fenced.insert(partition, until);
    }

    /// The group did not take a partition away whose messages cannot take effect here: only a fresh start helps.
    pub(crate) fn fenced_for_good(&mut self) -> SourceError {
        let first = std::mem::take(&mut self.fenced)
            .into_iter()
            .min_by_key(|(_, until)| *until);
        let (partition, _) = first.expect("its deadline has passed");
        SourceError::TakenOver { partition }
    }
}

/// Partitions as a log field: `a/0 a/1`.
fn list(partitions: &[TopicPartition]) -> String {
    let mut text = String::new();
    for partition in partitions {
        let gap = if text.is_empty() { "" } else { " " };
        // Writing to a string cannot fail.
        write!(text, "{gap}{partition}").unwrap_or_default();
    }
    text
}
