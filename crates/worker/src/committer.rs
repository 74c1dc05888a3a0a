//! Group commit: everything that is ready becomes one transaction; if that is refused, each message is tried alone, so
//! that one bad write harms only its own message.

use std::sync::Arc;

use tracing::error;

use crate::backoff::Backoff;
use crate::failure::chain;
use crate::journey::{End, Guide, Handled, Trail};
use crate::status::StatusBoard;
use crate::{CommitError, CommitStrategy, Failure, Finished, Handler, Refused};

/// Commits the batch, however long that takes. When it returns, every message of it is finished.
pub(crate) async fn commit<H: Handler, C: CommitStrategy>(
    batch: Vec<Handled>,
    strategy: Arc<C>,
    guide: Arc<Guide<H>>,
    status: StatusBoard,
) -> Vec<Trail> {
    let (effects, mut trails): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|handled| (handled.effects, handled.trail))
        .unzip();
    if let Err(refused) = commit_together(effects, &*strategy, &status).await {
        for (trail, effects) in trails.iter_mut().zip(refused) {
            commit_alone(trail, effects, &*strategy, &guide, &status).await;
        }
    }
    trails
}

/// Commits the whole batch, or gives its effects back because one of them stands in the way.
async fn commit_together(
    mut batch: Vec<Finished>,
    strategy: &impl CommitStrategy,
    status: &StatusBoard,
) -> Result<(), Vec<Finished>> {
    let mut backoff = Backoff::new();
    loop {
        let Err(Refused {
            batch: same,
            reason,
        }) = strategy.commit(batch).await
        else {
            status.commits_recovered();
            return Ok(());
        };
        batch = same;
        match reason {
            CommitError::Unavailable(reason) => status.commits_failed(&chain(&*reason)),
            CommitError::Duplicate | CommitError::Fenced(_) | CommitError::Rejected(_) => {
                return Err(batch);
            }
        }
        backoff.wait().await;
    }
}

/// Commits one message; if its effects are refused, its dead letter takes their place.
async fn commit_alone<H: Handler>(
    trail: &mut Trail,
    effects: Finished,
    strategy: &impl CommitStrategy,
    guide: &Guide<H>,
    status: &StatusBoard,
) {
    let mut backoff = Backoff::new();
    let mut batch = vec![effects];
    loop {
        let refused = match strategy.commit(batch).await {
            Ok(()) => break,
            Err(refused) => refused,
        };
        batch = refused.batch;
        match refused.reason {
            CommitError::Duplicate => break,
            CommitError::Rejected(reason) if trail.end == End::Done => {
                let failure = Failure::permanent(reason);
                trail.end = End::Dead(failure.kind());
                let identity = trail.identity.clone();
                batch = vec![guide.dead(&trail.record, identity, trail.runs, &failure)];
                continue;
            }
            // A dead letter has no statements of its own, so this is ours to mend and not the message's fault.
            CommitError::Rejected(reason) => {
                error!(position = %trail.record.position(), error = chain(&*reason), "dead letter rejected by the commit target; retried for ever");
                status.commits_failed(&chain(&*reason));
            }
            CommitError::Unavailable(reason) | CommitError::Fenced(reason) => {
                status.commits_failed(&chain(&*reason))
            }
        }
        backoff.wait().await;
    }
    status.commits_recovered();
}
