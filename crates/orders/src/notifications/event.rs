//! What the worker of notifications hears: orders, users, and the timers that it has set.

use jiff::Timestamp;
use longshore_event::{DecodeError, Event, Payload, Record};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::MailKind;
use crate::event::not_empty;
use crate::{OrderEvent, UserCreated, UserDeleted, UserUpdated};

/// A mail has waited long enough for whom it is for. Published by the timer of the worker that reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "order.mail-due")]
pub struct OrderMailDue {
    /// The order.
    #[schemars(length(min = 1))]
    pub order_id: String,
    /// Which of its mails.
    pub kind: MailKind,
    /// When the wait was over.
    pub due_at: Timestamp,
}

impl Event for OrderMailDue {
    const TYPE: &'static str = "order.mail-due";

    fn key(&self) -> &str {
        &self.order_id
    }

    fn check(&self) -> Result<(), String> {
        not_empty("orderId", &self.order_id)
    }
}

/// What there is to tell, and whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationEvent {
    /// Something happened to an order.
    Order(OrderEvent),
    /// Somebody can be told.
    UserCreated(UserCreated),
    /// Somebody can be told, perhaps elsewhere.
    UserUpdated(UserUpdated),
    /// Somebody must not be told any more.
    UserDeleted(UserDeleted),
    /// A mail has waited long enough.
    Due(OrderMailDue),
}

impl Payload for NotificationEvent {
    fn decode(record: &Record) -> Result<Self, DecodeError> {
        match &*record.partition.topic {
            UserCreated::TOPIC => UserCreated::decode(record).map(Self::UserCreated),
            UserUpdated::TOPIC => UserUpdated::decode(record).map(Self::UserUpdated),
            UserDeleted::TOPIC => UserDeleted::decode(record).map(Self::UserDeleted),
            OrderMailDue::TOPIC => OrderMailDue::decode(record).map(Self::Due),
            _ => OrderEvent::decode(record).map(Self::Order),
        }
    }
}
