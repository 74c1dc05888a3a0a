//! The worker runtime: messages come from a [`Source`], a [`Handler`] decides, a [`CommitStrategy`] makes the effects
//! of many messages one transaction, and a watermark says what may be committed to the log. It knows neither rdkafka
//! nor SQL: those stand behind [`Source`], [`Publisher`] and [`Store`].
//!
//! Reading order follows a message: `run_loop` takes it from the source, `lanes` keeps its key in order, `journey`
//! decodes and handles it, `committer` commits it with whatever else is ready, `watermark` frees its offset.

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
