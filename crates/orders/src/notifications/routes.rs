//! What has become of the mails, over HTTP: `/notifications`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use longshore_store::SqlStore;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::book::Book;

/// Mails of one kind in one state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailCount {
    /// `confirmation`, `paid`, `shipped`, `delivered` or `cancelled`.
    pub kind: String,
    /// `queued`: a job sends it. `waiting`: whom it is for is not known yet. Skipped are `no_order` and `no_user`, which nobody
    /// told of in time, and `user_gone`.
    pub state: String,
    /// How many.
    pub mails: i64,
}

pub(super) fn routes(store: &SqlStore) -> Router {
    Router::new()
        .route("/notifications", get(counts))
        .with_state(Book::new(store))
}

async fn counts(State(book): State<Book>) -> Response {
    match book.counts().await {
        Ok(counts) => {
            let counts = counts.into_iter();
            let counts = counts.map(|(kind, state, mails)| MailCount { kind, state, mails });
            Json(counts.collect::<Vec<_>>()).into_response()
        }
        Err(error) => {
            warn!(
                error = &error as &dyn std::error::Error,
                "mails cannot be counted"
            );
            (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
        }
    }
}
