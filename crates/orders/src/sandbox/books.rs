//! The ledger, added up: whether money and stock balance, for each order and in all.

use longshore_store::{Row, SqlStore};
use longshore_worker::{StoreError, sql};
use serde::{Deserialize, Serialize};

/// Orders told at once.
const MAX_ORDERS: i64 = 1_000;

/// The ledger of a sandbox, to be read.
#[derive(Clone, Debug)]
pub struct Books {
    store: SqlStore,
}

/// All orders together, those in one currency after those in another. What has no amount stands under no currency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// The currency's code.
    pub currency: Option<String>,
    /// The sums.
    #[serde(flatten)]
    pub sums: Sums,
}

/// One order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderBalance {
    /// The order.
    pub order_id: String,
    /// The sums.
    #[serde(flatten)]
    pub sums: Sums,
}

/// What was done, each idempotency key counted once. Amounts are minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sums {
    /// Charges that went through.
    pub charges: i64,
    /// Their sum.
    pub charged: i64,
    /// Refunds.
    pub refunds: i64,
    /// Their sum.
    pub refunded: i64,
    /// Charges less refunds: what was earned.
    pub money: i64,
    /// Reservations that went through.
    pub reservations: i64,
    /// Releases, those of goods that were never reserved among them.
    pub releases: i64,
    /// Reservations less releases: what is set aside or sold.
    pub held: i64,
    /// Shipments.
    pub bookings: i64,
    /// Notices.
    pub notices: i64,
    /// How often all of that was asked for.
    pub calls: i64,
}

impl Books {
    /// The ledger in `store`, which was opened with the sandbox's tables.
    pub fn new(store: &SqlStore) -> Self {
        Self {
            store: store.clone(),
        }
    }

    /// All orders together.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn totals(&self) -> Result<Vec<Totals>, StoreError> {
        let query = format!(
            "select currency, {SUMS} from sandbox_ledger group by currency order by currency"
        );
        let rows = self.store.fetch(&sql(query)).await?;
        let totals = rows.iter().map(|row| Totals {
            currency: row.text(0).map(str::to_owned),
            sums: sums(row),
        });
        Ok(totals.collect())
    }

    /// Each order, by its id, from the one behind `after` on: a thousand at most.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn orders(&self, after: &str) -> Result<Vec<OrderBalance>, StoreError> {
        let query = format!(
            "select order_id, {SUMS} from sandbox_ledger where order_id > $1 group by order_id order by order_id limit $2"
        );
        let query = sql(query).bind(after.to_owned()).bind(MAX_ORDERS);
        let rows = self.store.fetch(&query).await?;
        let orders = rows.iter().filter_map(|row| {
            Some(OrderBalance {
                order_id: row.text(0)?.to_owned(),
                sums: sums(row),
            })
        });
        Ok(orders.collect())
    }
}

/// Sums are numbers without bound in PostgreSQL, so they are cast.
const SUMS: &str = "
    cast(sum(case when outcome = 'charged' then 1 else 0 end) as bigint),
    cast(sum(case when outcome = 'charged' then amount else 0 end) as bigint),
    cast(sum(case when outcome = 'refunded' then 1 else 0 end) as bigint),
    cast(sum(case when outcome = 'refunded' then amount else 0 end) as bigint),
    cast(sum(case when outcome = 'reserved' then 1 else 0 end) as bigint),
    cast(sum(case when outcome = 'released' then 1 else 0 end) as bigint),
    cast(sum(case when outcome = 'booked' then 1 else 0 end) as bigint),
    cast(sum(case when outcome = 'notified' then 1 else 0 end) as bigint),
    cast(sum(calls) as bigint)";

fn sums(row: &Row) -> Sums {
    let at = |column| row.integer(column).unwrap_or(0);
    Sums {
        charges: at(1),
        charged: at(2),
        refunds: at(3),
        refunded: at(4),
        money: at(2) - at(4),
        reservations: at(5),
        releases: at(6),
        held: at(5) - at(6),
        bookings: at(7),
        notices: at(8),
        calls: at(9),
    }
}
