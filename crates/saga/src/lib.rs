//! Durable sagas: several services changed as if by one decision, from inside a worker's handler.
//!
//! A [`Saga`] is a list of steps, each with an action and, if it can be taken back, a compensation. Each outcome is
//! recorded in the worker's store before the next step begins, so that a crash at any instruction resumes where it was
//! when the message comes again. A refusal, which is an outcome and no error, turns the saga back: what was done is
//! compensated in reverse order. How it ends is part of the message's own transaction, together with what the
//! handler publishes about it.
//!
//! Reading order: [`Saga`] is what an application writes; [`Sagas`] runs it; `journal` is the state machine, `run` the
//! orchestrator around it; `recorder` writes the outcomes of concurrent sagas together, `table` holds the statements; a
//! [`SagaReport`] is what an operator sees.

mod saga;
pub use saga::{Answer, Call, Saga, Step};

mod journal;
pub use journal::{Journal, Part, PartState, Reason, State, StepRecord, Turn};

mod log;

mod run;
pub use run::Ending;

mod recorder;

mod table;
pub use table::TABLES;

mod sagas;
pub use sagas::Sagas;

mod report;
pub use report::{SagaReport, find, list};
