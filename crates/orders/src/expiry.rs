//! Order expiry: an order that is not paid in time is asked to be cancelled, by a timer that outlives the process.
//!
//! Reading order: [`ExpiryEvent`] is what the worker hears, [`OrderExpiryDue`] among it, which is its own timer;
//! [`OrderExpiryHandler`] decides; [`order_expiry()`] is the worker, and [`ExpiryArguments`] are its own flags.

mod event;
pub use event::{ExpiryEvent, OrderExpiryDue};

mod handler;
pub use handler::OrderExpiryHandler;

mod arguments;
pub use arguments::ExpiryArguments;

use longshore::WorkerBuilder;
use longshore_event::Event;

use crate::{MIGRATIONS, OrderCancellationRequested, OrderCancelled, OrderCreated, OrderPaid};

/// Asks to cancel what is not paid in time.
pub fn order_expiry(arguments: ExpiryArguments) -> WorkerBuilder<OrderExpiryHandler> {
    let ExpiryArguments { expire_after } = arguments;
    WorkerBuilder::new("order-expiry", move |store| {
        OrderExpiryHandler::new(store, expire_after)
    })
    .about("Asks to cancel orders that are not paid in time")
    .reads(OrderCreated::TOPIC)
    .reads(OrderPaid::TOPIC)
    .reads(OrderCancelled::TOPIC)
    .reads(OrderExpiryDue::TOPIC)
    .publishes(OrderExpiryDue::TOPIC)
    .publishes(OrderCancellationRequested::TOPIC)
    .migrations(MIGRATIONS)
}
