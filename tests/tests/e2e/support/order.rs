//! Orders as a shop sends them, in the JSON and the headers that are written on the wire.

use longshore_testkit::history::Stage;
use serde_json::json;

use super::client::Sent;

/// The topics of the order system, without their dead-letter topics.
pub(crate) const CREATED: &str = "order.created";
pub(crate) const PAID: &str = "order.paid";
pub(crate) const SHIPPED: &str = "order.shipped";
pub(crate) const DELIVERED: &str = "order.delivered";
pub(crate) const CANCELLED: &str = "order.cancelled";
pub(crate) const CREATED_DLQ: &str = "order.created.dlq";

/// The workers, as the history checker sees them.
pub(crate) const STAGES: [Stage<'static>; 3] = [
    Stage {
        group: "order-created",
        reads: CREATED,
        publishes: &[PAID, CANCELLED],
    },
    Stage {
        group: "order-paid",
        reads: PAID,
        publishes: &[SHIPPED],
    },
    Stage {
        group: "order-shipped",
        reads: SHIPPED,
        publishes: &[DELIVERED],
    },
];

/// An order of one item.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) sku: String,
    /// Its price, in cents.
    pub(crate) cents: i64,
}

impl Order {
    pub(crate) fn new(id: impl Into<String>, sku: &str) -> Self {
        Self {
            id: id.into(),
            sku: sku.to_owned(),
            cents: 1466,
        }
    }

    /// Plain orders with ids from `o-0` on, each of another price.
    pub(crate) fn many(count: usize) -> Vec<Self> {
        (0..count)
            .map(|number| Self {
                cents: number as i64,
                ..Self::new(format!("o-{number}"), "CD-12")
            })
            .collect()
    }

    /// The value of its `order.created`.
    pub(crate) fn json(&self) -> String {
        json!({
            "orderId": self.id,
            "userId": "u-7",
            "items": [{
                "sku": self.sku,
                "quantity": 1,
                "unitPrice": {"amount": self.cents, "currency": "USD"},
            }],
            "createdAt": "2026-11-23T08:00:00Z",
        })
        .to_string()
    }

    /// Its `order.created` without headers.
    pub(crate) fn bare(&self) -> Sent {
        Sent::new(&self.id, self.json())
    }

    /// Its `order.created` as a CloudEvent with id `e-ORDER` and correlation id `c-ORDER`.
    pub(crate) fn created(&self) -> Sent {
        self.bare()
            .header("ce_specversion", "1.0")
            .header("ce_id", format!("e-{}", self.id))
            .header("ce_source", "shop")
            .header("ce_type", CREATED)
            .header("content-type", "application/json")
            .header("correlation-id", format!("c-{}", self.id))
            .header("timestamp", "2026-11-23T08:00:00Z")
    }
}
