//! Build a worker in one file: a handler in, a process out, with its command line, logs, health checks, metrics,
//! signals and exit codes.
//!
//! Reading order: [`main`] runs what a [`WorkerBuilder`] describes with the [`WorkerArgs`] of the command line;
//! [`WorkerBuilder::connect`] makes a [`ConnectedWorker`] of it, which may also run inside another process; `beside` is work in
//! the same process that no message causes; `admin`
//! serves health and metrics beside it.
//!
//! `examples/greeter.rs` is a whole worker with its tests; [`testing`] is what they are made with.

mod process;
mod progress;
pub use process::{main, main_with, run_process};

mod signal;
pub use signal::stop_signal;

mod telemetry;
pub use telemetry::{LogFormat, init_telemetry, log_to_file};

mod arguments;
pub use arguments::{KafkaProperty, WorkerArgs};

mod service_args;
pub use service_args::ServiceArgs;

mod duration;
pub use duration::parse_duration;

mod secret;
pub use secret::secret;

mod builder;
/// In the version that [`WorkerBuilder::routes`] takes routers of.
pub use axum;
pub use builder::WorkerBuilder;

mod correlated;
pub use correlated::Correlated;

mod event_bus;
pub use event_bus::{Announcing, EventBus, Published};

mod connect;
pub use connect::open_store;
mod preflight;

mod connected;
pub use connected::ConnectedWorker;

mod beside;
pub use beside::{Beside, Companion, Stopping};

mod admin;
pub use admin::StatusPage;

mod error;
pub use error::RunError;

pub mod testing;

/// What the author of a worker needs, in one `use`.
pub mod prelude {
    pub use crate::WorkerBuilder;
    pub use jiff::Timestamp;
    pub use longshore_event::{Envelope, Event, Payload};
    pub use longshore_services::{Service, ServiceClient};
    pub use longshore_store::{Migration, SqlStore};
    pub use longshore_worker::{Context, Failure, FailureExt, Handler, sql};
}
