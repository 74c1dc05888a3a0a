//! `GET /ledger/summary`: what was done, added up.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use longshore_orders::sandbox::Books;
use longshore_worker::StoreError;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::Problem;

#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    /// The last order of the page before.
    #[serde(default)]
    after: String,
}

/// Totals for each currency, and a page of orders.
pub(crate) async fn summary(
    State(books): State<Books>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Problem> {
    let totals = books.totals().await.map_err(unreadable)?;
    let orders = books.orders(&page.after).await.map_err(unreadable)?;
    Ok(Json(json!({ "totals": totals, "orders": orders })))
}

fn unreadable(error: StoreError) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "The ledger cannot be read",
        error.to_string(),
    )
}
