//! Build a worker in one file: a handler in, a process out, with its command line, logs, health checks, metrics,
//! signals and exit codes.
//!
//! Reading order: [`main`] runs what a [`WorkerBuilder`] describes with the [`WorkerArgs`] of the command line;
//! [`WorkerBuilder::connect`] makes a [`ConnectedWorker`] of it, which may also run inside another process; `beside` is work in
//! the same process that no message causes; `admin`
//! serves health and metrics beside it.
//!
//! `examples/greeter.rs` is a whole worker with its tests; [`testing`] is what they are made with. A handler of several
//! events takes an enum that chooses by [`Record`], and may have something of its own to say when a message is given up:
//!
//! ```
//! use longshore::prelude::*;
//! # #[derive(serde::Serialize, serde::Deserialize)]
//! # struct OrderPaid { order_id: String }
//! # impl Event for OrderPaid {
//! #     const TYPE: &'static str = "order.paid";
//! #     fn key(&self) -> &str { &self.order_id }
//! # }
//! # #[derive(serde::Serialize, serde::Deserialize)]
//! # struct OrderCancelled { order_id: String }
//! # impl Event for OrderCancelled {
//! #     const TYPE: &'static str = "order.cancelled";
//! #     fn key(&self) -> &str { &self.order_id }
//! # }
//!
//! enum Outcome {
//!     Paid(OrderPaid),
//!     Cancelled(OrderCancelled),
//! }
//!
//! impl Payload for Outcome {
//!     fn decode(record: &Record) -> Result<Self, DecodeError> {
//!         match &*record.partition.topic {
//!             OrderPaid::TOPIC => OrderPaid::decode(record).map(Self::Paid),
//!             _ => OrderCancelled::decode(record).map(Self::Cancelled),
//!         }
//!     }
//! }
//!
//! struct Books;
//!
//! impl Handler for Books {
//!     type Payload = Outcome;
//!     const NAME: &'static str = "books";
//!
//!     async fn handle(&self, message: &Envelope<Outcome>, context: &mut Context<'_, Outcome>) -> Result<(), Failure> {
//!         let (order, sign) = match message.event() {
//!             Outcome::Paid(paid) => (&paid.order_id, 1),
//!             Outcome::Cancelled(cancelled) => (&cancelled.order_id, -1),
//!         };
//!         context.write(sql("insert into books (order_id, sign) values ($1, $2)").bind(order).bind(sign));
//!         Ok(())
//!     }
//!
//!     fn given_up(&self, _: &Envelope<Outcome>, failure: &Failure, _: Timestamp) -> Vec<Statement> {
//!         vec![sql("insert into gaps (reason) values ($1)").bind(failure.message())]
//!     }
//! }
//! ```

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

/// What a handler and its payload are told in, for workers that depend on `longshore` alone.
pub use {
    longshore_event::{DecodeError, ErrorKind, Headers, OutgoingRecord, Record, TopicPartition},
    longshore_store::Row,
    longshore_worker::{Outage, PendingTimer, SetTimer, Statement, StoreError, Value},
};

pub mod testing;

/// What the author of a worker needs, in one `use`.
pub mod prelude {
    pub use crate::WorkerBuilder;
    pub use jiff::Timestamp;
    pub use longshore_event::{DecodeError, Envelope, Event, Payload, Record};
    pub use longshore_services::{Service, ServiceClient};
    pub use longshore_store::{Migration, SqlStore};
    pub use longshore_worker::{Context, Failure, FailureExt, Handler, Statement, sql};
}
