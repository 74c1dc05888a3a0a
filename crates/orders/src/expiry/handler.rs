//! When the time of an order begins, ends, or no longer matters.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use longshore_event::Envelope;
use longshore_store::SqlStore;
use longshore_worker::{Context, Failure, Handler};

use super::{ExpiryEvent, OrderExpiryDue};
use crate::{
    Advance, CancelReason, OrderCancellationRequested, OrderCancelled, OrderCreated, OrderPaid,
    OrderState, OrderTable,
};

/// The name of the timer of each order.
const TIMER: &str = "expiry";

/// Sets a timer for each new order, cancels it when the order is paid or cancelled, and otherwise publishes
/// `order.cancellation-requested`.
///
/// That is a wish: whether the order is cancelled is up to the worker of `order.created`, which alone knows whether it is
/// paid. So a payment that comes while the timer fires costs nothing but a request that is turned down.
///
/// The events of an order stand in several topics and may come in any turn. An order that is first heard of as paid or
/// cancelled is remembered as such, and never gets a timer. Two instances may hear of one order at the same moment, so a
/// timer may be set for an order that is paid; it then fires for nothing, since it asks for the state again.
#[derive(Debug)]
pub struct OrderExpiryHandler {
    orders: OrderTable,
    expire_after: Duration,
}

impl OrderExpiryHandler {
    /// `store` keeps what this worker knows of its orders; each has `expire_after` to be paid.
    pub fn new(store: &SqlStore, expire_after: Duration) -> Self {
        Self {
            orders: OrderTable::new(store.clone()),
            expire_after,
        }
    }

    async fn created(
        &self,
        order: &OrderCreated,
        told_at: Option<Timestamp>,
        context: &mut Context<'_, ExpiryEvent>,
    ) -> Result<(), Failure> {
        if self.orders.state(&order.order_id).await?.is_some() {
            // Heard again, or paid already: its timer is set, or it needs none.
            return Ok(());
        }
        let now = context.now();
        // Nobody has placed an order in the future: a clock that is wrong, or a customer who wants to have longer.
        let placed_at = order.created_at.or(told_at).map_or(now, |at| at.min(now));
        let after = SignedDuration::try_from(self.expire_after).map_err(Failure::permanent)?;
        let due_at = placed_at.checked_add(after).map_err(Failure::permanent)?;
        context.write(
            Advance {
                created_at: Some(placed_at),
                user_id: Some(&order.user_id),
                ..step(&order.order_id, OrderState::Created, now)
            }
            .statement(),
        );
        let due = OrderExpiryDue {
            order_id: order.order_id.clone(),
            due_at,
        };
        context.publish_at(&due, due_at)?.named(TIMER);
        Ok(())
    }

    async fn settled(
        &self,
        order_id: &str,
        state: OrderState,
        context: &mut Context<'_, ExpiryEvent>,
    ) -> Result<(), Failure> {
        if self.orders.has_reached(order_id, state).await? {
            return Ok(());
        }
        context.write(step(order_id, state, context.now()).statement());
        context.cancel(TIMER);
        Ok(())
    }

    async fn due(
        &self,
        due: &OrderExpiryDue,
        context: &mut Context<'_, ExpiryEvent>,
    ) -> Result<(), Failure> {
        let OrderExpiryDue { order_id, .. } = due;
        if self.orders.has_reached(order_id, OrderState::Paid).await? {
            return Ok(());
        }
        context.publish(&OrderCancellationRequested {
            order_id: order_id.clone(),
            reason: CancelReason::Expired,
            requested_at: context.now(),
        })
    }
}

impl Handler for OrderExpiryHandler {
    type Payload = ExpiryEvent;

    const NAME: &'static str = "order-expiry";

    async fn handle(
        &self,
        message: &Envelope<ExpiryEvent>,
        context: &mut Context<'_, ExpiryEvent>,
    ) -> Result<(), Failure> {
        match message.event() {
            ExpiryEvent::Created(order) => self.created(order, message.time(), context).await,
            ExpiryEvent::Paid(OrderPaid { order_id, .. }) => {
                self.settled(order_id, OrderState::Paid, context).await
            }
            ExpiryEvent::Cancelled(OrderCancelled { order_id, .. }) => {
                self.settled(order_id, OrderState::Cancelled, context).await
            }
            ExpiryEvent::Due(due) => self.due(due, context).await,
        }
    }
}

fn step(order_id: &str, state: OrderState, at: Timestamp) -> Advance<'_> {
    Advance {
        order_id,
        state,
        user_id: None,
        amount: None,
        reference: None,
        created_at: None,
        at,
    }
}
