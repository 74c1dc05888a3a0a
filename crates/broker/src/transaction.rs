//! Transactions (KIP-98, KIP-447): a pure state machine for each transactional id, and the coordinator
//! that gives it time, a journal and its effect on partitions and groups.
//!
//! A transaction ends in two steps, each of which survives the death of the process: first the journal
//! says how it ends, then every participant is told. Telling a participant again changes nothing, so
//! recovery tells all participants of a transaction that was decided and not completed. One that was not
//! decided goes on after a restart, until its producer ends it or its time is up.

mod coordinator;
mod machine;
mod participants;
mod scope;
mod slot;
mod timers;

pub(crate) use coordinator::TransactionCoordinator;
pub(crate) use machine::{Producer, State, Transaction};
pub(crate) use participants::Participants;
pub(crate) use scope::Scope;
