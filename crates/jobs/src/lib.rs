//! Job queues on Kafka and the store: work that is done later, by priority, again until it succeeds, and in one place at a
//! time.
//!
//! Reading order: a [`JobPayload`] is what there is to do; [`NewJob`] is the event that adds it to its queue, with its
//! [`JobOptions`]; [`JobIntake`] makes a row of it in its message's transaction. [`Queues`] says which [`JobHandler`] runs
//! what, within the limits of a [`QueueConfig`]. The `executor` is the task that runs them: each `turn` of it is one
//! transaction that ends and renews (`settle`), recovers and claims; `claimed` decides what becomes of a run, and [`JobCompleted`] and
//! [`JobFailed`] are how it ends. `repeat` adds jobs by the clock. [`Jobs`] is what an operator can do, and [`router`] the
//! same over HTTP.

mod options;
pub use options::{Backoff, JobOptions};

mod new_job;
pub use new_job::{JobPayload, NewJob, TOPIC_PREFIX};

mod event;
pub use event::{JobCompleted, JobFailed};

mod tables;
pub use tables::MIGRATIONS;

mod state;
pub use state::JobState;

mod intake;
pub use intake::{AnyJob, JobIntake};

mod queue;
pub use queue::{QueueConfig, Queues, Rate};

mod handler;
pub use handler::{Job, JobHandler};

mod notes;

mod claimed;

mod turn;

mod settle;

mod executor;

mod prune;

mod record;

mod cron;

mod repeat;
pub use repeat::Repeat;

mod jobs;
pub use jobs::{Jobs, JobsError};

mod view;
pub use view::{JobView, LogLine, MAX_LISTED, QueueView};

mod http;
pub use http::{AddJob, router};
