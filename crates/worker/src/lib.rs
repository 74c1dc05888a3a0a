//! The worker runtime: messages come from a [`Source`], a [`Handler`] decides, a [`CommitStrategy`] makes the effects
//! of many messages one transaction, and a watermark says what may be committed to the log. It knows neither rdkafka
//! nor SQL: those stand behind [`Source`], [`Publisher`] and [`Store`].
//!
//! Reading order follows a message: `run_loop` takes it from the source, `intake` decodes it and skips what the inbox
//! has, `lanes` keeps its key in order, `journey` handles it, `committer` commits it with whatever else is ready,
//! `watermark` frees its offset.

mod handler;
pub use handler::{Context, Handler, PendingTimer, SetTimer};

mod failure;
pub use failure::{Failure, FailureExt, Outage, chain};

mod effects;
pub use effects::{Claim, Finished, OutboxRow, Statement, Value, sql};

mod timer;
pub use timer::{Due, Timer, TimerChange, TimerName};

mod parked;
pub use parked::{ParkedFailure, ParkedHead, ParkedRow, ParkedState};

mod source;
pub use source::{REDRIVE_RESERVE, Source, SourceError, SourceEvent};

mod publisher;
pub use publisher::{PublishError, PublishErrorKind, Publisher};

mod strategy;
pub use strategy::{CommitError, CommitStrategy, Refused};

mod store;
pub use store::{Commit, Fence, Store, StoreCounts, StoreError};

mod settings;
pub use settings::{Brake, Clock, OnDead, Park, Retry, Settings};

mod status;
pub use status::Status;

mod report;
pub use report::{
    BrakeReport, BrakeState, Inspector, OldestReport, OldestState, ParkedReport, PartitionReport,
    Report, UnwrittenTopic,
};

mod metrics;
pub use metrics::Metrics;

mod assignments;
mod backoff;
mod brake;
mod committer;
mod ending;
mod handling;
mod intake;
mod journey;
mod lanes;
mod message;
mod outage;
mod parking;
mod pending;
mod tenure;
mod watermark;

mod drain;
mod explain;
mod rebalance;
mod run_loop;
pub use run_loop::Worker;

mod window;
pub use window::Window;

mod plain;
pub use plain::PlainStrategy;

mod relay;
pub use relay::OutboxBell;

mod pruning;
pub use pruning::Retention;

mod store_strategy;
pub use store_strategy::StoreStrategy;

mod outbox;
pub use outbox::{CommandEffects, CommandStore, Lease, Origin, Outbox};
