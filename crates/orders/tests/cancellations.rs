//! Cancellations that come before, during and after the purchase: one of paid and cancelled is said, and the books agree.

use longshore::testing::{Decisions, handle, now};
use longshore_orders::sandbox::{FLAKY, SOLD_OUT};
use longshore_orders::{
    CancelReason, Currency, Item, MIGRATIONS, Money, OrderCancellationRequested, OrderCancelled,
    OrderCreated, OrderCreatedHandler, OrderPaid, Sandbox,
};
use longshore_saga::State;
use longshore_store::{SqlStore, StoreUrl};
use longshore_worker::{Failure, sql};

type CreatedHandler = OrderCreatedHandler<Sandbox, Sandbox, Sandbox>;

/// A worker's store in a directory of its own, and its handler.
struct Shop {
    _dir: tempfile::TempDir,
    store: SqlStore,
    handler: CreatedHandler,
}

impl Shop {
    async fn open() -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let url = StoreUrl::sqlite(dir.path().join("orders.db"));
        let store = SqlStore::open(&url, "orders", MIGRATIONS)
            .await
            .expect("store");
        let handler = OrderCreatedHandler::sandbox(&store);
        Self {
            _dir: dir,
            store,
            handler,
        }
    }

    /// Handles an event and makes true what was decided.
    async fn hears<E: longshore_event::Event>(&self, event: &E) -> Result<Decisions, Failure> {
        let decided = handle(&self.handler, event).await?;
        for write in decided.writes() {
            self.store.execute(write).await.expect("written");
        }
        Ok(decided)
    }

    /// `kind outcome` of the order's entries, in the order in which they were made.
    async fn ledger(&self) -> Vec<String> {
        let query = sql("select kind, outcome from sandbox_ledger order by at, rowid");
        let rows = self.store.fetch(&query).await.expect("ledger");
        let text = |row: &longshore_store::Row| {
            let (kind, outcome) = (row.text(0).expect("kind"), row.text(1).expect("outcome"));
            format!("{kind} {outcome}")
        };
        rows.iter().map(text).collect()
    }

    async fn saga(&self) -> State {
        let sagas = longshore_saga::find(&self.store, "o-1").await;
        sagas.expect("read").first().expect("a saga").state
    }
}

fn order(sku: &str) -> OrderCreated {
    OrderCreated {
        order_id: "o-1".into(),
        user_id: "u-7".into(),
        items: vec![Item {
            sku: sku.into(),
            quantity: 2,
            unit_price: Money::new(1466, Currency::USD),
        }],
        created_at: None,
    }
}

fn cancellation() -> OrderCancellationRequested {
    OrderCancellationRequested {
        order_id: "o-1".into(),
        reason: CancelReason::CustomerRequest,
        requested_at: now(),
    }
}

#[tokio::test]
async fn a_cancellation_before_its_order_leaves_no_trace_in_the_books() {
    let shop = Shop::open().await;
    let asked = shop.hears(&cancellation()).await.expect("remembered");
    assert!(asked.records().is_empty(), "the order's message decides");

    let decided = shop.hears(&order("CD-12")).await.expect("cancelled");

    let cancelled: OrderCancelled = decided.the_only();
    assert_eq!(cancelled.reason, CancelReason::CustomerRequest);
    assert!(shop.ledger().await.is_empty());
    assert_eq!(shop.saga().await, State::Compensated);
    let again = shop.hears(&order("CD-12")).await.expect("nothing");
    assert!(again.records().is_empty(), "said once");
}

#[tokio::test]
async fn a_cancellation_while_the_charge_fails_gives_everything_back() {
    let shop = Shop::open().await;
    shop.hears(&order(FLAKY)).await.expect_err("fails once");
    shop.hears(&cancellation()).await.expect("remembered");
    assert_eq!(shop.saga().await, State::Running);

    shop.hears(&order(FLAKY)).await.expect_err("fails twice");
    assert_eq!(shop.saga().await, State::Compensating);
    let decided = shop.hears(&order(FLAKY)).await.expect("cancelled");

    let cancelled: OrderCancelled = decided.the_only();
    assert_eq!(cancelled.reason, CancelReason::CustomerRequest);
    assert_eq!(
        shop.ledger().await,
        [
            "reservation reserved",
            "charge charged",
            "refund refunded",
            "release released"
        ]
    );
    assert_eq!(shop.saga().await, State::Compensated);
}

#[tokio::test]
async fn a_cancellation_that_comes_while_the_money_is_charged_makes_the_confirmation_fail() {
    let shop = Shop::open().await;
    // It is recorded by another instance, between the handler's first look and its last.
    let remember =
        "create trigger meanwhile after insert on sandbox_ledger when new.kind = 'charge'
         begin insert into order_cancellations values (new.order_id, 'expired', 0); end";
    shop.store.execute(&sql(remember)).await.expect("trigger");

    let decided = shop.hears(&order("CD-12")).await.expect("cancelled");

    let cancelled: OrderCancelled = decided.the_only();
    assert_eq!(cancelled.reason, CancelReason::Expired);
    assert_eq!(
        shop.ledger().await,
        [
            "reservation reserved",
            "charge charged",
            "refund refunded",
            "release released"
        ]
    );
}

#[tokio::test]
async fn a_cancellation_of_a_paid_order_changes_nothing() {
    let shop = Shop::open().await;
    let paid: OrderPaid = shop.hears(&order("CD-12")).await.expect("paid").the_only();

    let asked = shop.hears(&cancellation()).await.expect("nothing");

    assert!(asked.records().is_empty() && asked.writes().is_empty());
    shop.hears(&paid).await.expect("told");
    assert_eq!(
        shop.ledger().await,
        ["reservation reserved", "charge charged", "notice notified"]
    );
    assert_eq!(shop.saga().await, State::Completed);
    shop.hears(&paid).await.expect("nothing");
    assert_eq!(shop.ledger().await.len(), 3, "told once");
}

#[tokio::test]
async fn a_cancellation_of_an_order_that_came_to_nothing_changes_nothing() {
    let shop = Shop::open().await;
    let decided = shop.hears(&order(SOLD_OUT)).await.expect("cancelled");
    let reason = decided.the_only::<OrderCancelled>().reason;
    assert_eq!(reason, CancelReason::SoldOut);

    let asked = shop.hears(&cancellation()).await.expect("nothing");

    assert!(asked.records().is_empty() && asked.writes().is_empty());
    assert_eq!(shop.saga().await, State::Compensated);
}

#[tokio::test]
async fn a_payment_that_this_worker_did_not_decide_is_not_followed_up() {
    let shop = Shop::open().await;
    let foreign = OrderPaid {
        order_id: "o-1".into(),
        payment_id: "p-1".into(),
        amount: Money::new(2932, Currency::USD),
        paid_at: now(),
    };
    let decided = shop.hears(&foreign).await.expect("nothing");
    assert!(decided.writes().is_empty());
    assert!(shop.ledger().await.is_empty());
}
