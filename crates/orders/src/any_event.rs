//! Any event of an order, for workers that follow orders through their whole life.

use longshore_event::{DecodeError, Event, Payload, Record};

use crate::{OrderCancelled, OrderCreated, OrderDelivered, OrderPaid, OrderShipped};

/// One of the events of an order, told apart by the topic it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderEvent {
    /// A customer has placed it.
    Created(OrderCreated),
    /// The goods are reserved and the money is charged.
    Paid(OrderPaid),
    /// A carrier has the parcel.
    Shipped(OrderShipped),
    /// The customer has the parcel.
    Delivered(OrderDelivered),
    /// Nothing comes of it.
    Cancelled(OrderCancelled),
}

impl OrderEvent {
    /// The topics of all of them, in the order in which an order usually passes them.
    pub const TOPICS: [&'static str; 5] = [
        OrderCreated::TOPIC,
        OrderPaid::TOPIC,
        OrderShipped::TOPIC,
        OrderDelivered::TOPIC,
        OrderCancelled::TOPIC,
    ];

    /// The order it happened to.
    pub fn order_id(&self) -> &str {
        match self {
            Self::Created(event) => &event.order_id,
            Self::Paid(event) => &event.order_id,
            Self::Shipped(event) => &event.order_id,
            Self::Delivered(event) => &event.order_id,
            Self::Cancelled(event) => &event.order_id,
        }
    }
}

impl Payload for OrderEvent {
    fn decode(record: &Record) -> Result<Self, DecodeError> {
        match &*record.partition.topic {
            OrderPaid::TOPIC => OrderPaid::decode(record).map(Self::Paid),
            OrderShipped::TOPIC => OrderShipped::decode(record).map(Self::Shipped),
            OrderDelivered::TOPIC => OrderDelivered::decode(record).map(Self::Delivered),
            OrderCancelled::TOPIC => OrderCancelled::decode(record).map(Self::Cancelled),
            // A record of another topic has another type, and is refused by this one's check.
            _ => OrderCreated::decode(record).map(Self::Created),
        }
    }
}
