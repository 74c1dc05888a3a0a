//! Kafka through rdkafka: consume, publish, administer, read. The only crate that imports it.
//!
//! Reading order: [`Connection`] says where the brokers are; [`KafkaSource`] is a member of a consumer group,
//! [`KafkaPublisher`] an idempotent producer, [`TransactionStrategy`] a transactional one that commits for the two;
//! [`TransactionalPublisher`], [`Admin`] and [`Reader`] serve tools. `native` holds the few calls that rdkafka has no safe wrapper for.

mod connection;
pub use connection::Connection;

mod error;
pub use error::KafkaError;

mod admin;
pub use admin::{
    Admin, GroupDescription, GroupSummary, Member, NewTopic, PartitionBounds, PartitionLag,
    TopicConfig, TopicDescription,
};

mod source;
pub use source::KafkaSource;

mod publisher;
pub use publisher::KafkaPublisher;

mod reader;
pub use reader::{From, Reader, ReaderEvent};

mod transaction;
pub use transaction::{NotPublished, TransactionStrategy, TransactionalPublisher};

mod consumer;
mod producer;

mod native;
