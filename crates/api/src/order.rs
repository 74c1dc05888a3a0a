//! Orders as they were placed through the API: the pending order of a command, which is also what its key stands for.

use jiff::Timestamp;
use longshore_orders::{Currency, Item, Money};
use longshore_store::{Row, SqlStore};
use longshore_worker::{Statement, StoreError, sql};

/// An order as it was placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedOrder {
    /// The order.
    pub order_id: String,
    /// What makes a repeated request the same request.
    pub idempotency_key: String,
    /// Who placed it.
    pub user_id: String,
    /// What was ordered.
    pub items: Vec<Item>,
    /// What it costs.
    pub total: Money,
    /// When.
    pub created_at: Timestamp,
}

const COLUMNS: &str = "order_id, idempotency_key, user_id, items, amount, currency, created_at";

/// The orders in the API's own store.
#[derive(Clone, Debug)]
pub struct OrderTable {
    store: SqlStore,
}

impl OrderTable {
    /// The orders in `store`, which was opened with [`MIGRATIONS`](crate::MIGRATIONS).
    pub fn new(store: SqlStore) -> Self {
        Self { store }
    }

    /// An order that was placed through the API.
    ///
    /// # Errors
    /// The store's.
    pub async fn find(&self, order_id: &str) -> Result<Option<PlacedOrder>, StoreError> {
        self.find_by("order_id", order_id).await
    }

    /// The order that was placed under a key.
    ///
    /// # Errors
    /// The store's.
    pub async fn find_by_key(&self, key: &str) -> Result<Option<PlacedOrder>, StoreError> {
        self.find_by("idempotency_key", key).await
    }

    async fn find_by(
        &self,
        column: &'static str,
        value: &str,
    ) -> Result<Option<PlacedOrder>, StoreError> {
        let text = format!("select {COLUMNS} from orders where {column} = $1");
        let query = sql(text).bind(value.to_owned());
        let row = self.store.fetch_optional(&query).await?;
        Ok(row.and_then(|row| placed(&row)))
    }
}

impl PlacedOrder {
    /// The statement that records it.
    ///
    /// # Errors
    /// Never, unless an item does not serialise.
    pub fn insertion(&self) -> Result<Statement, serde_json::Error> {
        let statement = sql(format!(
            "insert into orders ({COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7)"
        ));
        Ok(statement
            .bind(&self.order_id)
            .bind(&self.idempotency_key)
            .bind(&self.user_id)
            .bind(serde_json::to_string(&self.items)?)
            .bind(self.total.amount)
            .bind(self.total.currency.to_string())
            .bind(self.created_at.as_millisecond()))
    }
}

fn placed(row: &Row) -> Option<PlacedOrder> {
    Some(PlacedOrder {
        order_id: row.text(0)?.to_owned(),
        idempotency_key: row.text(1)?.to_owned(),
        user_id: row.text(2)?.to_owned(),
        items: serde_json::from_str(row.text(3)?).ok()?,
        total: money(row.integer(4), row.text(5))?,
        created_at: Timestamp::from_millisecond(row.integer(6)?).ok()?,
    })
}

/// An amount from its two columns.
pub(crate) fn money(amount: Option<i64>, currency: Option<&str>) -> Option<Money> {
    let currency = Currency::try_from(currency?.to_owned()).ok()?;
    Some(Money::new(amount?, currency))
}
