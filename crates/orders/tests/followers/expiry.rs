//! Order expiry: when a timer is set, when it is cancelled, and what comes of one that fires.

use std::time::Duration;

use jiff::Timestamp;
use longshore::testing::{Decisions, now};
use longshore_orders::{
    CancelReason, MIGRATIONS, OrderCancellationRequested, OrderExpiryDue, OrderExpiryHandler,
};
use longshore_worker::PendingTimer;

use crate::support::{Place, after, cancelled, created, paid};

const HOUR: i64 = 3600;

async fn place() -> (Place, OrderExpiryHandler) {
    let place = Place::open(MIGRATIONS).await;
    let handler = OrderExpiryHandler::new(&place.store, Duration::from_secs(24 * 3600));
    (place, handler)
}

/// When the only timer that is set is due.
fn due_at(decided: &Decisions) -> Timestamp {
    match decided.timers() {
        [
            PendingTimer::Set {
                due_at,
                name: Some(name),
                record,
                ..
            },
        ] if name == "expiry" && &*record.topic == "order.expiry-due" => *due_at,
        other => panic!("not one timer for the expiry: {other:?}"),
    }
}

fn decides_nothing(decided: &Decisions) -> bool {
    decided.timers().is_empty() && decided.records().is_empty() && decided.writes().is_empty()
}

fn due(id: &str) -> OrderExpiryDue {
    OrderExpiryDue {
        order_id: id.to_owned(),
        due_at: now(),
    }
}

#[tokio::test]
async fn a_new_order_has_a_day_from_when_it_was_placed() {
    let (place, handler) = place().await;

    let decided = place.hear(&handler, &created("o-1", -HOUR)).await;

    assert_eq!(due_at(&decided), after(23 * HOUR));
}

#[tokio::test]
async fn without_its_own_time_or_with_one_to_come_the_messages_time_counts() {
    let (place, handler) = place().await;
    let mut unknown = created("o-1", 0);
    unknown.created_at = None;

    let unknown = place.hear(&handler, &unknown).await;
    let to_come = place.hear(&handler, &created("o-2", 1000 * HOUR)).await;

    assert_eq!(due_at(&unknown), after(24 * HOUR));
    assert_eq!(due_at(&to_come), after(24 * HOUR));
}

#[tokio::test]
async fn an_order_heard_of_again_keeps_the_timer_it_has() {
    let (place, handler) = place().await;
    place.hear(&handler, &created("o-1", 0)).await;

    let again = place.hear(&handler, &created("o-1", 5)).await;

    assert!(decides_nothing(&again), "{again:?}");
}

#[tokio::test]
async fn paying_and_cancelling_each_cancel_the_timer_once() {
    let (place, handler) = place().await;
    let cancel = [PendingTimer::Cancel("expiry".to_owned())];
    place.hear(&handler, &created("o-1", 0)).await;
    place.hear(&handler, &created("o-2", 0)).await;

    let by_payment = place.hear(&handler, &paid("o-1", 1)).await;
    let by_cancel = cancelled("o-2", CancelReason::SoldOut, 1);
    let by_cancel = place.hear(&handler, &by_cancel).await;
    let again = place.hear(&handler, &paid("o-1", 2)).await;

    assert_eq!(by_payment.timers(), cancel);
    assert_eq!(by_cancel.timers(), cancel);
    assert!(decides_nothing(&again), "{again:?}");
}

#[tokio::test]
async fn an_order_that_is_known_to_be_settled_never_gets_a_timer() {
    let (place, handler) = place().await;
    place.hear(&handler, &paid("o-1", 1)).await;
    let cancelled = cancelled("o-2", CancelReason::CustomerRequest, 1);
    place.hear(&handler, &cancelled).await;

    for id in ["o-1", "o-2"] {
        let late = place.hear(&handler, &created(id, 0)).await;
        assert!(decides_nothing(&late), "{id}: {late:?}");
    }
}

#[tokio::test]
async fn the_timer_of_an_unpaid_order_asks_for_its_cancellation() {
    let (place, handler) = place().await;
    place.hear(&handler, &created("o-1", 0)).await;

    let decided = place.hear(&handler, &due("o-1")).await;

    let asked: OrderCancellationRequested = decided.the_only();
    assert_eq!(
        (&*asked.order_id, asked.reason),
        ("o-1", CancelReason::Expired)
    );
    assert_eq!(asked.requested_at, now());
}

#[tokio::test]
async fn a_timer_that_fires_for_a_settled_order_is_ignored() {
    let (place, handler) = place().await;
    place.hear(&handler, &created("o-1", 0)).await;
    place.hear(&handler, &paid("o-1", 1)).await;
    let cancelled = cancelled("o-2", CancelReason::PaymentDeclined, 1);
    place.hear(&handler, &cancelled).await;

    for id in ["o-1", "o-2"] {
        let decided = place.hear(&handler, &due(id)).await;
        assert!(decides_nothing(&decided), "{id}: {decided:?}");
    }
}
