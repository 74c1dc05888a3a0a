//! Orders and revenue by day, for reports: kept by the jobs' worker from the events it reads, each counted once.

use std::collections::BTreeMap;

use jiff::Timestamp;
use longshore_store::{Migration, SqlStore};
use longshore_worker::{Failure, Statement, StoreError, sql};

use crate::{Money, OrderEvent};

/// Where reports have their figures from.
pub trait OrderFigures: Send + Sync + 'static {
    /// What happened in a period, by UTC day and currency; days on which nothing happened are left out.
    ///
    /// # Errors
    /// [`StoreError`], or whatever stands in for it.
    fn by_day(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Future<Output = Result<Vec<DayFigures>, Failure>> + Send;
}

/// One day in one currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayFigures {
    /// Where the day begins, UTC.
    pub day: Timestamp,
    /// The currency.
    pub currency: String,
    /// Orders that were placed.
    pub created: i64,
    /// Orders that were paid.
    pub paid: i64,
    /// Orders that came to nothing.
    pub cancelled: i64,
    /// What was paid, in minor units.
    pub revenue: i64,
}

/// Times are microseconds since 1970, amounts are minor units.
pub(crate) const TABLES: Migration = Migration {
    module: "orders.report",
    version: 1,
    name: "orders for reports",
    sql: "
        create table report_orders (
            order_id text not null primary key,
            currency text,
            amount bigint,
            created_at bigint,
            paid_at bigint,
            cancelled_at bigint
        );
        create index report_orders_created on report_orders (created_at);
        create index report_orders_paid on report_orders (paid_at);
        create index report_orders_cancelled on report_orders (cancelled_at);
    ",
};

/// The figures in the store of the jobs' worker.
#[derive(Clone, Debug)]
pub struct ReportTable(SqlStore);

/// Amounts are summed in two halves, above this and below: a database refuses sums that are no `bigint`, and whoever places
/// orders could see to it that they are not.
const HIGH: i64 = 1_000_000_000;

const DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// An order that was cancelled before its `order.created` was read has no currency yet.
const UNKNOWN_CURRENCY: &str = "";

impl ReportTable {
    /// The figures in `store`, which was opened with the tables of the jobs' worker.
    pub fn new(store: SqlStore) -> Self {
        Self(store)
    }

    /// What an event adds. Events of an order may come in any order, since they come from several topics; `None` if it
    /// says nothing to a report.
    pub(crate) fn statement(event: &OrderEvent, said_at: Timestamp) -> Option<Statement> {
        let (column, at, amount) = match event {
            OrderEvent::Created(event) => {
                let at = event.created_at.unwrap_or(said_at);
                ("created_at", at, event.total().ok())
            }
            OrderEvent::Paid(event) => ("paid_at", event.paid_at, Some(event.amount)),
            OrderEvent::Cancelled(event) => ("cancelled_at", event.cancelled_at, None),
            OrderEvent::Shipped(_) | OrderEvent::Delivered(_) => return None,
        };
        let statement = sql(format!(
            "insert into report_orders (order_id, {column}, currency, amount) values ($1, $2, $3, $4) \
             on conflict (order_id) do update set {column} = coalesce(report_orders.{column}, excluded.{column}), \
             currency = coalesce(report_orders.currency, excluded.currency), \
             amount = coalesce(report_orders.amount, excluded.amount)"
        ))
        .bind(event.order_id().to_owned())
        .bind(at.as_microsecond())
        .bind(amount.map(|amount: Money| amount.currency.to_string()))
        .bind(amount.map(|amount| amount.amount));
        Some(statement)
    }

    async fn count(
        &self,
        column: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(i64, String, i64, i64)>, StoreError> {
        let count = sql(format!(
            "select {column} / {DAY}, currency, count(*), cast(sum(coalesce(amount, 0) / {HIGH}) as bigint), \
             cast(sum(coalesce(amount, 0) % {HIGH}) as bigint) from report_orders \
             where {column} >= $1 and {column} < $2 group by {column} / {DAY}, currency"
        ))
        .bind(from.as_microsecond())
        .bind(to.as_microsecond());
        let rows = self.0.fetch(&count).await?;
        let row = |row: &longshore_store::Row| {
            let currency = row.text(1).unwrap_or(UNKNOWN_CURRENCY).to_owned();
            let amount = sum(row.integer(3)?, row.integer(4)?);
            Some((row.integer(0)?, currency, row.integer(2)?, amount))
        };
        Ok(rows.iter().filter_map(row).collect())
    }
}

/// A sum of its halves, as far as it can be told.
fn sum(high: i64, low: i64) -> i64 {
    high.saturating_mul(HIGH).saturating_add(low)
}

impl OrderFigures for ReportTable {
    async fn by_day(&self, from: Timestamp, to: Timestamp) -> Result<Vec<DayFigures>, Failure> {
        let mut days: BTreeMap<(i64, String), DayFigures> = BTreeMap::new();
        for column in ["created_at", "paid_at", "cancelled_at"] {
            for (day, currency, orders, amount) in self.count(column, from, to).await? {
                let key = (day, currency.clone());
                let figures = days.entry(key).or_insert_with(|| DayFigures {
                    day: Timestamp::from_microsecond(day * DAY).unwrap_or_default(),
                    currency,
                    created: 0,
                    paid: 0,
                    cancelled: 0,
                    revenue: 0,
                });
                match column {
                    "created_at" => figures.created += orders,
                    "paid_at" => {
                        figures.paid += orders;
                        figures.revenue = figures.revenue.saturating_add(amount);
                    }
                    _ => figures.cancelled += orders,
                }
            }
        }
        Ok(days.into_values().collect())
    }
}

#[cfg(test)]
mod tests {
    use longshore_store::StoreUrl;

    use super::*;
    use crate::{Currency, OrderPaid};

    #[tokio::test]
    async fn sums_beyond_all_bounds_are_told_as_far_as_they_can_be() {
        let directory = tempfile::tempdir().expect("a directory");
        let url = StoreUrl::sqlite(directory.path().join("figures.db"));
        let store = SqlStore::open(&url, "jobs", &[TABLES])
            .await
            .expect("opens");
        let midnight = Timestamp::UNIX_EPOCH;
        for (order_id, amount, hour) in [
            ("o-1", i64::MAX, 1),
            ("o-2", i64::MAX - 7, 2),
            ("o-3", 7, 30),
        ] {
            let paid = OrderEvent::Paid(OrderPaid {
                order_id: order_id.to_owned(),
                payment_id: "p".to_owned(),
                amount: Money::new(amount, Currency::EUR),
                paid_at: midnight + jiff::SignedDuration::from_hours(hour),
            });
            let statement = ReportTable::statement(&paid, midnight).expect("it counts");
            store.execute(&statement).await.expect("written");
        }

        let end = midnight + jiff::SignedDuration::from_hours(48);
        let days = ReportTable::new(store).by_day(midnight, end).await;
        let days = days.expect("summed");
        let figures: Vec<_> = days.iter().map(|day| (day.paid, day.revenue)).collect();
        assert_eq!(figures, [(2, i64::MAX), (1, 7)]);
    }
}
