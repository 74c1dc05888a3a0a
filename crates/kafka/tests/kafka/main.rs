//! The crate against a broker: the one at `KAFKA_BROKERS` if set, otherwise the embedded one; faults come from
//! librdkafka's mock cluster. A new test belongs to the module of the type it is about.

mod admin;
mod faults;
mod publisher;
mod reader;
mod rebalance;
mod source;
mod support;
mod transactions;
