//! The product service: sets goods aside, and frees them.

use axum::Json;
use axum::body::Bytes;
use axum::http::HeaderMap;
use longshore_orders::remote::wire::{ReleaseRequest, ReservationAnswer, ReservationRequest};
use longshore_orders::{Inventory, Reservation};
use serde_json::Value;

use super::{Books, done};
use crate::answer::{Problem, body, key};

pub(super) async fn reserve(
    sandbox: Books,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Json<ReservationAnswer>, Problem> {
    let key = key(&headers)?;
    let request: ReservationRequest<'_> = body(&bytes)?;
    let reserved = sandbox.reserve(&key, &request.order_id, &request.items);
    Ok(Json(match reserved.await? {
        Reservation::Reserved => ReservationAnswer::Reserved,
        Reservation::SoldOut => ReservationAnswer::SoldOut,
    }))
}

pub(super) async fn release(
    sandbox: Books,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Json<Value>, Problem> {
    let key = key(&headers)?;
    let request: ReleaseRequest<'_> = body(&bytes)?;
    sandbox.release(&key, &request.order_id).await?;
    Ok(Json(done()))
}
