//! Consumer groups: a pure state machine for the classic protocol and one for the consumer protocol (KIP-848), and the
//! coordinator that gives them time, callers and a journal.

pub(crate) mod consumer;
mod coordinator;
mod describe;
mod entry;
mod machine;
mod member;
mod offsets;
mod pending;
mod slot;
mod subscription;
mod timers;

pub(crate) use coordinator::Coordinator;
pub(crate) use describe::{ConsumerDescription, GroupDescription};
pub(crate) use machine::{Answer, Caller, Join, Joined, Leaver, Sync};
pub(crate) use member::{Client, Protocol};
pub(crate) use offsets::{Committed, Offsets};
