//! The worker `order-view`: every event of an order becomes a row of its timeline and brings its order up to date. Events
//! may come late, twice or out of turn: the order is in the highest state it is known to have reached.

use jiff::Timestamp;
use longshore_event::{Envelope, Event};
use longshore_orders::{
    OrderCancelled, OrderCreated, OrderDelivered, OrderEvent, OrderPaid, OrderShipped, OrderState,
};
use longshore_worker::{Context, Failure, FailureExt, Handler, Statement, sql};

use crate::OrderStatus;

/// Keeps the projection.
#[derive(Clone, Copy, Debug, Default)]
pub struct OrderViewHandler;

impl Handler for OrderViewHandler {
    type Payload = OrderEvent;

    const NAME: &'static str = "order-view";

    async fn handle(
        &self,
        message: &Envelope<OrderEvent>,
        context: &mut Context<'_, OrderEvent>,
    ) -> Result<(), Failure> {
        let heard_at = message.time().unwrap_or(context.now());
        let news = News::of(message.event(), heard_at).permanent()?;
        context.write(news.order());
        context.write(news.entry(message));
        Ok(())
    }
}

/// What an event tells of its order; what it says nothing about is `None`.
#[derive(Debug)]
struct News {
    order_id: String,
    event: &'static str,
    state: OrderState,
    at: Timestamp,
    user_id: Option<String>,
    items: Option<String>,
    amount: Option<i64>,
    currency: Option<String>,
    payment_id: Option<String>,
    carrier: Option<String>,
    tracking_number: Option<String>,
    cancel_reason: Option<String>,
}

impl News {
    fn of(event: &OrderEvent, heard_at: Timestamp) -> Result<Self, serde_json::Error> {
        let news = |event_type, state, at| Self::new(event.order_id(), event_type, state, at);
        Ok(match event {
            OrderEvent::Created(created) => {
                let at = created.created_at.unwrap_or(heard_at);
                let total = created.total().ok();
                Self {
                    user_id: Some(created.user_id.clone()),
                    items: Some(serde_json::to_string(&created.items)?),
                    amount: total.map(|total| total.amount),
                    currency: total.map(|total| total.currency.to_string()),
                    ..news(OrderCreated::TYPE, OrderState::Created, at)
                }
            }
            OrderEvent::Paid(paid) => Self {
                payment_id: Some(paid.payment_id.clone()),
                amount: Some(paid.amount.amount),
                currency: Some(paid.amount.currency.to_string()),
                ..news(OrderPaid::TYPE, OrderState::Paid, paid.paid_at)
            },
            OrderEvent::Shipped(shipped) => Self {
                carrier: Some(shipped.carrier.clone()),
                tracking_number: Some(shipped.tracking_number.clone()),
                ..news(OrderShipped::TYPE, OrderState::Shipped, shipped.shipped_at)
            },
            OrderEvent::Delivered(delivered) => {
                let at = delivered.delivered_at;
                news(OrderDelivered::TYPE, OrderState::Delivered, at)
            }
            OrderEvent::Cancelled(cancelled) => Self {
                cancel_reason: Some(cancelled.reason.as_str().to_owned()),
                ..news(
                    OrderCancelled::TYPE,
                    OrderState::Cancelled,
                    cancelled.cancelled_at,
                )
            },
        })
    }

    fn new(order_id: &str, event: &'static str, state: OrderState, at: Timestamp) -> Self {
        Self {
            order_id: order_id.to_owned(),
            event,
            state,
            at,
            user_id: None,
            items: None,
            amount: None,
            currency: None,
            payment_id: None,
            carrier: None,
            tracking_number: None,
            cancel_reason: None,
        }
    }

    fn order(&self) -> Statement {
        sql(
            "insert into order_view (order_id, status, rank, user_id, items, amount, currency, payment_id, carrier,
                 tracking_number, cancel_reason, created_at, updated_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
             on conflict (order_id) do update set
                 status = case when excluded.rank > order_view.rank then excluded.status else order_view.status end,
                 rank = case when excluded.rank > order_view.rank then excluded.rank else order_view.rank end,
                 user_id = coalesce(order_view.user_id, excluded.user_id),
                 items = coalesce(order_view.items, excluded.items),
                 amount = coalesce(order_view.amount, excluded.amount),
                 currency = coalesce(order_view.currency, excluded.currency),
                 payment_id = coalesce(order_view.payment_id, excluded.payment_id),
                 carrier = coalesce(order_view.carrier, excluded.carrier),
                 tracking_number = coalesce(order_view.tracking_number, excluded.tracking_number),
                 cancel_reason = coalesce(order_view.cancel_reason, excluded.cancel_reason),
                 created_at = case when excluded.created_at < order_view.created_at
                     then excluded.created_at else order_view.created_at end,
                 updated_at = case when excluded.updated_at > order_view.updated_at
                     then excluded.updated_at else order_view.updated_at end",
        )
        .bind(&self.order_id)
        .bind(OrderStatus::from(self.state).as_str())
        .bind(self.state.rank())
        .bind(self.user_id.clone())
        .bind(self.items.clone())
        .bind(self.amount)
        .bind(self.currency.clone())
        .bind(self.payment_id.clone())
        .bind(self.carrier.clone())
        .bind(self.tracking_number.clone())
        .bind(self.cancel_reason.clone())
        .bind(self.at.as_millisecond())
        .bind(self.at.as_millisecond())
    }

    fn entry(&self, message: &Envelope<OrderEvent>) -> Statement {
        let identity = message.identity();
        sql(
            "insert into order_timeline (order_id, event_source, event_id, event, rank, at, correlation_id)
             values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
        )
        .bind(&self.order_id)
        .bind(identity.source.to_string())
        .bind(identity.id.to_string())
        .bind(self.event)
        .bind(self.state.rank())
        .bind(self.at.as_millisecond())
        .bind(message.correlation_id().to_owned())
    }
}
