//! Test support: brokers to test on, an in-memory log and store with faults, a history checker.
//!
//! [`memory`] stands in for Kafka and SQL where a test decides what happens next.

pub mod memory;
