//! The orchestrator: one run takes a saga as far as it goes, recording each outcome before the next call.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use longshore_worker::Failure;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::journal::Next;
use crate::log::{Log, Row, failure};
use crate::{Answer, Call, Journal, Reason, Saga, State};

/// How a saga ended, for the handler to say so in the same transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending<D, R> {
    /// Its steps are done, as far as the one that [commits](crate::Step::commits).
    Committed(D),
    /// A step said no, or it was called off; nothing is left of it.
    Refused(R),
    /// Its time was over; nothing is left of it.
    TimedOut,
}

/// How a run begins.
#[derive(Clone, Debug)]
pub(crate) enum Start<D, R> {
    /// With the first step, if this data is all that is known of the saga; otherwise where it was.
    Begin(D),
    /// On the way back. A saga that has not begun ends at once.
    CalledOff(R),
    /// After the step that commits.
    FollowUp,
}

/// The end of a run: what its message's transaction records, and what the handler is told.
#[derive(Clone, Debug)]
pub(crate) struct Finished<D, R> {
    pub(crate) row: Row,
    pub(crate) ending: Ending<D, R>,
}

pub(crate) type Outcome<S> =
    Result<Option<Finished<<S as Saga>::Data, <S as Saga>::Refusal>>, Failure>;

/// One run of one saga.
pub(crate) struct Run<'a, S, L> {
    pub(crate) saga: &'a S,
    pub(crate) id: &'a str,
    pub(crate) log: &'a L,
    pub(crate) clock: RunClock,
}

/// The runtime's clock, which told the time when the run began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunClock {
    began: Timestamp,
    since: Instant,
}

impl RunClock {
    pub(crate) fn at(now: Timestamp) -> Self {
        Self {
            began: now,
            since: Instant::now(),
        }
    }

    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.since.elapsed()).unwrap_or_default();
        self.began.checked_add(passed).unwrap_or(self.began)
    }
}

impl<S: Saga, L: Log> Run<'_, S, L> {
    /// Takes the saga to the end of this message's part. `None` if there is nothing left for this message to do. Dropped at
    /// any await, or after an error, the next run goes on where this one was.
    pub(crate) async fn drive(&self, start: Start<S::Data, S::Refusal>) -> Outcome<S> {
        let Some(mut row) = self.enter(&start).await? else {
            return Ok(None);
        };
        let called_off = match start {
            Start::CalledOff(refusal) => Some(value(&refusal)?),
            Start::Begin(_) | Start::FollowUp => None,
        };
        loop {
            self.turn_if_due(&mut row, called_off.as_ref()).await?;
            let next = row.journal.next();
            let result = match next {
                Next::Act(step) => self.act(step, &mut row.journal).await,
                Next::Compensate(step) => self.compensate(step, &mut row.journal).await,
                Next::End => Ok(()),
            };
            if let Err(failure) = result {
                return Err(self.failed(row, next, failure).await);
            }
            if self.is_over(next, &row.journal) {
                // Recorded by the transaction in which the message commits.
                return self.finished(row).map(Some);
            }
            self.record(&mut row).await?;
        }
    }

    /// The saga as it stands, begun if it is new. `None` if this message has no part in it.
    async fn enter(&self, start: &Start<S::Data, S::Refusal>) -> Result<Option<Row>, Failure> {
        if let Start::Begin(data) = start {
            let mut row = self.new_row(value(data)?);
            row.journal.begin(row.started_at);
            self.stamp(&mut row);
            if self.log.record(row.clone()).await.map_err(failure)? {
                return Ok(Some(row));
            }
        }
        let row = match (
            self.log.load(S::NAME, self.id).await.map_err(failure)?,
            start,
        ) {
            (Some(row), _) => self.planned(row)?,
            (None, Start::CalledOff(_)) => self.new_row(value(&S::Data::default())?),
            (None, Start::FollowUp) => return Ok(None),
            // It was there when ours was refused.
            (None, Start::Begin(_)) => return Err(self.overtaken()),
        };
        let is_ours = matches!(start, Start::FollowUp) == row.journal.is_committed(S::STEPS);
        Ok((is_ours && !row.journal.state().is_end()).then_some(row))
    }

    /// A saga of which nothing is in the store.
    fn new_row(&self, data: Value) -> Row {
        let now = self.clock.now();
        Row {
            name: S::NAME,
            id: self.id.to_owned(),
            version: 0,
            state: State::Running,
            journal: Journal::new(S::STEPS, data),
            started_at: now,
            changed_at: now,
        }
    }

    fn planned(&self, row: Row) -> Result<Row, Failure> {
        match row.journal.planned(S::STEPS) {
            Some(journal) => Ok(Row { journal, ..row }),
            None => Err(Failure::permanent(RunError::OtherSteps { saga: S::NAME })),
        }
    }

    /// Turns the saga back if it has been called off, or its time is over.
    async fn turn_if_due(&self, row: &mut Row, called_off: Option<&Value>) -> Result<(), Failure> {
        if row.journal.turned.is_some() || row.journal.is_committed(S::STEPS) {
            return Ok(());
        }
        let now = self.clock.now();
        let age = Duration::try_from(now.duration_since(row.started_at)).unwrap_or_default();
        let reason = match called_off {
            Some(refusal) => Reason::CalledOff(refusal.clone()),
            None if age >= S::LIMIT => Reason::TimedOut,
            None => return Ok(()),
        };
        row.journal.turn_back(reason, now);
        match row.journal.next() {
            // It never began: the message's transaction says so.
            Next::End => Ok(()),
            Next::Act(_) | Next::Compensate(_) => self.record(row).await,
        }
    }

    async fn act(&self, step: usize, journal: &mut Journal) -> Result<(), Failure> {
        let plan = &S::STEPS[step];
        let key = format!("{}:{}", plan.action, self.id);
        let mut data: S::Data = read(&journal.data)?;
        let call = Call { key: &key };
        let acting = self.saga.act(plan.step, &mut data, &call);
        let answer = bounded(plan.action, plan.limit, acting).await?;
        let now = self.clock.now();
        match answer {
            Answer::Done => {
                journal.data = value(&data)?;
                journal.acted(step, now);
            }
            Answer::Refused(_) if journal.is_committed(S::STEPS) => {
                let action = plan.action;
                return Err(Failure::permanent(RunError::RefusedTooLate { action }));
            }
            Answer::Refused(refusal) => journal.refused(step, value(&refusal)?, now),
        }
        Ok(())
    }

    async fn compensate(&self, step: usize, journal: &mut Journal) -> Result<(), Failure> {
        let plan = &S::STEPS[step];
        let name = plan.compensation.unwrap_or(plan.action);
        let key = format!("{name}:{}", self.id);
        let data: S::Data = read(&journal.data)?;
        let call = Call { key: &key };
        let compensating = self.saga.compensate(plan.step, &data, &call);
        bounded(name, plan.limit, compensating).await?;
        journal.compensated(step, self.clock.now());
        Ok(())
    }

    /// Whether the rest is for the transaction of this message.
    fn is_over(&self, did: Next, journal: &Journal) -> bool {
        let committed = matches!(did, Next::Act(step) if S::STEPS[step].commits)
            && journal.is_committed(S::STEPS);
        committed || journal.next() == Next::End
    }

    fn finished(&self, mut row: Row) -> Result<Finished<S::Data, S::Refusal>, Failure> {
        let ending = match &row.journal.turned {
            None => Ending::Committed(read(&row.journal.data)?),
            Some(turn) => match &turn.reason {
                Reason::Refused(refusal) | Reason::CalledOff(refusal) => {
                    Ending::Refused(read(refusal)?)
                }
                Reason::TimedOut => Ending::TimedOut,
            },
        };
        self.stamp(&mut row);
        Ok(Finished { row, ending })
    }

    /// Notes the failure with the saga, and gives it back for the runtime to decide. An outage of the store is no failure
    /// of a step, and could not be noted.
    async fn failed(&self, mut row: Row, next: Next, failure: Failure) -> Failure {
        if failure.is_outage() {
            return failure;
        }
        let now = self.clock.now();
        row.journal.failed(next, failure.message(), now);
        match self.record(&mut row).await {
            Ok(()) => failure,
            Err(worse) => worse,
        }
    }

    async fn record(&self, row: &mut Row) -> Result<(), Failure> {
        self.stamp(row);
        if self.log.record(row.clone()).await.map_err(failure)? {
            return Ok(());
        }
        Err(self.overtaken())
    }

    /// Makes the row the one that follows what is in the store.
    fn stamp(&self, row: &mut Row) {
        row.version += 1;
        row.state = row.journal.state();
        row.changed_at = self.clock.now();
    }

    fn overtaken(&self) -> Failure {
        Failure::transient(RunError::Overtaken {
            saga: S::NAME,
            id: self.id.to_owned(),
        })
    }
}

/// Why a run ends before its saga does.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("{action} did not answer within {limit:?}; whether it happened is not known")]
    TimedOut {
        action: &'static str,
        limit: Duration,
    },
    #[error("another run of saga {saga} {id} recorded first; this one starts over from there")]
    Overtaken { saga: &'static str, id: String },
    #[error("the recorded steps are not those of saga {saga} in this version of the program")]
    OtherSteps { saga: &'static str },
    #[error("{action} comes after the commit and must not refuse")]
    RefusedTooLate { action: &'static str },
    #[error("the saga's record is not readable")]
    Record(#[source] serde_json::Error),
}

async fn bounded<T>(
    action: &'static str,
    limit: Duration,
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let late = |_| Failure::transient(RunError::TimedOut { action, limit });
    timeout(limit, call).await.map_err(late)?
}

fn value(from: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(from).map_err(|error| Failure::permanent(RunError::Record(error)))
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Failure> {
    T::deserialize(value).map_err(|error| Failure::permanent(RunError::Record(error)))
}

#[cfg(test)]
mod tests;
