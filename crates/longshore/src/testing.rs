//! Tests of workers without a broker: [`handle`] calls one handler directly; with the feature `testing`, `TestWorker` runs
//! the whole worker, its run loop and its store, on a log in memory, under a clock that the test moves.
//!
//! Reading order: `setup` describes a worker, `worker` is its life, at a `site` that outlives its crashes; `time` is the
//! clock and `gate` stands before its store; `inject` puts records into the log, `faults` breaks what the worker needs,
//! `redrive` sends dead letters back; `look` tells what came of it, `expect` compares that with what should have come.

mod decisions;
pub use decisions::{Decisions, handle, now};

#[cfg(feature = "testing")]
mod setup;
#[cfg(feature = "testing")]
pub use setup::TestSetup;

#[cfg(feature = "testing")]
mod worker;
#[cfg(feature = "testing")]
pub use worker::TestWorker;

#[cfg(feature = "testing")]
mod time;

#[cfg(feature = "testing")]
mod gate;

#[cfg(feature = "testing")]
mod site;

#[cfg(feature = "testing")]
mod inject;
#[cfg(feature = "testing")]
pub use inject::raw;

#[cfg(feature = "testing")]
mod faults;

#[cfg(feature = "testing")]
mod redrive;

#[cfg(feature = "testing")]
mod look;
#[cfg(feature = "testing")]
pub use look::DeadRecord;

#[cfg(feature = "testing")]
mod expect;

/// What test kits take and give, for workers that depend on `longshore` alone.
#[cfg(feature = "testing")]
pub use {
    longshore_event::{DeadLetter, ErrorKind, Headers, OutgoingRecord, Record},
    longshore_worker::{ParkedReport, PublishErrorKind, Report, Statement, Status, StoreCounts},
};
