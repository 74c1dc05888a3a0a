//! Reading the projection, perhaps on a replica.

use jiff::Timestamp;
use longshore_orders::OrderState;
use longshore_store::{Row, SqlStore};
use longshore_worker::{StoreError, sql};

use super::{Order, OrderStatus, TimelineEntry};
use crate::filter::Filter;
use crate::order::money;
use crate::query::{ListOrders, Page};

const COLUMNS: &str = "order_id, rank, user_id, items, amount, currency, payment_id, carrier, tracking_number, \
     cancel_reason, created_at, updated_at";

/// Entries of a timeline that are read: an order has five events, and a few more if somebody published some twice.
const MAX_ENTRIES: i64 = 1_000;

/// The projection as the worker `order-view` has written it.
#[derive(Clone, Debug)]
pub struct OrderView {
    store: SqlStore,
}

impl OrderView {
    /// The projection in `store`, which has [`VIEW_MIGRATIONS`](crate::VIEW_MIGRATIONS).
    pub fn new(store: SqlStore) -> Self {
        Self { store }
    }

    /// Whether it can be read.
    ///
    /// # Errors
    /// The store's.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.store.fetch(&sql("select 1")).await.map(drop)
    }

    /// An order; `None` if no event of it has been heard.
    ///
    /// # Errors
    /// The store's.
    pub async fn find(&self, order_id: &str) -> Result<Option<Order>, StoreError> {
        let query = sql(format!(
            "select {COLUMNS} from order_view where order_id = $1"
        ));
        let row = self
            .store
            .fetch_optional(&query.bind(order_id.to_owned()))
            .await?;
        Ok(row.and_then(|row| order(&row)))
    }

    /// Orders that match, the latest first, and how many there are.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self, list: &ListOrders) -> Result<Page<Order>, StoreError> {
        let status = list.status.map(|status| status.as_str().to_owned());
        let filter = Filter::of([("user_id", list.user_id.clone()), ("status", status)]);
        let (matching, slice) = (filter.text(), filter.slice());
        let page = sql(format!(
            "select {COLUMNS} from order_view {matching} order by created_at desc, order_id desc {slice}"
        ));
        let page = filter.bind(page).bind(list.slice.limit);
        let rows = self.store.fetch(&page.bind(list.slice.offset())).await?;
        let count = sql(format!("select count(*) from order_view {matching}"));
        let total = self.store.fetch_optional(&filter.bind(count)).await?;
        Ok(Page {
            items: rows.iter().filter_map(order).collect(),
            page: list.slice.page,
            limit: list.slice.limit,
            total: total.and_then(|row| row.integer(0)).unwrap_or(0),
        })
    }

    /// What happened to an order, in the order in which it happened.
    ///
    /// # Errors
    /// The store's.
    pub async fn timeline(&self, order_id: &str) -> Result<Vec<TimelineEntry>, StoreError> {
        let query = sql(
            "select event, at, event_id, correlation_id from order_timeline where order_id = $1
             order by at, rank, event_id limit $2",
        );
        let query = query.bind(order_id.to_owned()).bind(MAX_ENTRIES);
        let rows = self.store.fetch(&query).await?;
        Ok(rows.iter().filter_map(entry).collect())
    }
}

fn order(row: &Row) -> Option<Order> {
    let text = |column| row.text(column).map(str::to_owned);
    let state = OrderState::from_rank(row.integer(1)?)?;
    Some(Order {
        order_id: text(0)?,
        status: OrderStatus::from(state),
        user_id: text(2),
        items: row
            .text(3)
            .and_then(|items| serde_json::from_str(items).ok()),
        total: money(row.integer(4), row.text(5)),
        payment_id: text(6),
        carrier: text(7),
        tracking_number: text(8),
        cancel_reason: text(9),
        created_at: Timestamp::from_millisecond(row.integer(10)?).ok()?,
        updated_at: Timestamp::from_millisecond(row.integer(11)?).ok()?,
    })
}

fn entry(row: &Row) -> Option<TimelineEntry> {
    Some(TimelineEntry {
        event: row.text(0)?.to_owned(),
        at: Timestamp::from_millisecond(row.integer(1)?).ok()?,
        event_id: row.text(2)?.to_owned(),
        correlation_id: row.text(3)?.to_owned(),
    })
}
