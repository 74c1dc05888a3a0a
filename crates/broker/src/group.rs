//! Consumer groups, the classic protocol: a pure state machine, and the coordinator that gives it
//! time, callers and a journal.

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
pub(crate) use describe::GroupDescription;
pub(crate) use machine::{Answer, Caller, Join, Joined, Leaver, Sync};
pub(crate) use member::{Client, Protocol};
pub(crate) use offsets::{Committed, Offsets};
