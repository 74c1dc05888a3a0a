//! What analytics needs of an event.

use jiff::Timestamp;
use longshore_worker::{Failure, FailureExt};

use super::tables::MOST;
use crate::{Money, OrderCancelled, OrderCreated, OrderEvent, OrderPaid, OrderState};

/// One event of an order, reduced to what is counted.
#[derive(Clone, Debug)]
pub(super) struct Fact<'a> {
    pub(super) order_id: &'a str,
    pub(super) state: OrderState,
    /// Milliseconds since 1970, and not before.
    pub(super) at: i64,
    /// What is ordered or paid; other events carry no money.
    pub(super) money: Option<Money>,
    /// Why it was cancelled; empty for other events.
    pub(super) reason: &'static str,
}

impl<'a> Fact<'a> {
    /// `told_at` stands in for the time that an `order.created` may lack.
    pub(super) fn of(event: &'a OrderEvent, told_at: Timestamp) -> Result<Self, Failure> {
        let order_id = event.order_id();
        let fact = |state, at: Timestamp| Self {
            order_id,
            state,
            at: at.as_millisecond().max(0),
            money: None,
            reason: "",
        };
        Ok(match event {
            OrderEvent::Created(order) => {
                let OrderCreated { created_at, .. } = order;
                Self {
                    money: Some(order.total().permanent()?),
                    ..fact(OrderState::Created, created_at.unwrap_or(told_at))
                }
            }
            OrderEvent::Paid(OrderPaid {
                amount, paid_at, ..
            }) => Self {
                money: Some(*amount),
                ..fact(OrderState::Paid, *paid_at)
            },
            OrderEvent::Shipped(shipped) => fact(OrderState::Shipped, shipped.shipped_at),
            OrderEvent::Delivered(delivered) => fact(OrderState::Delivered, delivered.delivered_at),
            OrderEvent::Cancelled(OrderCancelled {
                reason,
                cancelled_at,
                ..
            }) => Self {
                reason: reason.as_str(),
                ..fact(OrderState::Cancelled, *cancelled_at)
            },
        })
    }

    /// Minor units, as far as they are counted.
    pub(super) fn amount(&self) -> i64 {
        self.money.map_or(0, |money| money.amount.clamp(0, MOST))
    }

    /// The currency's code; empty for what carries no money.
    pub(super) fn currency(&self) -> String {
        let currency = self.money.map(|money| money.currency.to_string());
        currency.unwrap_or_default()
    }

    /// When, if it is this state that the event tells of.
    pub(super) fn at_if(&self, state: OrderState) -> Option<i64> {
        (self.state == state).then_some(self.at)
    }
}
