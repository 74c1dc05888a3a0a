//! Calls to other services over HTTP, by name: bounded in time, repeated where that is safe, stopped where it is
//! useless, and answered with errors that say what to do next.
//!
//! Reading order: [`Service`] names them and [`Addresses`] says where they are; [`ServiceClient`] has an [`Endpoint`]
//! for each; [`Endpoint`] is the journey of one call, [`CallError`] how it may fail; [`CallContext`] is what a call
//! passes on of its cause; [`ServiceReport`] is what is known of a service.

mod service;
pub use service::Service;

mod addresses;
pub use addresses::{AddressError, Addresses};

mod settings;
pub use settings::{BreakerSettings, CallSettings};

mod client;
pub use client::{ClientError, ServiceClient};

mod endpoint;
pub use endpoint::Endpoint;

mod exchange;

mod error;
pub use error::{CallError, Nonsense, Problem, Unavailability};

mod context;
pub use context::CallContext;

mod key;
pub use key::{IDEMPOTENCY_KEY, read_key};

mod breaker;
pub use breaker::BreakerState;

mod metrics;

mod report;
pub use report::{ServiceHealth, ServiceReport};
