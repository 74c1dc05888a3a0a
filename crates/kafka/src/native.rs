//! librdkafka's own calls, made safe: the only place with `unsafe`.
//!
//! rdkafka's wrappers hand over one message, one delivery report and one poll interval at a time, and panic on a
//! header name that is not UTF-8 or holds a NUL. Here an event queue is read directly: a poll can be woken, a delivery
//! report covers a batch, and whatever bytes come from outside are copied as they are.

mod error;
pub(crate) use error::ClientError;

mod client;
pub(crate) use client::{Client, Kind};

mod queue;
pub(crate) use queue::{Event, Messages, Queue};

mod partitions;
mod produce;
mod record;
pub(crate) use produce::Topic;

mod delivery;
pub(crate) use delivery::Batch;

mod transaction;
pub(crate) use transaction::{GroupMetadata, Remedy, Standing, TransactionError};

pub(crate) use partitions::{PartitionList, PartitionOffset};

mod metadata;
pub(crate) use metadata::TopicMetadata;

pub(crate) mod admin;
