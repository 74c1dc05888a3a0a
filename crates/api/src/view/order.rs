//! An order and its timeline, as queries answer them.

use jiff::Timestamp;
use longshore_orders::{Item, Money, OrderState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::PlacedOrder;

/// An order, as far as its events have been heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The order.
    pub order_id: String,
    /// How far it has come.
    pub status: OrderStatus,
    /// Who placed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// What was ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<Item>>,
    /// What it costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Money>,
    /// The charge, once it is paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<String>,
    /// Who carries it, once it is shipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// The parcel, once it is shipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking_number: Option<String>,
    /// Why it was cancelled, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_reason: Option<String>,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When the last of its events happened.
    pub updated_at: Timestamp,
}

/// How far an order has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OrderStatus {
    /// Placed, and not paid yet.
    Pending,
    /// The money is charged.
    Paid,
    /// Nothing comes of it.
    Cancelled,
    /// A carrier has it.
    Shipped,
    /// The customer has it.
    Delivered,
}

/// Something that happened to an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimelineEntry {
    /// The event's type, such as `order.paid`.
    pub event: String,
    /// When.
    pub at: Timestamp,
    /// The event's id.
    pub event_id: String,
    /// Shared by all that followed from one request.
    pub correlation_id: String,
}

impl OrderStatus {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Paid,
        Self::Cancelled,
        Self::Shipped,
        Self::Delivered,
    ];

    /// The name in JSON and in the projection.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
        }
    }
}

impl From<OrderState> for OrderStatus {
    fn from(state: OrderState) -> Self {
        match state {
            OrderState::Created => Self::Pending,
            OrderState::Paid => Self::Paid,
            OrderState::Cancelled => Self::Cancelled,
            OrderState::Shipped => Self::Shipped,
            OrderState::Delivered => Self::Delivered,
        }
    }
}

/// An order of which no event has been heard yet.
impl From<PlacedOrder> for Order {
    fn from(placed: PlacedOrder) -> Self {
        Self {
            order_id: placed.order_id,
            status: OrderStatus::Pending,
            user_id: Some(placed.user_id),
            items: Some(placed.items),
            total: Some(placed.total),
            payment_id: None,
            carrier: None,
            tracking_number: None,
            cancel_reason: None,
            created_at: placed.created_at,
            updated_at: placed.created_at,
        }
    }
}
