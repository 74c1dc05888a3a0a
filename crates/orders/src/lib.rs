//! The order system's domain: what happens to an order, what is asked of others for it, and the three handlers.
//!
//! Reading order: [`OrderCreated`] and its siblings are the events; [`OrderState`] is the state machine and
//! [`OrderTable`] its mirror in a worker's store; [`Inventory`], [`Payments`] and [`Carrier`] are the services, with
//! the [`sandbox`] that stands in for them; [`OrderCreatedHandler`], [`OrderPaidHandler`] and [`OrderShippedHandler`]
//! decide; [`order_created`], [`order_paid`] and [`order_shipped`] are the workers around them.

mod money;
pub use money::{Currency, Money, MoneyError};

mod event;
pub use event::{
    CancelReason, Item, OrderCancellationRequested, OrderCancelled, OrderCreated, OrderDelivered,
    OrderPaid, OrderShipped,
};

mod any_event;
pub use any_event::OrderEvent;

mod user;
pub use user::{Role, UserCreated, UserDeleted, UserUpdated};

pub mod job;

mod schema;
pub use schema::schemas;

mod state;
pub use state::OrderState;

mod table;
pub use table::{Advance, MIGRATIONS, OrderTable};

mod refusal;

mod port;
pub use port::{
    Booking, Carrier, Charge, Inventory, Notice, NoticeKind, Notifier, Payment, Payments, Refund,
    Reservation, ServiceError,
};

pub mod sandbox;
pub use sandbox::Sandbox;

mod handler;
pub use handler::{OrderCreatedHandler, OrderPaidHandler, OrderShippedHandler};

mod worker;
pub use worker::{order_created, order_paid, order_shipped};
