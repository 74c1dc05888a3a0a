//! The runtime on the in-memory log under paused time: what a worker promises, fact by fact.

mod bench;

mod happy_path;
mod order;

mod failures;
mod outages;
mod parking;

mod crashes;
mod plain;
mod rebalances;
mod reports;
mod simulation;
mod timers;
