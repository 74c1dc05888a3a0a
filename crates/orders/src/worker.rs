//! The three order workers, ready to run: as processes of their own, or all in one by `longshore up`.

use longshore::{Correlated, WorkerBuilder};
use longshore_event::Event;

use crate::{
    MIGRATIONS, OrderCancellationRequested, OrderCancelled, OrderCreated, OrderCreatedHandler,
    OrderDelivered, OrderPaid, OrderPaidHandler, OrderServices, OrderShipped, OrderShippedHandler,
};

/// Takes new orders to payment, or cancels them; it alone decides which. It hears of its own payments too: the customer
/// is told once they are true.
pub fn order_created()
-> WorkerBuilder<Correlated<OrderCreatedHandler<OrderServices, OrderServices, OrderServices>>> {
    WorkerBuilder::calling("order-created", |store, client| {
        let services = OrderServices::new(client, store);
        OrderCreatedHandler::new(services.clone(), services.clone(), services, store)
    })
    .about("Reserves the goods of new orders and charges for them, or cancels them")
    .reads(OrderCreated::TOPIC)
    .reads(OrderCancellationRequested::TOPIC)
    .reads(OrderPaid::TOPIC)
    .publishes(OrderPaid::TOPIC)
    .publishes(OrderCancelled::TOPIC)
    .migrations(MIGRATIONS)
}

/// Takes paid orders to shipment.
pub fn order_paid() -> WorkerBuilder<Correlated<OrderPaidHandler<OrderServices>>> {
    WorkerBuilder::calling("order-paid", |store, client| {
        OrderPaidHandler::new(OrderServices::new(client, store), store)
    })
    .about("Books the shipment of paid orders")
    .reads(OrderPaid::TOPIC)
    .publishes(OrderShipped::TOPIC)
    .migrations(MIGRATIONS)
}

/// Takes shipped orders to their end.
pub fn order_shipped() -> WorkerBuilder<OrderShippedHandler> {
    WorkerBuilder::new("order-shipped", OrderShippedHandler::new)
        .about("Records shipped orders and delivers them")
        .reads(OrderShipped::TOPIC)
        .publishes(OrderDelivered::TOPIC)
        .migrations(MIGRATIONS)
}
