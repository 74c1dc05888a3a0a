//! The handlers of the three order workers: what each decides is one message's worth of effects.

mod created;
mod paid;
mod shipped;

pub use created::{OrderCreatedHandler, PurchaseEvent};
pub use paid::OrderPaidHandler;
pub use shipped::OrderShippedHandler;
