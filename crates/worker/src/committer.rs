//! Group commit: everything that is ready becomes one transaction; if that is refused, each message is tried alone, so
//! that one bad write harms only its own message.

use std::sync::Arc;

use tracing::{error, warn};

use crate::ending::{End, Handled, Trail};
use crate::failure::chain;
use crate::journey::Guide;
use crate::status::StatusBoard;
use crate::{CommitError, CommitStrategy, Failure, Finished, Handler, Refused};

/// What a try to commit came to.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    /// Finished, one way or the other.
    pub(crate) settled: Vec<Trail>,
    /// To be tried again later, in order: the commit target is out of reach. Whether they took effect is unknown.
    pub(crate) left: Vec<Handled>,
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
            CommitError::Duplicate => break,
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
            // A dead letter has no statements of its own, so this is ours to mend and not the message's fault.
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

/// A message whose commit is tried again.
fn again(mut batch: Vec<Finished>, trail: Trail) -> Handled {
    let effects = batch
        .pop()
        .expect("a strategy gives back what it was handed");
    Handled { effects, trail }
}
