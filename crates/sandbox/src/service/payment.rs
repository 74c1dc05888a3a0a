//! The payment service: takes money, and gives it back.

use axum::Json;
use axum::body::Bytes;
use axum::http::HeaderMap;
use longshore_orders::remote::wire::{ChargeAnswer, ChargeRequest, RefundRequest};
use longshore_orders::{Charge, Payment, Payments, Refund};
use serde_json::Value;

use super::{Books, done};
use crate::answer::{Problem, body, key};

pub(super) async fn charge(
    sandbox: Books,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Json<ChargeAnswer>, Problem> {
    let key = key(&headers)?;
    let request: ChargeRequest<'_> = body(&bytes)?;
    let charge = Charge {
        order_id: &request.order_id,
        user_id: &request.user_id,
        amount: request.amount,
        items: &request.items,
    };
    Ok(Json(match sandbox.charge(&key, &charge).await? {
        Payment::Charged { payment_id } => ChargeAnswer::Charged { payment_id },
        Payment::Declined => ChargeAnswer::Declined,
    }))
}

pub(super) async fn refund(
    sandbox: Books,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Json<Value>, Problem> {
    let key = key(&headers)?;
    let request: RefundRequest<'_> = body(&bytes)?;
    let refund = Refund {
        order_id: &request.order_id,
        payment_id: &request.payment_id,
        amount: request.amount,
    };
    sandbox.refund(&key, &refund).await?;
    Ok(Json(done()))
}
