//! `order.paid`: book the shipment.

use longshore_event::Envelope;
use longshore_store::SqlStore;
use longshore_worker::{Context, Failure, Handler};

use crate::port::{self, Carrier, idempotency_key};
use crate::{Advance, OrderPaid, OrderShipped, OrderState, OrderTable, Sandbox};

/// Publishes `order.shipped`.
#[derive(Debug)]
pub struct OrderPaidHandler<C> {
    carrier: C,
    orders: OrderTable,
}

impl OrderPaidHandler<Sandbox> {
    /// With the sandbox for a carrier, and its ledger in the worker's own store.
    ///
    /// # Panics
    /// As [`Sandbox::open`].
    pub fn sandbox(store: &SqlStore) -> Self {
        Self::new(Sandbox::open(store), store)
    }
}

impl<C: Carrier> OrderPaidHandler<C> {
    /// `store` keeps what this worker knows of its orders.
    pub fn new(carrier: C, store: &SqlStore) -> Self {
        Self {
            carrier,
            orders: OrderTable::new(store.clone()),
        }
    }
}

impl<C: Carrier> Handler for OrderPaidHandler<C> {
    type Payload = OrderPaid;

    const NAME: &'static str = "order-paid";

    async fn handle(
        &self,
        message: &Envelope<OrderPaid>,
        context: &mut Context<'_, OrderPaid>,
    ) -> Result<(), Failure> {
        let OrderPaid {
            order_id, amount, ..
        } = message.event();
        if self
            .orders
            .has_reached(order_id, OrderState::Shipped)
            .await?
        {
            return Ok(());
        }
        let key = idempotency_key("book", order_id);
        let booking = self.carrier.book(&key, order_id).await;
        let booking = booking.map_err(port::failure)?;
        let now = context.now();
        let advance = Advance {
            order_id,
            state: OrderState::Shipped,
            user_id: None,
            amount: Some(*amount),
            reference: Some(&booking.tracking_number),
            created_at: None,
            at: now,
        };
        context.write(advance.statement());
        context.publish(&OrderShipped {
            order_id: order_id.clone(),
            carrier: booking.carrier,
            tracking_number: booking.tracking_number,
            shipped_at: now,
        })
    }
}
