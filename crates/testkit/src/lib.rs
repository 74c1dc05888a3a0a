//! Test support: brokers to test on, an in-memory log and store with faults, a history checker.
//!
//! [`memory`] stands in for Kafka and SQL where a test decides what happens next; [`history`] judges what came of it. With the feature `brokers`,
//! `broker` and `postgres` run the real thing, and `process` runs workers that can be killed.

pub mod history;
pub mod memory;

#[cfg(feature = "brokers")]
pub mod broker;
#[cfg(feature = "brokers")]
pub mod postgres;
#[cfg(feature = "brokers")]
pub mod process;
#[cfg(feature = "brokers")]
pub mod wait;
