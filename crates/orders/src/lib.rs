//! The order system's domain: what happens to an order, what is asked of others for it, and the three handlers.
//!
//! Reading order: [`OrderCreated`] and its siblings are the events; [`OrderState`] is the state machine and
//! [`OrderTable`] its mirror in a worker's store; [`Inventory`], [`Payments`] and [`Carrier`] are the services, with
//! [`remote`] over HTTP, or the [`sandbox`] that stands in for them; `purchase` is the saga that takes an order to its
//! payment or its end; [`OrderCreatedHandler`], [`OrderPaidHandler`] and [`OrderShippedHandler`] decide; [`order_created`],
//! [`order_paid`] and [`order_shipped`] are the workers around them. [`mod@expiry`], [`mod@analytics`] and
//! [`mod@notifications`] follow orders from the side.

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

mod cancellation;

mod refusal;

mod port;
pub use port::{
    Booking, Carrier, Charge, Inventory, Notice, NoticeKind, Notifier, Payment, Payments, Refund,
    Reservation, ServiceError,
};

pub mod sandbox;
pub use sandbox::Sandbox;

pub mod remote;

mod services;
pub use services::OrderServices;

mod purchase;

mod handler;
pub use handler::{OrderCreatedHandler, OrderPaidHandler, OrderShippedHandler, PurchaseEvent};

pub mod expiry;
pub use expiry::{ExpiryArguments, OrderExpiryDue, OrderExpiryHandler, order_expiry};

pub mod analytics;
pub use analytics::analytics;

pub mod notifications;
pub use notifications::{NotificationArguments, OrderMailDue, notifications};

mod worker;
pub use worker::{order_created, order_paid, order_shipped};
