//! Cancellations that were asked for: kept until the order's own message decides, which may come later.

use longshore_store::{Migration, SqlStore};
use longshore_worker::{Failure, Statement, sql};

use crate::refusal::failure;
use crate::{CancelReason, OrderCancellationRequested, OrderState};

/// `order_cancellations`: times in milliseconds since 1970.
pub(crate) const TABLES: Migration = Migration {
    module: "orders",
    version: 2,
    name: "cancellations",
    sql: "
        create table order_cancellations (
            order_id text not null primary key,
            reason text not null,
            requested_at bigint not null
        );
    ",
};

/// What is known of an order before it is decided on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// What it has reached; `None` if it has not been decided on.
    pub(crate) state: Option<OrderState>,
    /// Why it is to be cancelled, if somebody has asked for it.
    pub(crate) cancellation: Option<CancelReason>,
}

impl Standing {
    /// Whether it is paid or cancelled, which stays as it is.
    pub(crate) fn is_decided(&self) -> bool {
        self.state.is_some_and(|state| state >= OrderState::Paid)
    }
}

/// The cancellations that this worker has heard of.
#[derive(Clone, Debug)]
pub(crate) struct Cancellations {
    store: SqlStore,
}

impl Cancellations {
    /// Those in `store`, which was opened with [`MIGRATIONS`](crate::MIGRATIONS).
    pub(crate) fn new(store: SqlStore) -> Self {
        Self { store }
    }

    /// What is known of an order.
    ///
    /// # Errors
    /// A permanent [`Failure`] if the order's id is nothing the database can look for; otherwise an outage.
    pub(crate) async fn standing(&self, order_id: &str) -> Result<Standing, Failure> {
        let query = sql("select (select rank from orders where order_id = $1),
                    (select reason from order_cancellations where order_id = $1)")
        .bind(order_id.to_owned());
        let row = self.store.fetch_optional(&query).await.map_err(failure)?;
        let rank = row.as_ref().and_then(|row| row.integer(0));
        let reason = row.as_ref().and_then(|row| row.text(1));
        Ok(Standing {
            state: rank.and_then(OrderState::from_rank),
            cancellation: reason.and_then(CancelReason::parse),
        })
    }
}

/// The statement that remembers a request. The first one of an order counts.
pub(crate) fn remember(request: &OrderCancellationRequested) -> Statement {
    sql(
        "insert into order_cancellations (order_id, reason, requested_at) values ($1, $2, $3)
         on conflict (order_id) do nothing",
    )
    .bind(&request.order_id)
    .bind(request.reason.as_str())
    .bind(request.requested_at.as_millisecond())
}
