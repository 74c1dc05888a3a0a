//! `order.created` and `order.cancellation-requested`: whether an order is paid or cancelled is decided here, once.

use jiff::Timestamp;
use longshore_event::{DecodeError, Envelope, Event, Payload, Record};
use longshore_saga::{Ending, Sagas};
use longshore_store::SqlStore;
use longshore_worker::{Context, Failure, FailureExt, Handler, Statement};

use crate::cancellation::{Cancellations, remember};
use crate::port::{Inventory, Notifier, Payments};
use crate::purchase::{Bill, Purchase, PurchaseData, Services};
use crate::{
    Advance, CancelReason, OrderCancellationRequested, OrderCancelled, OrderCreated, OrderPaid,
    OrderState, Sandbox,
};

/// What moves a purchase, told apart by the topic it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PurchaseEvent {
    /// A customer has placed the order.
    Created(OrderCreated),
    /// Somebody wants it to come to nothing.
    CancellationRequested(OrderCancellationRequested),
    /// It is paid, as this worker decided: the customer can be told.
    Paid(OrderPaid),
}

impl Payload for PurchaseEvent {
    fn decode(record: &Record) -> Result<Self, DecodeError> {
        match &*record.partition.topic {
            OrderCancellationRequested::TOPIC => {
                OrderCancellationRequested::decode(record).map(Self::CancellationRequested)
            }
            OrderPaid::TOPIC => OrderPaid::decode(record).map(Self::Paid),
            // A record of another topic has another type, and is refused by this one's check.
            _ => OrderCreated::decode(record).map(Self::Created),
        }
    }
}

/// Publishes `order.paid` or `order.cancelled`, one of them for each order.
///
/// The message of `order.created` drives the saga and says how it ended; a request to cancel is only remembered, and
/// makes the saga turn back when it next runs, or when the order comes. So one message decides, whatever comes when. The
/// notice waits for `order.paid` to come back: it then is true, and a notice that cannot be sent undoes nothing.
///
/// A failure leaves what was done as it is, because the message will come again: by a retry, or redriven from the dead
/// letters.
#[derive(Debug)]
pub struct OrderCreatedHandler<I, P, N> {
    services: Services<I, P, N>,
    cancellations: Cancellations,
    sagas: Sagas,
}

impl OrderCreatedHandler<Sandbox, Sandbox, Sandbox> {
    /// With the sandbox for all services, and its ledger in the worker's own store.
    ///
    /// # Panics
    /// As [`Sandbox::open`].
    pub fn sandbox(store: &SqlStore) -> Self {
        let sandbox = Sandbox::open(store);
        Self::new(sandbox.clone(), sandbox.clone(), sandbox, store)
    }
}

impl<I: Inventory, P: Payments, N: Notifier> OrderCreatedHandler<I, P, N> {
    /// `store` keeps what this worker knows of its orders, and their sagas.
    ///
    /// # Panics
    /// Outside of a tokio runtime, as [`Sagas::open`].
    pub fn new(inventory: I, payments: P, notifier: N, store: &SqlStore) -> Self {
        Self {
            services: Services {
                inventory,
                payments,
                notifier,
            },
            cancellations: Cancellations::new(store.clone()),
            sagas: Sagas::open(store),
        }
    }

    async fn created(
        &self,
        order: &OrderCreated,
        placed_at: Option<Timestamp>,
        context: &mut Context<'_, PurchaseEvent>,
    ) -> Result<(), Failure> {
        let order_id = &order.order_id;
        let standing = self.cancellations.standing(order_id).await?;
        if standing.is_decided() {
            return Ok(());
        }
        let total = order.total().permanent()?;
        let purchase = self.purchase(order_id, Some(Bill { order, total }));
        let ending = match standing.cancellation {
            Some(reason) => {
                let sagas = &self.sagas;
                sagas.call_off(&purchase, order_id, reason, context).await?
            }
            None => {
                let data = PurchaseData {
                    user_id: order.user_id.clone(),
                    payment_id: String::new(),
                };
                self.sagas.run(&purchase, order_id, data, context).await?
            }
        };
        let now = context.now();
        let advance = Advance {
            order_id,
            state: OrderState::Cancelled,
            user_id: Some(&order.user_id),
            amount: Some(total),
            reference: None,
            created_at: order.created_at.or(placed_at),
            at: now,
        };
        let reason = match ending {
            None => return Ok(()),
            Some(Ending::Committed(PurchaseData { payment_id, .. })) => {
                let paid = Advance {
                    state: OrderState::Paid,
                    reference: Some(&payment_id),
                    ..advance
                };
                context.write(paid.statement());
                return context.publish(&OrderPaid {
                    order_id: order_id.clone(),
                    payment_id,
                    amount: total,
                    paid_at: now,
                });
            }
            Some(Ending::Refused(reason)) => reason,
            Some(Ending::TimedOut) => CancelReason::Expired,
        };
        let cancelled = Advance {
            reference: Some(reason.as_str()),
            ..advance
        };
        context.write(cancelled.statement());
        context.publish(&OrderCancelled {
            order_id: order_id.clone(),
            reason,
            cancelled_at: now,
        })
    }

    async fn cancellation_requested(
        &self,
        request: &OrderCancellationRequested,
        context: &mut Context<'_, PurchaseEvent>,
    ) -> Result<(), Failure> {
        let standing = self.cancellations.standing(&request.order_id).await?;
        if !standing.is_decided() {
            context.write(remember(request));
        }
        Ok(())
    }

    fn purchase<'a>(&'a self, order_id: &'a str, bill: Option<Bill<'a>>) -> Purchase<'a, I, P, N> {
        Purchase {
            services: &self.services,
            cancellations: &self.cancellations,
            order_id,
            bill,
        }
    }
}

impl<I: Inventory, P: Payments, N: Notifier> Handler for OrderCreatedHandler<I, P, N> {
    type Payload = PurchaseEvent;

    const NAME: &'static str = "order-created";

    async fn handle(
        &self,
        message: &Envelope<PurchaseEvent>,
        context: &mut Context<'_, PurchaseEvent>,
    ) -> Result<(), Failure> {
        match message.event() {
            PurchaseEvent::Created(order) => self.created(order, message.time(), context).await,
            PurchaseEvent::CancellationRequested(request) => {
                self.cancellation_requested(request, context).await
            }
            PurchaseEvent::Paid(OrderPaid { order_id, .. }) => {
                let purchase = self.purchase(order_id, None);
                self.sagas.follow_up(&purchase, order_id, context).await
            }
        }
    }

    /// The saga says so, too, until its message is redriven.
    fn given_up(
        &self,
        message: &Envelope<PurchaseEvent>,
        _failure: &Failure,
        now: Timestamp,
    ) -> Vec<Statement> {
        let order_id = match message.event() {
            PurchaseEvent::Created(OrderCreated { order_id, .. })
            | PurchaseEvent::Paid(OrderPaid { order_id, .. }) => order_id,
            PurchaseEvent::CancellationRequested(_) => return Vec::new(),
        };
        vec![Sagas::stuck::<Purchase<'_, I, P, N>>(order_id, now)]
    }
}
