//! The handlers, called directly: what they decide, and what the sandbox's ledger says of it. No broker.

use futures_util::future::join_all;
use longshore::testing::{handle, now};
use longshore_event::ErrorKind;
use longshore_orders::sandbox::{DECLINED, FLAKY, POISON, SOLD_OUT};
use longshore_orders::{
    CancelReason, Currency, Item, MIGRATIONS, Money, OrderCancelled, OrderCreated,
    OrderCreatedHandler, OrderDelivered, OrderPaid, OrderPaidHandler, OrderShipped,
    OrderShippedHandler,
};
use longshore_store::{SqlStore, StoreUrl};
use longshore_worker::{Statement, sql};

/// A worker's store in a directory of its own.
struct Shop {
    dir: tempfile::TempDir,
    store: SqlStore,
}

impl Shop {
    async fn open() -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let store = open(&dir).await;
        Self { dir, store }
    }

    /// As a crash leaves it and a new process finds it.
    async fn restart(self) -> Self {
        let Self { dir, store } = self;
        drop(store);
        // The ledger's task lets go of the file as soon as it notices that nobody is left.
        for _ in 0..1000 {
            let url = StoreUrl::sqlite(dir.path().join("orders.db"));
            if let Ok(store) = SqlStore::open(&url, "orders", MIGRATIONS).await {
                return Self { dir, store };
            }
            tokio::task::yield_now().await;
        }
        panic!("the store is still in use");
    }

    /// Makes true what a handler decided.
    async fn commit(&self, writes: &[Statement]) {
        for write in writes {
            self.store.execute(write).await.expect("written");
        }
    }

    /// `kind outcome amount calls` of an order's entries.
    async fn ledger(&self, order_id: &str) -> Vec<String> {
        let query = sql(
            "select kind, outcome, amount, calls from sandbox_ledger where order_id = $1 order by kind",
        )
        .bind(order_id.to_owned());
        let rows = self.store.fetch(&query).await.expect("ledger");
        rows.iter()
            .map(|row| {
                let amount = row
                    .integer(2)
                    .map_or("-".into(), |amount| amount.to_string());
                let (kind, outcome) = (row.text(0).expect("kind"), row.text(1).expect("outcome"));
                format!(
                    "{kind} {outcome} {amount} {}",
                    row.integer(3).expect("calls")
                )
            })
            .collect()
    }

    async fn state(&self, order_id: &str) -> Option<String> {
        let query = sql("select state from orders where order_id = $1").bind(order_id.to_owned());
        let row = self.store.fetch_optional(&query).await.expect("state")?;
        row.text(0).map(str::to_owned)
    }
}

async fn open(dir: &tempfile::TempDir) -> SqlStore {
    let url = StoreUrl::sqlite(dir.path().join("orders.db"));
    SqlStore::open(&url, "orders", MIGRATIONS)
        .await
        .expect("store")
}

fn order(id: &str, sku: &str) -> OrderCreated {
    OrderCreated {
        order_id: id.into(),
        user_id: "u-7".into(),
        items: vec![Item {
            sku: sku.into(),
            quantity: 2,
            unit_price: Money::new(1466, Currency::USD),
        }],
        created_at: None,
    }
}

#[tokio::test]
async fn an_order_is_reserved_charged_and_paid() {
    let shop = Shop::open().await;
    let handler = OrderCreatedHandler::sandbox(&shop.store);

    let decided = handle(&handler, &order("o-1", "CD-12"))
        .await
        .expect("paid");

    let paid: OrderPaid = decided.the_only();
    assert_eq!(paid.amount, Money::new(2932, Currency::USD));
    assert_eq!(paid.paid_at, now());
    assert_eq!(
        shop.ledger("o-1").await,
        ["charge charged 2932 1", "reservation reserved - 1"]
    );
    assert_eq!(
        shop.state("o-1").await,
        None,
        "nothing is true before the commit"
    );
    shop.commit(decided.writes()).await;
    assert_eq!(shop.state("o-1").await.as_deref(), Some("paid"));
}

#[tokio::test]
async fn a_crash_before_the_commit_charges_once_and_pays_the_same() {
    let mut shop = Shop::open().await;
    let handler = OrderCreatedHandler::sandbox(&shop.store);
    let first: OrderPaid = handle(&handler, &order("o-1", "CD-12"))
        .await
        .expect("paid")
        .the_only();

    drop(handler);
    shop = shop.restart().await;
    let handler = OrderCreatedHandler::sandbox(&shop.store);
    let again: OrderPaid = handle(&handler, &order("o-1", "CD-12"))
        .await
        .expect("paid")
        .the_only();

    assert_eq!(again, first);
    assert_eq!(
        shop.ledger("o-1").await,
        ["charge charged 2932 1", "reservation reserved - 1"],
        "what was recorded is not asked for again"
    );
}

#[tokio::test]
async fn a_second_event_for_an_order_that_is_paid_does_nothing() {
    let shop = Shop::open().await;
    let handler = OrderCreatedHandler::sandbox(&shop.store);
    let first = handle(&handler, &order("o-1", "CD-12"))
        .await
        .expect("paid");
    shop.commit(first.writes()).await;

    let second = handle(&handler, &order("o-1", "CD-99"))
        .await
        .expect("nothing");

    assert!(second.records().is_empty() && second.writes().is_empty());
    assert_eq!(
        shop.ledger("o-1").await,
        ["charge charged 2932 1", "reservation reserved - 1"]
    );
}

#[tokio::test]
async fn sold_out_cancels_without_a_charge() {
    let shop = Shop::open().await;
    let handler = OrderCreatedHandler::sandbox(&shop.store);

    let decided = handle(&handler, &order("o-1", SOLD_OUT))
        .await
        .expect("cancelled");

    assert_eq!(
        decided.the_only::<OrderCancelled>().reason,
        CancelReason::SoldOut
    );
    assert_eq!(shop.ledger("o-1").await, ["reservation sold_out - 1"]);
    shop.commit(decided.writes()).await;
    assert_eq!(shop.state("o-1").await.as_deref(), Some("cancelled"));
}

#[tokio::test]
async fn a_declined_charge_releases_the_reservation_and_cancels() {
    let shop = Shop::open().await;
    let handler = OrderCreatedHandler::sandbox(&shop.store);

    let decided = handle(&handler, &order("o-1", DECLINED))
        .await
        .expect("cancelled");

    assert_eq!(
        decided.the_only::<OrderCancelled>().reason,
        CancelReason::PaymentDeclined
    );
    assert_eq!(
        shop.ledger("o-1").await,
        [
            "charge declined 2932 1",
            "release released - 1",
            "reservation reserved - 1"
        ]
    );
}

#[tokio::test]
async fn a_flaky_charge_works_the_third_time_across_a_restart() {
    let mut shop = Shop::open().await;
    let handler = OrderCreatedHandler::sandbox(&shop.store);
    let failure = handle(&handler, &order("o-1", FLAKY))
        .await
        .expect_err("fails");
    assert_eq!(failure.kind(), ErrorKind::Transient);
    drop(handler);

    shop = shop.restart().await;
    let handler = OrderCreatedHandler::sandbox(&shop.store);
    let failure = handle(&handler, &order("o-1", FLAKY))
        .await
        .expect_err("fails");
    assert_eq!(failure.kind(), ErrorKind::Transient);
    let decided = handle(&handler, &order("o-1", FLAKY)).await.expect("paid");

    decided.the_only::<OrderPaid>();
    assert_eq!(
        shop.ledger("o-1").await,
        ["charge charged 2932 1", "reservation reserved - 1"]
    );
}

#[tokio::test]
async fn poison_fails_for_good_and_leaves_nothing() {
    let shop = Shop::open().await;
    let handler = OrderCreatedHandler::sandbox(&shop.store);

    let failure = handle(&handler, &order("o-1", POISON))
        .await
        .expect_err("fails");

    assert_eq!(failure.kind(), ErrorKind::Permanent);
    assert!(
        failure.message().contains("TEST-POISON is in no catalogue"),
        "{failure:?}"
    );
    assert!(shop.ledger("o-1").await.is_empty());
}

#[tokio::test]
async fn orders_that_come_together_are_charged_once_each() {
    let shop = Shop::open().await;
    let handler = OrderCreatedHandler::sandbox(&shop.store);
    // Each twice at once, as no runtime does it, to meet in one batch of the ledger.
    let orders: Vec<_> = (0..200)
        .map(|n| order(&format!("o-{}", n / 2), "CD-12"))
        .collect();

    let decided = join_all(orders.iter().map(|order| handle(&handler, order))).await;

    // Of two runs of one order, at most one is behind the other, and comes again.
    for (order, decided) in orders.iter().zip(decided) {
        if let Err(failure) = decided {
            assert_eq!(failure.kind(), ErrorKind::Transient, "{failure:?}");
            handle(&handler, order).await.expect("paid");
        }
    }
    let charges = sql(
        "select count(*), count(distinct order_id) from sandbox_ledger where outcome = 'charged'",
    );
    let row = shop
        .store
        .fetch_optional(&charges)
        .await
        .expect("ledger")
        .expect("row");
    assert_eq!(
        [0, 1].map(|column| row.integer(column)),
        [Some(100), Some(100)]
    );
}

#[tokio::test]
async fn an_order_that_the_ledger_cannot_hold_harms_no_other() {
    let shop = Shop::open().await;
    let refuse = "create trigger refuse before insert on sandbox_ledger when new.order_id = 'o-13'
         begin select raise(abort, 'unlucky'); end";
    shop.store.execute(&sql(refuse)).await.expect("trigger");
    let handler = OrderCreatedHandler::sandbox(&shop.store);
    let orders: Vec<_> = (0..40).map(|n| order(&format!("o-{n}"), "CD-12")).collect();

    let decided = join_all(orders.iter().map(|order| handle(&handler, order))).await;

    for (order, decided) in orders.iter().zip(decided) {
        let kind = decided.err().map(|failure| failure.kind());
        let expected = (order.order_id == "o-13").then_some(ErrorKind::Permanent);
        assert_eq!(kind, expected, "{}", order.order_id);
    }
}

#[tokio::test]
async fn a_paid_order_is_booked_once_and_shipped() {
    let shop = Shop::open().await;
    let handler = OrderPaidHandler::sandbox(&shop.store);
    let paid = OrderPaid {
        order_id: "o-1".into(),
        payment_id: "p-1".into(),
        amount: Money::new(2932, Currency::USD),
        paid_at: now(),
    };

    let first = handle(&handler, &paid).await.expect("shipped");
    let again = handle(&handler, &paid).await.expect("shipped");

    assert_eq!(
        first.the_only::<OrderShipped>(),
        again.the_only::<OrderShipped>()
    );
    assert_eq!(shop.ledger("o-1").await, ["booking booked - 2"]);
    shop.commit(first.writes()).await;
    let repeated = handle(&handler, &paid).await.expect("nothing");
    assert!(repeated.records().is_empty());
    assert_eq!(shop.state("o-1").await.as_deref(), Some("shipped"));
}

#[tokio::test]
async fn a_shipped_order_is_recorded_and_delivered_once() {
    let shop = Shop::open().await;
    let handler = OrderShippedHandler::new(&shop.store);
    let shipped = OrderShipped {
        order_id: "o-1".into(),
        carrier: "c".into(),
        tracking_number: "t-1".into(),
        shipped_at: now(),
    };

    let decided = handle(&handler, &shipped).await.expect("delivered");

    assert_eq!(decided.the_only::<OrderDelivered>().delivered_at, now());
    shop.commit(decided.writes()).await;
    assert_eq!(shop.state("o-1").await.as_deref(), Some("delivered"));
    let repeated = handle(&handler, &shipped).await.expect("nothing");
    assert!(repeated.records().is_empty());
}
