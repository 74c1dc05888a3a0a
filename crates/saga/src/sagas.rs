//! The sagas of a worker, as its handler runs them.

use jiff::Timestamp;
use longshore_event::Payload;
use longshore_store::SqlStore;
use longshore_worker::{Context, Failure, Statement};

use crate::recorder::Recorder;
use crate::run::{Ending, Run, RunClock, Start};
use crate::{Saga, table};

/// Runs sagas and records them in the worker's store. Clones share it.
#[derive(Clone, Debug)]
pub struct Sagas {
    recorder: Recorder,
}

impl Sagas {
    /// Sagas recorded in `store`, which was opened with [`TABLES`](crate::TABLES).
    ///
    /// # Panics
    /// Outside of a tokio runtime: outcomes are written by a task, which ends with the last clone.
    pub fn open(store: &SqlStore) -> Self {
        Self {
            recorder: Recorder::start(store.clone()),
        }
    }

    /// Takes the saga from where it is to its end, or to the step that commits. `data` is what it knows at its beginning.
    ///
    /// How it ended is left in `context` as a statement, so that it becomes true together with what the handler writes and
    /// publishes on it. `None` if it had come as far before: then there is nothing to say.
    ///
    /// Of two runs of one saga at once, as when a partition moves while its former owner does not know, each may call
    /// services (under the same keys), one records, and the other fails.
    ///
    /// # Errors
    /// The failure of a step, noted with the saga; a transient [`Failure`] if another run recorded meanwhile; an outage if
    /// the store is away. The message comes again, and the saga goes on where it was.
    pub async fn run<S: Saga, P: Payload>(
        &self,
        saga: &S,
        id: &str,
        data: S::Data,
        context: &mut Context<'_, P>,
    ) -> Result<Option<Ending<S::Data, S::Refusal>>, Failure> {
        self.drive(saga, id, Start::Begin(data), context).await
    }

    /// As [`Sagas::run`], but on the way back: what may have happened is asked again until it answers, what was done is
    /// compensated, and nothing new begins. A saga that has not begun ends without a step.
    ///
    /// # Errors
    /// As [`Sagas::run`].
    pub async fn call_off<S: Saga, P: Payload>(
        &self,
        saga: &S,
        id: &str,
        refusal: S::Refusal,
        context: &mut Context<'_, P>,
    ) -> Result<Option<Ending<S::Data, S::Refusal>>, Failure> {
        self.drive(saga, id, Start::CalledOff(refusal), context)
            .await
    }

    /// Takes the steps after the one that commits, driven by a message of their own. Nothing happens if the saga has not
    /// come to them, or is through with them.
    ///
    /// # Errors
    /// As [`Sagas::run`].
    pub async fn follow_up<S: Saga, P: Payload>(
        &self,
        saga: &S,
        id: &str,
        context: &mut Context<'_, P>,
    ) -> Result<(), Failure> {
        self.drive(saga, id, Start::FollowUp, context)
            .await
            .map(drop)
    }

    /// Says, in the transaction of a message's dead letter, that the saga it drives is stuck until it is redriven: for
    /// [`Handler::given_up`](longshore_worker::Handler::given_up).
    pub fn stuck<S: Saga>(id: &str, now: Timestamp) -> Statement {
        table::sticking(S::NAME, id, now)
    }

    async fn drive<S: Saga, P: Payload>(
        &self,
        saga: &S,
        id: &str,
        start: Start<S::Data, S::Refusal>,
        context: &mut Context<'_, P>,
    ) -> Result<Option<Ending<S::Data, S::Refusal>>, Failure> {
        let run = Run {
            saga,
            id,
            log: &self.recorder,
            clock: RunClock::at(context.now()),
        };
        let Some(finished) = run.drive(start).await? else {
            return Ok(None);
        };
        context.write(table::ending(&finished.row));
        Ok(Some(finished.ending))
    }
}
