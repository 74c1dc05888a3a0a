//! The state machine of a saga: what is recorded of it, and what is next given that. No I/O.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Step;

/// What is recorded of a saga.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// The steps, in order; also those that have not begun.
    pub steps: Vec<StepRecord>,
    /// Set once the saga has turned back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turned: Option<Turn>,
    /// What the steps have learnt.
    pub data: Value,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its action.
    pub action: Part,
    /// What takes it back, if something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensation: Option<Part>,
}

/// An action or a compensation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// Its name.
    pub name: String,
    /// How far it is.
    pub state: PartState,
    /// Calls that came to an end, failures included.
    pub attempts: u32,
    /// When its state, or its last failure, was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// How its last call failed, unless it was answered since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// How far an action or a compensation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartState {
    /// It has not begun.
    Waiting,
    /// It may have happened.
    UnderWay,
    /// It has happened.
    Done,
    /// It will not happen.
    Refused,
}

/// That the saga has turned back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// When.
    pub at: Timestamp,
    /// Why.
    #[serde(flatten)]
    pub reason: Reason,
}

/// Why a saga has turned back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason", content = "refusal")]
pub enum Reason {
    /// A step said no, and why.
    Refused(Value),
    /// It was called off from outside, and why.
    CalledOff(Value),
    /// Its time was over.
    TimedOut,
}

/// How far a saga is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Under way, or waiting for its message to be tried again.
    Running,
    /// It has turned back, and is not through with it.
    Compensating,
    /// Its message is a dead letter: it goes on when that is redriven.
    Stuck,
    /// All steps are done.
    Completed,
    /// Nothing is left of it: a step said no, or it was called off.
    Compensated,
    /// Nothing is left of it: its time was over.
    TimedOut,
}

/// What is to be done next. Numbers are those of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Act(usize),
    Compensate(usize),
    End,
}

impl State {
    /// All of them; those that need somebody first.
    pub const ALL: [Self; 6] = [
        Self::Stuck,
        Self::Compensating,
        Self::Running,
        Self::Completed,
        Self::Compensated,
        Self::TimedOut,
    ];

    /// The name in the store and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Compensating => "compensating",
            Self::Stuck => "stuck",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
            Self::TimedOut => "timed_out",
        }
    }

    /// The state of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether nothing is left to be done.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Compensated | Self::TimedOut)
    }
}

impl Journal {
    /// A saga that has not begun.
    pub(crate) fn new<S>(plan: &[Step<S>], data: Value) -> Self {
        Self {
            steps: plan.iter().map(StepRecord::waiting).collect(),
            turned: None,
            data,
        }
    }

    /// The first step may happen from now on.
    pub(crate) fn begin(&mut self, now: Timestamp) {
        self.mark_next(now);
    }

    /// What was recorded, as this program plans it: steps at the end may be new. `None` if the plan is another one.
    pub(crate) fn planned<S>(mut self, plan: &[Step<S>]) -> Option<Self> {
        let known = self.steps.len();
        let same = |(record, step): (&StepRecord, &Step<S>)| record.action.name == step.action;
        if known > plan.len() || !self.steps.iter().zip(plan).all(same) {
            return None;
        }
        self.steps
            .extend(plan[known..].iter().map(StepRecord::waiting));
        Some(self)
    }

    pub(crate) fn next(&self) -> Next {
        let state = |step: &StepRecord| step.action.state;
        let undecided = self.steps.iter().position(|step| match self.turned {
            None => state(step) != PartState::Done,
            // What may have happened has to answer first.
            Some(_) => state(step) == PartState::UnderWay,
        });
        let to_compensate = || self.steps.iter().rposition(StepRecord::is_to_compensate);
        match (undecided, &self.turned) {
            (Some(step), _) => Next::Act(step),
            (None, None) => Next::End,
            (None, Some(_)) => to_compensate().map_or(Next::End, Next::Compensate),
        }
    }

    pub(crate) fn state(&self) -> State {
        match (self.next(), &self.turned) {
            (Next::End, None) => State::Completed,
            (_, None) => State::Running,
            (Next::End, Some(turn)) if turn.reason == Reason::TimedOut => State::TimedOut,
            (Next::End, Some(_)) => State::Compensated,
            (_, Some(_)) => State::Compensating,
        }
    }

    /// Whether a step from which there is no return is done.
    pub(crate) fn is_committed<S>(&self, plan: &[Step<S>]) -> bool {
        let mut steps = plan.iter().zip(&self.steps);
        steps.any(|(step, record)| step.commits && record.action.state == PartState::Done)
    }

    pub(crate) fn acted(&mut self, step: usize, now: Timestamp) {
        self.steps[step].action.answered(PartState::Done, now);
        self.mark_next(now);
    }

    pub(crate) fn refused(&mut self, step: usize, refusal: Value, now: Timestamp) {
        self.steps[step].action.answered(PartState::Refused, now);
        self.turn_back(Reason::Refused(refusal), now);
    }

    /// From now on, what was done is taken back. The first reason stays.
    pub(crate) fn turn_back(&mut self, reason: Reason, now: Timestamp) {
        self.turned.get_or_insert(Turn { at: now, reason });
        self.mark_next(now);
    }

    pub(crate) fn compensated(&mut self, step: usize, now: Timestamp) {
        if let Some(compensation) = &mut self.steps[step].compensation {
            compensation.answered(PartState::Done, now);
        }
        self.mark_next(now);
    }

    /// A call failed: whether it took effect is not known.
    pub(crate) fn failed(&mut self, next: Next, error: String, now: Timestamp) {
        if let Some(part) = self.part(next) {
            part.attempts += 1;
            part.at = Some(now);
            part.last_error = Some(error);
        }
    }

    /// What is next may happen before anything else is recorded.
    fn mark_next(&mut self, now: Timestamp) {
        if let Some(part) = self.part(self.next())
            && part.state == PartState::Waiting
        {
            part.state = PartState::UnderWay;
            part.at = Some(now);
        }
    }

    fn part(&mut self, next: Next) -> Option<&mut Part> {
        match next {
            Next::Act(step) => Some(&mut self.steps[step].action),
            Next::Compensate(step) => self.steps[step].compensation.as_mut(),
            Next::End => None,
        }
    }
}

impl StepRecord {
    fn waiting<S>(step: &Step<S>) -> Self {
        Self {
            action: Part::waiting(step.action),
            compensation: step.compensation.map(Part::waiting),
        }
    }

    fn is_to_compensate(&self) -> bool {
        let open = |part: &Part| part.state != PartState::Done;
        self.action.state == PartState::Done && self.compensation.as_ref().is_some_and(open)
    }
}

impl Part {
    fn waiting(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            state: PartState::Waiting,
            attempts: 0,
            at: None,
            last_error: None,
        }
    }

    fn answered(&mut self, state: PartState, now: Timestamp) {
        self.state = state;
        self.attempts += 1;
        self.at = Some(now);
        self.last_error = None;
    }
}

#[cfg(test)]
mod tests;
