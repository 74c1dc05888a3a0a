//! The services; [`all`] is their table of contents.

mod carrier;
mod notification;
mod payment;
mod product;

use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use longshore_orders::Sandbox;
use longshore_services::Service;
use serde_json::{Value, json};

use crate::faults::{self, Gate};
use crate::knobs::Knobs;

/// What the services answer from.
type Books = State<Sandbox>;

pub(crate) fn all(sandbox: &Sandbox, knobs: &Knobs) -> Router {
    let product = Router::new()
        .route("/reservations", post(product::reserve))
        .route("/releases", post(product::release));
    let payment = Router::new()
        .route("/charges", post(payment::charge))
        .route("/refunds", post(payment::refund));
    let notification = Router::new().route("/notices", post(notification::notify));
    let carrier = Router::new().route("/bookings", post(carrier::book));
    let gated = |service, routes: Router<Sandbox>| {
        let gate = Gate {
            service,
            knobs: knobs.clone(),
        };
        let health = get(faults::health).with_state(gate.clone());
        routes
            .layer(from_fn_with_state(gate, faults::pass))
            .with_state(sandbox.clone())
            .route("/healthz", health)
    };
    Router::new()
        .nest("/product", gated(Service::Product, product))
        .nest("/payment", gated(Service::Payment, payment))
        .nest("/notification", gated(Service::Notification, notification))
        .nest("/carrier", gated(Service::Carrier, carrier))
}

/// The answer where there is nothing to say.
fn done() -> Value {
    json!({})
}
