//! `order.shipped`: record it, and deliver.

use longshore_event::Envelope;
use longshore_store::SqlStore;
use longshore_worker::{Context, Failure, Handler};

use crate::{Advance, OrderDelivered, OrderShipped, OrderState, OrderTable};

/// Publishes `order.delivered`. The sandbox's parcels arrive at once; there is no carrier to wait for.
#[derive(Debug)]
pub struct OrderShippedHandler {
    orders: OrderTable,
}

impl OrderShippedHandler {
    /// `store` keeps what this worker knows of its orders.
    pub fn new(store: &SqlStore) -> Self {
        Self {
            orders: OrderTable::new(store.clone()),
        }
    }
}

impl Handler for OrderShippedHandler {
    type Payload = OrderShipped;

    const NAME: &'static str = "order-shipped";

    async fn handle(
        &self,
        message: &Envelope<OrderShipped>,
        context: &mut Context<'_, OrderShipped>,
    ) -> Result<(), Failure> {
        let shipped = message.event();
        let order_id = &shipped.order_id;
        if self
            .orders
            .has_reached(order_id, OrderState::Delivered)
            .await?
        {
            return Ok(());
        }
        let now = context.now();
        let advance = Advance {
            order_id,
            state: OrderState::Delivered,
            user_id: None,
            amount: None,
            reference: Some(&shipped.tracking_number),
            created_at: None,
            at: now,
        };
        context.write(advance.statement());
        context.publish(&OrderDelivered {
            order_id: order_id.clone(),
            delivered_at: now,
        })
    }
}
