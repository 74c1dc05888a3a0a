//! `order.created`: reserve the goods, charge the customer, and say how that ended.

use longshore_event::Envelope;
use longshore_store::SqlStore;
use longshore_worker::{Context, Failure, FailureExt, Handler};

use crate::port::{self, Charge, Inventory, Payment, Payments, Reservation, idempotency_key};
use crate::{
    Advance, CancelReason, Money, OrderCancelled, OrderCreated, OrderPaid, OrderState, OrderTable,
    Sandbox,
};

/// Publishes `order.paid` or `order.cancelled`.
///
/// A failure leaves the reservation as it is, because the message will come again: by a retry, or redriven from the
/// dead letters. Only a declined charge, which is an answer and no failure, releases it.
#[derive(Debug)]
pub struct OrderCreatedHandler<I, P> {
    inventory: I,
    payments: P,
    orders: OrderTable,
}

impl OrderCreatedHandler<Sandbox, Sandbox> {
    /// With the sandbox for stock and payments, and its ledger in the worker's own store.
    ///
    /// # Panics
    /// As [`Sandbox::open`].
    pub fn sandbox(store: &SqlStore) -> Self {
        let sandbox = Sandbox::open(store);
        Self::new(sandbox.clone(), sandbox, store)
    }
}

impl<I: Inventory, P: Payments> OrderCreatedHandler<I, P> {
    /// `store` keeps what this worker knows of its orders.
    pub fn new(inventory: I, payments: P, store: &SqlStore) -> Self {
        Self {
            inventory,
            payments,
            orders: OrderTable::new(store.clone()),
        }
    }

    async fn purchase(&self, order: &OrderCreated, amount: Money) -> Result<Purchase, Failure> {
        let id = &order.order_id;
        let key = idempotency_key("reserve", id);
        let reserved = self.inventory.reserve(&key, id, &order.items).await;
        match reserved.map_err(port::failure)? {
            Reservation::Reserved => {}
            Reservation::SoldOut => return Ok(Purchase::Cancelled(CancelReason::SoldOut)),
        }
        let charge = Charge {
            order_id: id,
            user_id: &order.user_id,
            amount,
            items: &order.items,
        };
        let key = idempotency_key("charge", id);
        let charged = self.payments.charge(&key, &charge).await;
        match charged.map_err(port::failure)? {
            Payment::Charged { payment_id } => Ok(Purchase::Paid { payment_id }),
            Payment::Declined => {
                let key = idempotency_key("release", id);
                let released = self.inventory.release(&key, id).await;
                released.map_err(port::failure)?;
                Ok(Purchase::Cancelled(CancelReason::PaymentDeclined))
            }
        }
    }
}

enum Purchase {
    Paid { payment_id: String },
    Cancelled(CancelReason),
}

impl<I: Inventory, P: Payments> Handler for OrderCreatedHandler<I, P> {
    type Payload = OrderCreated;

    const NAME: &'static str = "order-created";

    async fn handle(
        &self,
        message: &Envelope<OrderCreated>,
        context: &mut Context<'_, OrderCreated>,
    ) -> Result<(), Failure> {
        let order = message.event();
        if self
            .orders
            .has_reached(&order.order_id, OrderState::Paid)
            .await?
        {
            return Ok(());
        }
        let amount = order.total().permanent()?;
        let purchase = self.purchase(order, amount).await?;
        let now = context.now();
        let (state, reference) = match &purchase {
            Purchase::Paid { payment_id } => (OrderState::Paid, payment_id.as_str()),
            Purchase::Cancelled(reason) => (OrderState::Cancelled, reason.as_str()),
        };
        let advance = Advance {
            order_id: &order.order_id,
            state,
            user_id: Some(&order.user_id),
            amount: Some(amount),
            reference: Some(reference),
            created_at: order.created_at.or_else(|| message.time()),
            at: now,
        };
        context.write(advance.statement());
        match purchase {
            Purchase::Paid { payment_id } => context.publish(&OrderPaid {
                order_id: order.order_id.clone(),
                payment_id,
                amount,
                paid_at: now,
            }),
            Purchase::Cancelled(reason) => context.publish(&OrderCancelled {
                order_id: order.order_id.clone(),
                reason,
                cancelled_at: now,
            }),
        }
    }
}
