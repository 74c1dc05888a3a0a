//! The commands, each with its handler.

mod create_user;
pub use create_user::{CreateUser, CreateUserError};

mod update_user;
pub use update_user::{UpdateUser, UpdateUserError};

mod delete_user;
pub use delete_user::{DeleteUser, DeleteUserError};

mod create_order;
pub use create_order::{CreateOrder, CreateOrderError};

mod cancel_order;
pub use cancel_order::{CancelOrder, CancelOrderError};

mod password;
pub use password::{Password, Passwords};

use std::sync::Arc;

use longshore_event::Identity;
use longshore_store::SqlStore;
use longshore_worker::{Clock, Outbox};

use crate::{GROUP, OrderTable, OrderView, UserCache, UserTable};

/// What the handlers of commands work with.
#[derive(Debug)]
pub struct Commands {
    /// Where commands commit.
    pub outbox: Outbox<SqlStore>,
    /// The users.
    pub users: UserTable,
    /// Users in memory.
    pub cache: Arc<UserCache>,
    /// The orders that were placed here.
    pub orders: OrderTable,
    /// What is known of orders since.
    pub view: OrderView,
    /// What hashes passwords.
    pub passwords: Passwords,
    /// Where the time comes from.
    pub clock: Clock,
}

/// The identity of a command: one of the same name takes effect once.
fn identity(name: String) -> Identity {
    Identity {
        source: GROUP.into(),
        id: name.into(),
    }
}

/// The name of a change of a user: it makes this version, and nothing else may.
fn change_of_user(user_id: &str, version: i64) -> Identity {
    identity(format!("user/{user_id}/{version}"))
}

/// Milliseconds, as the store keeps times: what is answered now is what is read later.
fn now(clock: &Clock) -> jiff::Timestamp {
    let now = clock.now();
    jiff::Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
