//! A store for a handler, and the events of an order.

use jiff::{SignedDuration, Timestamp};
use longshore::testing::{Decisions, handle, now};
use longshore_event::Event;
use longshore_orders::{
    CancelReason, Currency, Item, Money, OrderCancelled, OrderCreated, OrderDelivered, OrderPaid,
    OrderShipped,
};
use longshore_store::{Migration, SqlStore, StoreUrl};
use longshore_testkit::postgres::Postgres;
use longshore_worker::Handler;
use uuid::Uuid;

/// A worker's store in a directory of its own.
pub(crate) struct Place {
    _dir: tempfile::TempDir,
    pub(crate) store: SqlStore,
}

impl Place {
    pub(crate) async fn open(migrations: &[Migration]) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let url = StoreUrl::sqlite(dir.path().join("worker.db"));
        Self::at(dir, &url, migrations).await
    }

    /// In an empty database of a PostgreSQL server.
    pub(crate) async fn on(postgres: &Postgres, migrations: &[Migration]) -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let name = format!("followers_{}", Uuid::new_v4().simple());
        let url = postgres.create_database(&name).parse().expect("a URL");
        Self::at(dir, &url, migrations).await
    }

    async fn at(dir: tempfile::TempDir, url: &StoreUrl, migrations: &[Migration]) -> Self {
        let store = SqlStore::open(url, "worker", migrations).await;
        Self {
            _dir: dir,
            store: store.expect("store"),
        }
    }

    /// Hands an event to a handler and makes true what it decides.
    pub(crate) async fn hear<H: Handler, E: Event>(&self, handler: &H, event: &E) -> Decisions {
        let decided = handle(handler, event).await.expect("handled");
        for write in decided.writes() {
            self.store.execute(write).await.expect("written");
        }
        decided
    }
}

/// So long after the tests' now; before it, if negative.
pub(crate) fn after(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

/// Two CDs for 29.32 USD, placed so long after the tests' now.
pub(crate) fn created(id: &str, seconds: i64) -> OrderCreated {
    OrderCreated {
        order_id: id.to_owned(),
        user_id: "u-7".to_owned(),
        items: vec![Item {
            sku: "CD-12".to_owned(),
            quantity: 2,
            unit_price: Money::new(1466, Currency::USD),
        }],
        created_at: Some(after(seconds)),
    }
}

pub(crate) fn paid(id: &str, seconds: i64) -> OrderPaid {
    OrderPaid {
        order_id: id.to_owned(),
        payment_id: "p-1".to_owned(),
        amount: Money::new(2932, Currency::USD),
        paid_at: after(seconds),
    }
}

pub(crate) fn shipped(id: &str, seconds: i64) -> OrderShipped {
    OrderShipped {
        order_id: id.to_owned(),
        carrier: "Sandbox Express".to_owned(),
        tracking_number: "SBX1".to_owned(),
        shipped_at: after(seconds),
    }
}

pub(crate) fn delivered(id: &str, seconds: i64) -> OrderDelivered {
    OrderDelivered {
        order_id: id.to_owned(),
        delivered_at: after(seconds),
    }
}

pub(crate) fn cancelled(id: &str, reason: CancelReason, seconds: i64) -> OrderCancelled {
    OrderCancelled {
        order_id: id.to_owned(),
        reason,
        cancelled_at: after(seconds),
    }
}
