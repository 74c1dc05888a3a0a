//! What a customer is told: one kind of mail for each event of an order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::OrderEvent;

/// What a mail is about, in the order in which an order usually comes to it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum MailKind {
    /// The order has arrived.
    Confirmation,
    /// The money has.
    Paid,
    /// The parcel is on its way.
    Shipped,
    /// It is there.
    Delivered,
    /// Nothing comes of it.
    Cancelled,
}

impl MailKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Confirmation,
        Self::Paid,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelled,
    ];

    /// What an event is told by.
    pub fn of(event: &OrderEvent) -> Self {
        match event {
            OrderEvent::Created(_) => Self::Confirmation,
            OrderEvent::Paid(_) => Self::Paid,
            OrderEvent::Shipped(_) => Self::Shipped,
            OrderEvent::Delivered(_) => Self::Delivered,
            OrderEvent::Cancelled(_) => Self::Cancelled,
        }
    }

    /// The name on the wire, in the database and of the templates.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmation => "confirmation",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The event as a mail that waits keeps it.
    pub(super) fn keep(event: &OrderEvent) -> serde_json::Result<String> {
        match event {
            OrderEvent::Created(event) => serde_json::to_string(event),
            OrderEvent::Paid(event) => serde_json::to_string(event),
            OrderEvent::Shipped(event) => serde_json::to_string(event),
            OrderEvent::Delivered(event) => serde_json::to_string(event),
            OrderEvent::Cancelled(event) => serde_json::to_string(event),
        }
    }

    /// The event that [`MailKind::keep`] has kept for this kind.
    pub(super) fn event(self, kept: &str) -> serde_json::Result<OrderEvent> {
        match self {
            Self::Confirmation => serde_json::from_str(kept).map(OrderEvent::Created),
            Self::Paid => serde_json::from_str(kept).map(OrderEvent::Paid),
            Self::Shipped => serde_json::from_str(kept).map(OrderEvent::Shipped),
            Self::Delivered => serde_json::from_str(kept).map(OrderEvent::Delivered),
            Self::Cancelled => serde_json::from_str(kept).map(OrderEvent::Cancelled),
        }
    }
}
