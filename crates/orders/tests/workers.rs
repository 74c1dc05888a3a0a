//! The order workers as their `main`s run them, on a log in memory: what becomes of orders when something fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use longshore::WorkerBuilder;
use longshore::testing::{Record, TestSetup, TestWorker, now};
use longshore_event::Event;
use longshore_orders::sandbox::{FLAKY, POISON};
use longshore_orders::{
    Booking, Carrier, Currency, Item, MIGRATIONS, Money, OrderCreated, OrderDelivered, OrderPaid,
    OrderPaidHandler, OrderShipped, ServiceError, order_created, order_paid, order_shipped,
};
use longshore_worker::{Statement, sql};

const MINUTE: Duration = Duration::from_secs(60);

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

fn paid(id: &str) -> OrderPaid {
    OrderPaid {
        order_id: id.into(),
        payment_id: "p-1".into(),
        amount: Money::new(2932, Currency::USD),
        paid_at: now(),
    }
}

fn shipped(id: &str) -> OrderShipped {
    OrderShipped {
        order_id: id.into(),
        carrier: "c".into(),
        tracking_number: "t-1".into(),
        shipped_at: now(),
    }
}

fn states() -> Statement {
    sql("select order_id, state from orders order by order_id")
}

fn ledger() -> Statement {
    sql("select order_id, kind, outcome, calls from sandbox_ledger order by order_id, kind")
}

/// A carrier that may be down.
#[derive(Clone, Debug, Default)]
struct Courier {
    down: Arc<AtomicBool>,
}

impl Carrier for Courier {
    async fn book(&self, _: &str, order_id: &str) -> Result<Booking, ServiceError> {
        if self.down.load(Ordering::Relaxed) {
            return Err(ServiceError::Unavailable {
                service: "the courier",
                source: "no answer".into(),
            });
        }
        Ok(Booking {
            carrier: "courier".into(),
            tracking_number: format!("parcel of {order_id}"),
        })
    }
}

#[tokio::test]
async fn an_order_parks_while_the_carrier_is_down_and_ships_by_itself() {
    let courier = Courier::default();
    let described = {
        let courier = courier.clone();
        move || {
            let courier = courier.clone();
            let handler = |store: &_| OrderPaidHandler::new(courier, store);
            WorkerBuilder::new("order-paid", handler)
                .reads(OrderPaid::TOPIC)
                .publishes(OrderShipped::TOPIC)
                .migrations(MIGRATIONS)
        }
    };
    let mut worker = TestWorker::start(described).await;
    courier.down.store(true, Ordering::Relaxed);
    worker.send(&paid("o-1"));
    worker.advance(Duration::from_secs(2)).await;
    worker.expect_parked(&["o-1"]);
    let parked = &worker.parked()[0];
    let said = "the courier is not available: no answer";
    assert_eq!(parked.last_error.as_deref(), Some(said));
    worker.expect_published::<OrderShipped>(&[]);

    courier.down.store(false, Ordering::Relaxed);
    worker.send(&paid("o-2"));
    worker.settle().await;
    let other: Vec<OrderShipped> = worker.published();
    assert_eq!(other.len(), 1, "another order does not wait");
    worker.advance(MINUTE).await;

    let shipped: Vec<OrderShipped> = worker.published();
    let parcels: Vec<&str> = shipped.iter().map(|one| &*one.tracking_number).collect();
    assert_eq!(parcels, ["parcel of o-2", "parcel of o-1"]);
    let states_then = ["o-1 | shipped", "o-2 | shipped"];
    worker.expect_rows(states(), &states_then).await;
    worker.expect_all_done();
    worker.stop().await;
}

#[tokio::test]
async fn a_poisoned_order_is_a_dead_letter_until_it_is_mended_and_redriven() {
    let mut worker = TestWorker::start(order_created).await;
    worker.send(&order("o-1", POISON));
    worker.send(&order("o-2", "CD-12"));
    worker.settle().await;
    worker.expect_dead(
        OrderCreated::TOPIC,
        &[("o-1", "TEST-POISON is in no catalogue")],
    );
    worker.expect_rows(states(), &["o-2 | paid"]).await;

    worker.redrive_edited(|order: &mut OrderCreated| order.items[0].sku = "CD-12".into());
    worker.settle().await;

    let paid: Vec<OrderPaid> = worker.published();
    let orders: Vec<&str> = paid.iter().map(|paid| &*paid.order_id).collect();
    assert_eq!(orders, ["o-2", "o-1"]);
    worker
        .expect_rows(states(), &["o-1 | paid", "o-2 | paid"])
        .await;
    worker.stop().await;
}

#[tokio::test]
async fn a_flaky_payment_is_charged_once_though_the_worker_crashes_in_between() {
    let mut worker = TestWorker::start(order_created).await;
    worker.send(&order("o-1", FLAKY));
    worker.settle().await;
    worker.expect_published::<OrderPaid>(&[]);
    worker.crash().await;
    worker.restart().await;
    worker.store_loses_answers(1);
    worker.advance(MINUTE).await;

    assert_eq!(worker.published::<OrderPaid>().len(), 1);
    let entries = [
        "o-1 | charge | charged | 1",
        "o-1 | notice | notified | 1",
        "o-1 | reservation | reserved | 1",
    ];
    worker.expect_rows(ledger(), &entries).await;
    worker.expect_all_done();
    worker.stop().await;
}

#[tokio::test]
async fn a_delivery_waits_for_the_database_and_happens_once() {
    let mut worker = TestWorker::start(order_shipped).await;
    worker.store_down();
    let sent = worker.send(&shipped("o-1"));
    worker.send_again(&sent);
    worker.advance(60 * MINUTE).await;
    worker.expect_published::<OrderDelivered>(&[]);
    assert_eq!(worker.lag(), 2);
    worker.store_up();
    worker.advance(MINUTE).await;

    let delivered: Vec<OrderDelivered> = worker.published();
    let late = delivered[0].delivered_at.duration_since(now());
    assert!(late.as_mins() >= 60, "{late:?}");
    assert_eq!(delivered.len(), 1);
    worker.expect_rows(states(), &["o-1 | delivered"]).await;
    worker.stop().await;
}

#[tokio::test]
async fn an_order_goes_through_all_three_workers_under_one_correlation_id() {
    let mut created = TestWorker::start(order_created).await;
    let mut paid = TestSetup::new(order_paid).beside(&created).start().await;
    let mut shipped = TestSetup::new(order_shipped).beside(&created).start().await;
    created.send(&order("o-1", "CD-12"));
    shipped.settle().await;

    let delivered = shipped.records(OrderDelivered::TOPIC);
    let correlation_id =
        |record: &Record| record.headers.get_str("correlation-id").map(str::to_owned);
    assert_eq!(delivered.len(), 1);
    assert_eq!(
        correlation_id(&delivered[0]),
        correlation_id(&created.records(OrderCreated::TOPIC)[0])
    );
    for worker in [&mut created, &mut paid, &mut shipped] {
        worker.settle().await;
        worker.expect_all_done();
        worker.stop().await;
    }
}
