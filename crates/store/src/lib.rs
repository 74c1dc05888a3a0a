//! Inbox and outbox on SQL: one text for SQLite and PostgreSQL.
//!
//! Reading order: a [`StoreUrl`] says where; [`SqlStore::open`] connects (`sqlite`, `postgres`) and migrates
//! (`migration`); `commit` is one transaction for a batch of messages; `inbox` and `outbox` are the queries around it;
//! `access` lets handlers run their own statements. `text` and `bind` make the statements, `classify` decides what an error
//! asks the caller to do.

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

mod commit;

mod inbox;

mod outbox;

mod access;
pub use access::Row;

mod text;

mod bind;

mod classify;
pub use classify::RejectedStatement;
