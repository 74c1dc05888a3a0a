//! What an application writes: the steps of a saga, what each does, and how it is taken back.

use std::time::Duration;

use longshore_worker::Failure;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One kind of saga, made anew for each run of the handler that drives it.
///
/// # Contract
/// - Steps are taken one after the other, in the order of [`Saga::STEPS`]. An outcome is recorded before the next step
///   begins; what `act` changed in the data is recorded with it.
/// - Every action and compensation must be **idempotent by [`Call::key`]**: it is called again with the same key after a
///   crash, a failure or a time-out, whether or not it took effect then, and maybe by two instances at once for as long as
///   one of them has not noticed that its partition has moved. A service that remembers keys makes that once in effect.
/// - An `Err` says nothing about the outcome. The message fails with it and comes again by the runtime's rules: at once,
///   parked, or redriven from the dead letters; the saga then goes on with the same step.
/// - [`Answer::Refused`] is an outcome. The steps before are compensated, the last one first.
/// - A step whose outcome is not known when the saga has to turn back is asked again, under its key, until it answers:
///   only its answer tells whether there is something to compensate.
/// - A compensation must succeed in the end. Until it does, its message parks, and the saga stays in
///   [`State::Compensating`](crate::State::Compensating); there is no outcome but done.
/// - All futures are safe to drop at any await, as they are when a time limit is over or the process stops.
pub trait Saga: Send + Sync {
    /// The kind, in the store and on the command line.
    const NAME: &'static str;

    /// The steps, in order. Their names are what outcomes are recorded under: a later version of the program may add
    /// steps at the end, and must not rename or remove those that unfinished sagas know.
    const STEPS: &'static [Step<Self::Step>];

    /// Time for the whole saga, from its beginning to the step that [commits](Step::commits). When it is over, the saga
    /// turns back at the next step, and ends as timed out.
    const LIMIT: Duration;

    /// Which step.
    type Step: Copy + Send + Sync + 'static;

    /// What later steps and compensations need to know of earlier ones, such as the id of a payment.
    type Data: Serialize + DeserializeOwned + Default + Send + Sync;

    /// Why a step says no.
    type Refusal: Serialize + DeserializeOwned + Send + Sync;

    /// Takes a step.
    ///
    /// # Errors
    /// Whatever leaves the outcome open. A permanent [`Failure`] makes the message a dead letter and the saga stuck,
    /// until it is redriven.
    fn act(
        &self,
        step: Self::Step,
        data: &mut Self::Data,
        call: &Call<'_>,
    ) -> impl Future<Output = Result<Answer<Self::Refusal>, Failure>> + Send;

    /// Takes a step back that was done. It is called for steps with a compensation alone.
    ///
    /// # Errors
    /// As [`Saga::act`].
    fn compensate(
        &self,
        step: Self::Step,
        data: &Self::Data,
        call: &Call<'_>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What came of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<R> {
    /// It is done.
    Done,
    /// It is not done, and will not be.
    Refused(R),
}

/// What an action or a compensation is told about its call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub(crate) key: &'a str,
}

impl Call<'_> {
    /// The idempotency key: `ACTION:ID`, the same each time this step of this saga is called in this direction.
    pub fn key(&self) -> &str {
        self.key
    }
}

/// Time for one call of a step, if it does not say otherwise: three tries of three seconds by a service client, and
/// their waits.
const STEP_LIMIT: Duration = Duration::from_secs(20);

/// A step of a saga.
#[derive(Clone, Copy, Debug)]
pub struct Step<S> {
    pub(crate) step: S,
    pub(crate) action: &'static str,
    pub(crate) compensation: Option<&'static str>,
    pub(crate) limit: Duration,
    pub(crate) commits: bool,
}

impl<S> Step<S> {
    /// A step by the name of its action, with no compensation. The name begins its idempotency key.
    pub const fn new(step: S, action: &'static str) -> Self {
        Self {
            step,
            action,
            compensation: None,
            limit: STEP_LIMIT,
            commits: false,
        }
    }

    /// What takes it back. The name begins the idempotency key of the compensation.
    #[must_use]
    pub const fn compensated_by(mut self, compensation: &'static str) -> Self {
        self.compensation = Some(compensation);
        self
    }

    /// Time for one call, action or compensation; 20 s by default. When it is over, the call is dropped, which is a transient
    /// failure: the outcome is not known.
    #[must_use]
    pub const fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The point of no return: its outcome becomes true with the message's own transaction, together with what the
    /// handler writes and publishes. Steps after it wait for a message of their own
    /// ([`Sagas::follow_up`](crate::Sagas::follow_up)); they may fail and be tried again, but undo nothing.
    #[must_use]
    pub const fn commits(mut self) -> Self {
        self.commits = true;
        self
    }
}
