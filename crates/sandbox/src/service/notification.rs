//! The notification service: tells a user something.

use axum::Json;
use axum::body::Bytes;
use axum::http::HeaderMap;
use longshore_orders::remote::wire::NoticeRequest;
use longshore_orders::{Notice, Notifier};
use serde_json::Value;

use super::{Books, done};
use crate::answer::{Problem, body, key};

pub(super) async fn notify(
    sandbox: Books,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Json<Value>, Problem> {
    let key = key(&headers)?;
    let request: NoticeRequest<'_> = body(&bytes)?;
    let notice = Notice {
        order_id: &request.order_id,
        user_id: &request.user_id,
        kind: request.kind,
    };
    sandbox.notify(&key, &notice).await?;
    Ok(Json(done()))
}
