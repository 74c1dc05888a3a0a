//! The real binary against an embedded broker in this process.
//!
//! - [`usage`]: help, exit codes, completions, brokers that are down
//! - [`topics`]: plan, apply, list
//! - [`produce`]: what is sent, what is refused, how it is told
//! - [`stuck`]: what workers wait for, over their admin ports
//! - [`tail`]: where it begins, what it shows, when it leaves
//! - [`dlq`]: dead letters, looked at
//! - [`redrive`]: dead letters, taken back or given up
//! - [`jobs`]: jobs, over the admin port of their worker
//! - [`groups`]: consumer groups
//! - [`broker`]: the embedded broker as a process
//! - [`sandbox`]: the sandbox services as a process
//! - [`up`]: the whole order system in one process
//! - [`order`]: one order in it, followed to every place that knows of it

mod support;

mod broker;
mod dlq;
mod groups;
mod jobs;
mod order;
mod produce;
mod redrive;
mod sandbox;
mod stuck;
mod tail;
mod topics;
mod up;
mod usage;
