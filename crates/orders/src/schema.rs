//! JSON Schemas of the events, generated from their Rust types; `topics/schemas/` holds them as files.

use longshore_event::Event;
use longshore_jobs::{JobCompleted, JobFailed, NewJob};
use schemars::{JsonSchema, schema_for};
use serde_json::Value;

use crate::job::{ChargeOrder, Email, SalesReport};
use crate::{
    OrderCancellationRequested, OrderCancelled, OrderCreated, OrderDelivered, OrderPaid,
    OrderShipped, UserCreated, UserDeleted, UserUpdated,
};

/// Every event's type with the JSON Schema (draft 2020-12) of its value.
pub fn schemas() -> [(&'static str, Value); 14] {
    [
        schema::<OrderCreated>(),
        schema::<OrderPaid>(),
        schema::<OrderShipped>(),
        schema::<OrderDelivered>(),
        schema::<OrderCancelled>(),
        schema::<OrderCancellationRequested>(),
        schema::<UserCreated>(),
        schema::<UserUpdated>(),
        schema::<UserDeleted>(),
        schema::<NewJob<Email>>(),
        schema::<NewJob<ChargeOrder>>(),
        schema::<NewJob<SalesReport>>(),
        schema::<JobCompleted>(),
        schema::<JobFailed>(),
    ]
}

fn schema<E: Event + JsonSchema>() -> (&'static str, Value) {
    (E::TYPE, schema_for!(E).to_value())
}
