//! The carrier: books shipments.

use axum::Json;
use axum::body::Bytes;
use axum::http::HeaderMap;
use longshore_orders::remote::wire::{BookingAnswer, BookingRequest};
use longshore_orders::{Booking, Carrier};

use super::Books;
use crate::answer::{Problem, body, key};

pub(super) async fn book(
    sandbox: Books,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Json<BookingAnswer>, Problem> {
    let key = key(&headers)?;
    let request: BookingRequest<'_> = body(&bytes)?;
    let Booking {
        carrier,
        tracking_number,
    } = sandbox.book(&key, &request.order_id).await?;
    Ok(Json(BookingAnswer {
        carrier,
        tracking_number,
    }))
}
