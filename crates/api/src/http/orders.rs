//! `/orders`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use longshore_orders::{CancelReason, Currency, Item, Money};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Server;
use super::body::{Check, PLAIN, Valid, Validate, is_plain};
use super::endpoint::Endpoint;
use super::operation::Operation;
use super::origin::RequestOrigin;
use super::parameters::{IDEMPOTENCY_KEY, Id, IdempotencyKey, MAX_ID, MAX_KEY, Parameters};
use super::problem::{Kind, Problem};
use super::users::paged;
use crate::command::{CancelOrder, CreateOrder};
use crate::query::{GetOrder, GetTimeline, ListOrders, Page};
use crate::{Order, OrderStatus, TimelineEntry};

const MAX_ITEMS: usize = 100;
const MAX_SKU: usize = 100;
const MAX_QUANTITY: u32 = 10_000;
/// With the bounds on items and quantities, no sum of these is too large for 64 bits.
const MAX_PRICE: i64 = 100_000_000_000;

/// What is ordered, and by whom.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewOrder {
    /// Who orders. Users may be of another system, so nobody looks for this one here.
    #[schemars(
        length(min = 1, max = 200),
        regex(pattern = PLAIN)
    )]
    user_id: String,
    /// What is ordered; all in one currency.
    #[schemars(length(min = 1, max = 100))]
    items: Vec<NewItem>,
}

/// A line of an order.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewItem {
    /// The stock keeping unit.
    #[schemars(
        length(min = 1, max = 100),
        regex(pattern = PLAIN)
    )]
    sku: String,
    /// How many.
    #[schemars(range(min = 1, max = 10_000))]
    quantity: u32,
    /// The price of one.
    unit_price: Price,
}

/// A price in the minor unit of its currency.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Price {
    /// Minor units; zero is allowed.
    #[schemars(range(min = 0, max = 100_000_000_000_i64))]
    amount: i64,
    /// The currency's ISO 4217 code.
    currency: Currency,
}

impl Validate for NewOrder {
    fn validate(&self, check: &mut Check) {
        check.text(&self.user_id, MAX_ID, "/userId");
        let detail = format!("must have 1 to {MAX_ITEMS} items");
        check.that(
            (1..=MAX_ITEMS).contains(&self.items.len()),
            "/items",
            &detail,
        );
        for (index, item) in self.items.iter().enumerate() {
            let at = |field: &str| format!("/items/{index}/{field}");
            check.text(&item.sku, MAX_SKU, &at("sku"));
            let detail = format!("must be 1 to {MAX_QUANTITY}");
            check.that(
                (1..=MAX_QUANTITY).contains(&item.quantity),
                &at("quantity"),
                &detail,
            );
            let detail = format!("must be 0 to {MAX_PRICE}");
            let fits = (0..=MAX_PRICE).contains(&item.unit_price.amount);
            check.that(fits, &at("unitPrice/amount"), &detail);
        }
    }
}

impl From<NewItem> for Item {
    fn from(item: NewItem) -> Self {
        Self {
            sku: item.sku,
            quantity: item.quantity,
            unit_price: Money::new(item.unit_price.amount, item.unit_price.currency),
        }
    }
}

/// What happened to an order.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Timeline {
    /// The order.
    order_id: String,
    /// Its events, in the order in which they happened.
    events: Vec<TimelineEntry>,
}

/// A cancellation that was asked for. The order's timeline will tell what comes of it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CancellationRequested {
    /// The order.
    order_id: String,
    /// The reason that the order's cancellation will bear.
    reason: CancelReason,
}

pub(super) fn endpoints() -> Vec<Endpoint> {
    let operation = |id, summary| Operation::new("orders", id, summary);
    let statuses = OrderStatus::ALL.map(OrderStatus::as_str);
    vec![
        Endpoint::post(
            "/orders",
            create,
            operation("createOrder", "Places an order")
                .header(
                    IDEMPOTENCY_KEY,
                    "With the same key and body the answer is the same, and there is one order",
                    json!({"type": "string", "minLength": 1, "maxLength": MAX_KEY, "pattern": "^[!-~]+$"}),
                )
                .takes::<NewOrder>()
                .answers::<Order>(StatusCode::CREATED, "The order, pending")
                .leads_to(&[
                    ("getOrder", "orderId"),
                    ("getTimeline", "orderId"),
                    ("cancelOrder", "orderId"),
                ])
                .fails(&[Kind::KeyReused]),
        ),
        Endpoint::get(
            "/orders",
            list,
            paged(operation("listOrders", "Orders, the latest first, as far as their events have been heard"))
                .query("userId", "Those of this user only", json!({"type": "string", "maxLength": MAX_ID, "pattern": PLAIN}))
                .query("status", "Those that have come this far", json!({"type": "string", "enum": statuses}))
                .answers::<Page<Order>>(StatusCode::OK, "A page of orders"),
        ),
        Endpoint::get(
            "/orders/{orderId}",
            find,
            operation("getOrder", "An order")
                .id("orderId")
                .answers::<Order>(StatusCode::OK, "The order"),
        ),
        Endpoint::get(
            "/orders/{orderId}/timeline",
            timeline,
            operation("getTimeline", "What happened to an order, and when")
                .id("orderId")
                .answers::<Timeline>(StatusCode::OK, "The order's events"),
        ),
        Endpoint::post(
            "/orders/{orderId}/cancellation",
            cancel,
            operation("cancelOrder", "Asks for an order to be cancelled; one that is paid cannot be")
                .id("orderId")
                .answers::<CancellationRequested>(StatusCode::ACCEPTED, "It is asked for")
                .fails(&[Kind::TooLate]),
        ),
    ]
}

async fn create(
    State(server): State<Arc<Server>>,
    RequestOrigin(origin): RequestOrigin,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    Valid(body): Valid<NewOrder>,
) -> Result<Response, Problem> {
    let command = CreateOrder {
        idempotency_key,
        user_id: body.user_id,
        items: body.items.into_iter().map(Item::from).collect(),
    };
    let order = Order::from(server.commands.send(command, &origin).await?);
    let location = format!("/orders/{}", order.order_id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(order),
    )
        .into_response())
}

async fn list(
    State(server): State<Arc<Server>>,
    mut parameters: Parameters,
) -> Result<Json<Page<Order>>, Problem> {
    let query = ListOrders {
        slice: parameters.slice(),
        user_id: parameters.read("userId", |text| {
            let length = text.chars().count();
            match (1..=MAX_ID).contains(&length) && is_plain(text) {
                true => Ok(text.to_owned()),
                false => Err(format!(
                    "must have 1 to {MAX_ID} characters, none of them a control character"
                )),
            }
        }),
        status: parameters.read("status", |text| {
            let status = OrderStatus::ALL
                .into_iter()
                .find(|status| status.as_str() == text);
            status.ok_or_else(|| "must be a status of an order".to_owned())
        }),
    };
    parameters.finish()?;
    Ok(Json(server.queries.ask(query).await?))
}

async fn find(State(server): State<Arc<Server>>, Id(order_id): Id) -> Result<Json<Order>, Problem> {
    let query = GetOrder {
        order_id: order_id.clone(),
    };
    let order = server.queries.ask(query).await?;
    order
        .map(Json)
        .ok_or_else(|| Problem::not_found("order", &order_id))
}

async fn timeline(
    State(server): State<Arc<Server>>,
    Id(order_id): Id,
) -> Result<Json<Timeline>, Problem> {
    let query = GetTimeline {
        order_id: order_id.clone(),
    };
    match server.queries.ask(query).await? {
        Some(events) => Ok(Json(Timeline { order_id, events })),
        None => Err(Problem::not_found("order", &order_id)),
    }
}

async fn cancel(
    State(server): State<Arc<Server>>,
    RequestOrigin(origin): RequestOrigin,
    Id(order_id): Id,
) -> Result<(StatusCode, Json<CancellationRequested>), Problem> {
    let command = CancelOrder {
        order_id: order_id.clone(),
    };
    server.commands.send(command, &origin).await?;
    let requested = CancellationRequested {
        order_id,
        reason: CancelReason::CustomerRequest,
    };
    Ok((StatusCode::ACCEPTED, Json(requested)))
}
