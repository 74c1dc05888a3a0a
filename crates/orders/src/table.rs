//! The worker's own record of its orders: the state machine mirrored in SQL, so that no write moves an order back.

use jiff::Timestamp;
use longshore_store::{Migration, SqlStore};
use longshore_worker::{Failure, Statement, sql};

use crate::refusal::failure;
use crate::{Money, OrderState};

/// The tables of the order workers; each worker has all of them in its own store.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        module: "orders",
        version: 1,
        name: "orders",
        sql: "
            create table orders (
                order_id text not null primary key,
                state text not null,
                rank bigint not null,
                user_id text,
                amount bigint,
                currency text,
                reference text,
                created_at bigint,
                changed_at bigint not null
            );
        ",
    },
    crate::sandbox::TABLES,
    longshore_saga::TABLES,
    crate::cancellation::TABLES,
];

/// The orders that a worker has seen.
#[derive(Clone, Debug)]
pub struct OrderTable {
    store: SqlStore,
}

/// A step of an order that is to be recorded. What is `None` keeps the value it has.
#[derive(Clone, Copy, Debug)]
pub struct Advance<'a> {
    /// The order.
    pub order_id: &'a str,
    /// What it has reached.
    pub state: OrderState,
    /// Who placed it.
    pub user_id: Option<&'a str>,
    /// What it costs.
    pub amount: Option<Money>,
    /// What the step is known by: payment id, tracking number or reason of the cancellation.
    pub reference: Option<&'a str>,
    /// When it was placed.
    pub created_at: Option<Timestamp>,
    /// When it was recorded.
    pub at: Timestamp,
}

impl OrderTable {
    /// The orders in `store`, which was opened with [`MIGRATIONS`].
    pub fn new(store: SqlStore) -> Self {
        Self { store }
    }

    /// The state of an order; `None` if it was never seen.
    ///
    /// # Errors
    /// A permanent [`Failure`] if the order's id is nothing the database can look for; otherwise an outage.
    pub async fn state(&self, order_id: &str) -> Result<Option<OrderState>, Failure> {
        let query = sql("select rank from orders where order_id = $1").bind(order_id.to_owned());
        let row = self.store.fetch_optional(&query).await;
        let rank = row.map_err(failure)?.and_then(|row| row.integer(0));
        Ok(rank.and_then(OrderState::from_rank))
    }

    /// Whether an order is known to have come this far already, so that there is nothing left to do.
    ///
    /// # Errors
    /// As [`OrderTable::state`].
    pub async fn has_reached(&self, order_id: &str, state: OrderState) -> Result<bool, Failure> {
        let reached = self.state(order_id).await?;
        Ok(reached.is_some_and(|reached| reached >= state))
    }
}

impl Advance<'_> {
    /// The statement that records the step, unless the order has come further already.
    pub fn statement(&self) -> Statement {
        sql(
            "insert into orders (order_id, state, rank, user_id, amount, currency, reference, created_at, changed_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             on conflict (order_id) do update set
                 state = excluded.state,
                 rank = excluded.rank,
                 user_id = coalesce(excluded.user_id, orders.user_id),
                 amount = coalesce(excluded.amount, orders.amount),
                 currency = coalesce(excluded.currency, orders.currency),
                 reference = coalesce(excluded.reference, orders.reference),
                 created_at = coalesce(excluded.created_at, orders.created_at),
                 changed_at = excluded.changed_at
             where orders.rank < excluded.rank",
        )
        .bind(self.order_id.to_owned())
        .bind(self.state.as_str())
        .bind(self.state.rank())
        .bind(self.user_id.map(str::to_owned))
        .bind(self.amount.map(|money| money.amount))
        .bind(self.amount.map(|money| money.currency.to_string()))
        .bind(self.reference.map(str::to_owned))
        .bind(self.created_at.map(Timestamp::as_millisecond))
        .bind(self.at.as_millisecond())
    }
}
