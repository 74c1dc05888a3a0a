//! The embedded broker: a Kafka for a laptop, for development and tests.
//!
//! One process, one node, no replication. A request travels `connection` (frames,
//! taken apart by `wire`) → `api` (the `match` that is the table of contents) → one file per API →
//! `log` (partitions), `group` (consumer groups) or `transaction` (which changes both). Between
//! `connection` and `api`, [`faults`] may have it otherwise, for tests of clients.
//!
//! What it keeps in its data directory:
//!
//! ```text
//! lock                      held while a broker runs
//! cluster.json              the cluster id
//! topics.json               topics and their configuration, replaced at each change
//! producer-ids.json         below which producer ids are used up
//! groups.journal            committed offsets and members, one line a change
//! transactions.journal      the state of each transactional id, one line a change
//! logs/TOPIC-ID/PARTITION/  record batches as they came, in segments named by their first offset
//!                           and `log-start-offset`, once records were deleted by offset
//! ```
//!
//! ```no_run
//! # async fn example() -> Result<(), longshore_broker::StartError> {
//! use longshore_broker::{Broker, BrokerConfig};
//!
//! let broker = Broker::start(BrokerConfig::new(".longshore/broker")).await?;
//! println!("bootstrap.servers={}", broker.bootstrap());
//! broker.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod broker;
mod config;
mod error;

mod connection;
pub mod faults;
mod server;
mod wire;

mod api;
mod node;

mod catalog;
mod group;
mod log;
mod transaction;
mod upkeep;

mod durable;
mod journal;
mod sync;

pub use broker::Broker;
pub use config::BrokerConfig;
pub use error::StartError;
