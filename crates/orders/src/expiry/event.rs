//! What the worker of order expiry hears: the orders' own events, and the timer that it has set.

use jiff::Timestamp;
use longshore_event::{DecodeError, Event, Payload, Record};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::not_empty;
use crate::{OrderCancelled, OrderCreated, OrderPaid};

/// The time an order had to be paid is over. Published by the timer of the worker that reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "order.expiry-due")]
pub struct OrderExpiryDue {
    /// The order.
    #[schemars(length(min = 1))]
    pub order_id: String,
    /// When the time was over.
    pub due_at: Timestamp,
}

impl Event for OrderExpiryDue {
    const TYPE: &'static str = "order.expiry-due";

    fn key(&self) -> &str {
        &self.order_id
    }

    fn check(&self) -> Result<(), String> {
        not_empty("orderId", &self.order_id)
    }
}

/// What bears on the expiry of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpiryEvent {
    /// The time begins.
    Created(OrderCreated),
    /// It no longer matters.
    Paid(OrderPaid),
    /// It no longer matters.
    Cancelled(OrderCancelled),
    /// It is over.
    Due(OrderExpiryDue),
}

impl Payload for ExpiryEvent {
    fn decode(record: &Record) -> Result<Self, DecodeError> {
        match &*record.partition.topic {
            OrderPaid::TOPIC => OrderPaid::decode(record).map(Self::Paid),
            OrderCancelled::TOPIC => OrderCancelled::decode(record).map(Self::Cancelled),
            OrderExpiryDue::TOPIC => OrderExpiryDue::decode(record).map(Self::Due),
            // A record of another topic has another type, and is refused by this one's check.
            _ => OrderCreated::decode(record).map(Self::Created),
        }
    }
}
