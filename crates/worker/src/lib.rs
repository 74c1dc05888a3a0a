//! The worker runtime: messages come from a [`Source`], a [`Handler`] decides, a [`CommitStrategy`] makes the effects
//! of many messages one transaction, and a watermark says what may be committed to the log. It knows neither rdkafka
//! nor SQL: those stand behind [`Source`], [`Publisher`] and [`Store`].
//!
//! Reading order follows a message: `run_loop` takes it from the source, `intake` decodes it and skips what the inbox
//! has, `lanes` keeps its key in order, `journey` handles it, `committer` commits it with whatever else is ready,
//! `watermark` frees its offset.

mod handler;
pub use handler::{Context, Handler};

mod failure;
pub use failure::{Failure, FailureExt};

mod effects;
pub use effects::{Finished, OutboxRow, Statement, Value, sql};

mod source;
pub use source::{Source, SourceError, SourceEvent};

mod publisher;
pub use publisher::{PublishError, PublishErrorKind, Publisher};

mod strategy;
pub use strategy::{CommitError, CommitStrategy, Refused};

mod store;
pub use store::{Store, StoreError};

mod settings;
pub use settings::{Clock, Retry, Settings};

mod status;
pub use status::Status;

mod metrics;
pub use metrics::Metrics;

mod assignments;
mod backoff;
mod committer;
mod intake;
mod journey;
mod lanes;
mod pending;
mod watermark;

mod rebalance;
mod run_loop;
pub use run_loop::Worker;

mod window;
pub use window::Window;

mod plain;
pub use plain::PlainStrategy;

mod relay;
mod store_strategy;
pub use store_strategy::StoreStrategy;
