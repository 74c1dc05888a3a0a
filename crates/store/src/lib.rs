//! Inbox, outbox, timers and parked messages on SQL: one text for SQLite and PostgreSQL, but for a word of theirs.
//!
//! Reading order: a [`StoreUrl`] says where; [`SqlStore::open`] connects (`sqlite`, `postgres`) and migrates
//! (`migration`, `tables`); `commit` is one transaction for a batch of messages; `fence`, `inbox`, `outbox`, `timer` and
//! `parked` are its steps and the queries around it; `command` is a transaction that no message causes, `transaction` one of
//! several steps for work beside the messages; `upkeep` is what is asked now and then; `access` lets handlers run their own
//! statements, `gate` lets tests stand before every call. `text`, `insertion`, `column` and `bind` make the statements, `dialect` holds
//! the words in which the databases differ, `classify` decides what an error asks the caller to do.

mod url;
pub use url::{StoreUrl, StoreUrlError};

mod store;
pub use store::SqlStore;

mod open;
pub use open::OpenError;

mod sqlite;

mod postgres;

mod migration;
pub use migration::Migration;

mod tables;

mod commit;

mod command;
pub use command::COMMAND_TABLES;

mod transaction;
pub use transaction::{Commits, Transaction};

mod fence;

mod inbox;

mod outbox;

mod timer;

mod parked;

mod upkeep;

mod access;
pub use access::Row;

mod gate;
pub use gate::{Call, Gate};

mod text;
pub use text::{BySize, MAX_ROWS, limit};

mod insertion;
pub use insertion::Insertion;

mod column;

mod bind;

mod dialect;

mod classify;
pub use classify::RejectedStatement;

#[cfg(test)]
mod plan;
