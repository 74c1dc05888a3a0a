//! The events of a user as they travel: who places orders, and where mails go.

use jiff::Timestamp;
use longshore_event::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::not_empty;

/// Somebody has signed up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "user.created")]
pub struct UserCreated {
    /// The user.
    #[schemars(length(min = 1))]
    pub user_id: String,
    /// Where mails go; no two users share one.
    #[schemars(length(min = 3))]
    pub email: String,
    /// How mails address the user.
    #[schemars(length(min = 1))]
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// When.
    pub created_at: Timestamp,
}

/// What is known of a user has changed: all of it, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "user.updated")]
pub struct UserUpdated {
    /// The user.
    #[schemars(length(min = 1))]
    pub user_id: String,
    /// Where mails go.
    #[schemars(length(min = 3))]
    pub email: String,
    /// How mails address the user.
    #[schemars(length(min = 1))]
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// When.
    pub updated_at: Timestamp,
}

/// A user is gone, and with it what was known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "user.deleted")]
pub struct UserDeleted {
    /// The user.
    #[schemars(length(min = 1))]
    pub user_id: String,
    /// When.
    pub deleted_at: Timestamp,
}

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Places orders.
    Customer,
    /// Runs the shop.
    Admin,
}

impl Event for UserCreated {
    const TYPE: &'static str = "user.created";

    fn key(&self) -> &str {
        &self.user_id
    }

    fn check(&self) -> Result<(), String> {
        not_empty("userId", &self.user_id)?;
        reachable(&self.email, &self.name)
    }
}

impl Event for UserUpdated {
    const TYPE: &'static str = "user.updated";

    fn key(&self) -> &str {
        &self.user_id
    }

    fn check(&self) -> Result<(), String> {
        not_empty("userId", &self.user_id)?;
        reachable(&self.email, &self.name)
    }
}

impl Event for UserDeleted {
    const TYPE: &'static str = "user.deleted";

    fn key(&self) -> &str {
        &self.user_id
    }

    fn check(&self) -> Result<(), String> {
        not_empty("userId", &self.user_id)
    }
}

/// Whoever wrote the event has checked the address; this only keeps out what is none at all.
fn reachable(email: &str, name: &str) -> Result<(), String> {
    not_empty("name", name)?;
    match email.split_once('@') {
        Some((local, domain)) if !local.is_empty() && !domain.is_empty() => Ok(()),
        _ => Err("email must be an address".to_owned()),
    }
}
