//! The services of a sandbox over HTTP: they answer as real ones would, do everything once for each idempotency key, and
//! go wrong as they are told.
//!
//! | path | does |
//! |---|---|
//! | `POST /product/reservations`, `POST /product/releases` | stock |
//! | `POST /payment/charges`, `POST /payment/refunds` | money |
//! | `POST /notification/notices` | words to users |
//! | `POST /carrier/bookings` | parcels |
//! | `GET /SERVICE/healthz` | 200, or 503 while the service is out |
//! | `GET /knobs`, `PUT /knobs/SERVICE` | what goes wrong, and how often |
//! | `GET /ledger/summary` | whether money and stock balance, for each order and in all |
//!
//! Requests and answers are those of `longshore_orders::remote::wire`; errors are problem documents (RFC 9457). The
//! outcome of a request is chosen by its test SKUs, as `longshore_orders::sandbox` tells.
//!
//! Reading order: [`Knobs`] says what goes wrong; [`SandboxServer`] serves; `service` has a file for each service.

mod knobs;
pub use knobs::{Knobs, ServiceKnobs, UnknownService};

mod server;
pub use server::{SandboxServer, StartError};

mod answer;
mod faults;
mod ledger;
mod service;
