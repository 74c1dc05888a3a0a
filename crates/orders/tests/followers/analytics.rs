//! Analytics: whatever the turn in which events come, and however often, the sums are those of the events.

use std::collections::{BTreeMap, BTreeSet};

use longshore_orders::analytics::{
    Analytics, AnalyticsHandler, AnalyticsSummary, Cancelled, Count, MIGRATIONS, Step, Window,
};
use longshore_orders::{CancelReason, Currency, Money, OrderEvent};
use longshore_testkit::postgres::Postgres;

use crate::support::{Place, after, cancelled, created, delivered, paid, shipped};

const HOUR: i64 = 3600;

async fn hear(place: &Place, event: &OrderEvent) {
    let handler = AnalyticsHandler;
    match event {
        OrderEvent::Created(event) => place.hear(&handler, event).await,
        OrderEvent::Paid(event) => place.hear(&handler, event).await,
        OrderEvent::Shipped(event) => place.hear(&handler, event).await,
        OrderEvent::Delivered(event) => place.hear(&handler, event).await,
        OrderEvent::Cancelled(event) => place.hear(&handler, event).await,
    };
}

async fn summary(place: &Place) -> AnalyticsSummary {
    let analytics = Analytics::new(&place.store);
    analytics.summary(Window::default()).await.expect("told")
}

/// An order from its placement to its delivery, 2 s, 20 s and 200 s apart.
fn life(id: &str) -> [OrderEvent; 4] {
    [
        OrderEvent::Created(created(id, 0)),
        OrderEvent::Paid(paid(id, 2)),
        OrderEvent::Shipped(shipped(id, 22)),
        OrderEvent::Delivered(delivered(id, 222)),
    ]
}

fn count(event: &str, orders: i64, events: i64, amount: Option<i64>) -> Count {
    Count {
        event: event.to_owned(),
        currency: amount.map(|_| "USD".to_owned()),
        reason: None,
        orders,
        events,
        amount,
    }
}

/// A step that one order took.
fn step(name: &str, ms: i64) -> Step {
    Step {
        step: name.to_owned(),
        orders: 1,
        total_ms: ms,
        shortest_ms: ms,
        longest_ms: ms,
        p50_ms: ms,
        p90_ms: ms,
        p99_ms: ms,
    }
}

fn of_one_life() -> AnalyticsSummary {
    AnalyticsSummary {
        counts: vec![
            count("created", 1, 1, Some(2932)),
            count("paid", 1, 1, Some(2932)),
            count("shipped", 1, 1, None),
            count("delivered", 1, 1, None),
        ],
        steps: vec![
            step("created_to_delivered", 222_000),
            step("created_to_paid", 2_000),
            step("paid_to_shipped", 20_000),
            step("shipped_to_delivered", 200_000),
        ],
    }
}

#[tokio::test]
async fn an_orders_life_is_counted_the_same_in_whatever_turn_it_is_heard() {
    for turn in 0..24 {
        let place = Place::open(MIGRATIONS).await;
        let mut events = life("o-1").to_vec();
        let mut digits = turn;
        for left in (1..=4).rev() {
            hear(&place, &events.remove(digits % left)).await;
            digits /= left;
        }
        assert_eq!(summary(&place).await, of_one_life(), "turn {turn}");
    }
}

#[tokio::test]
async fn a_second_payment_of_an_order_is_an_event_and_no_sale() {
    let place = Place::open(MIGRATIONS).await;
    for event in life("o-1") {
        hear(&place, &event).await;
    }
    let mut again = paid("o-1", 1000);
    again.amount = Money::new(1, Currency::USD);

    hear(&place, &OrderEvent::Paid(again)).await;

    let mut expected = of_one_life();
    expected.counts[1].events = 2;
    assert_eq!(summary(&place).await, expected);
}

#[tokio::test]
async fn money_is_kept_by_currency_and_cancellations_by_reason() {
    let place = Place::open(MIGRATIONS).await;
    let mut yen = paid("o-2", 1);
    yen.amount = Money::new(
        500,
        Currency::try_from("JPY".to_owned()).expect("a currency"),
    );
    let events = [
        OrderEvent::Paid(paid("o-1", 1)),
        OrderEvent::Paid(yen),
        OrderEvent::Cancelled(cancelled("o-3", CancelReason::Expired, 1)),
        OrderEvent::Cancelled(cancelled("o-4", CancelReason::SoldOut, 1)),
        OrderEvent::Cancelled(cancelled("o-5", CancelReason::SoldOut, 1)),
    ];
    for event in &events {
        hear(&place, event).await;
    }

    let money: BTreeMap<_, _> = summary(&place)
        .await
        .counts
        .into_iter()
        .filter_map(|count| Some((count.currency?, count.amount?)))
        .collect();
    assert_eq!(
        money,
        BTreeMap::from([("JPY".to_owned(), 500), ("USD".to_owned(), 2932)])
    );
    let analytics = Analytics::new(&place.store);
    let funnel = analytics.funnel(Window::default()).await.expect("told");
    let because = |reason: &str, orders| Cancelled {
        reason: reason.to_owned(),
        orders,
    };
    assert_eq!(
        funnel.cancelled,
        [because("expired", 1), because("sold_out", 2)]
    );
    assert_eq!((funnel.created, funnel.paid, funnel.shipped), (0, 2, 0));
}

#[tokio::test]
async fn hours_are_told_one_by_one_and_a_window_leaves_out_the_others() {
    let place = Place::open(MIGRATIONS).await;
    for (id, hour) in [("o-1", 0), ("o-2", 1), ("o-3", 1), ("o-4", 3)] {
        hear(
            &place,
            &OrderEvent::Created(created(id, hour * HOUR + 1799)),
        )
        .await;
    }
    let analytics = Analytics::new(&place.store);
    let since = |hour: i64| Window {
        since: Some(after(hour * HOUR + 5)),
        until: Some(after(2 * HOUR)),
    };

    let all = analytics.hours(Window::default()).await.expect("told");
    let some = analytics.hours(since(1)).await.expect("told");
    let sum = analytics.summary(since(1)).await.expect("told");

    let told: Vec<_> = all
        .hours
        .iter()
        .map(|hour| (hour.hour, hour.counts[0].orders))
        .collect();
    assert_eq!(
        told,
        [(after(3 * HOUR), 1), (after(HOUR), 2), (after(0), 1)]
    );
    assert!(!all.has_more);
    assert_eq!(some.hours, all.hours[1..2]);
    assert_eq!(sum.counts, all.hours[1].counts);
}

#[tokio::test]
async fn sums_end_at_the_largest_integer_of_json_and_clocks_that_disagree_take_no_time() {
    let place = Place::open(MIGRATIONS).await;
    for id in ["o-1", "o-2", "o-3"] {
        let mut rich = paid(id, -5);
        rich.amount = Money::new(i64::MAX, Currency::USD);
        hear(&place, &OrderEvent::Paid(rich)).await;
        hear(&place, &OrderEvent::Created(created(id, 0))).await;
    }

    let summary = summary(&place).await;

    assert_eq!(summary.counts[1].amount, Some((1 << 53) - 1));
    assert_eq!(
        summary.steps[0],
        Step {
            orders: 3,
            ..step("created_to_paid", 0)
        }
    );
}

/// Events of twenty orders, some missing and some twice, in a turn that the number of the history chooses.
fn jumbled(history: u64) -> Vec<OrderEvent> {
    let mut state = history.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
    let mut next = |below: u64| {
        // Knuth's multiplier; the upper bits are good enough to shuffle with.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut events = Vec::new();
    for order in 0..20 {
        let id = format!("o-{order}");
        for event in life(&id) {
            let copies = next(4).saturating_sub(1);
            events.extend((0..copies).map(|_| event.clone()));
        }
        if next(4) == 0 {
            events.push(OrderEvent::Cancelled(cancelled(
                &id,
                CancelReason::Expired,
                30,
            )));
        }
    }
    for last in (1..events.len()).rev() {
        events.swap(last, next(last as u64 + 1) as usize);
    }
    events
}

/// The sums of events, counted the plain way.
#[derive(Debug, Default, PartialEq)]
struct Sums {
    /// Orders, events and money, by kind.
    counts: BTreeMap<String, (i64, i64, i64)>,
    /// Orders and time, by step.
    steps: BTreeMap<String, (i64, i64)>,
}

fn counted(events: &[OrderEvent]) -> Sums {
    let mut sums = Sums::default();
    let mut heard: BTreeSet<(&str, &str)> = BTreeSet::new();
    for event in events {
        let (kind, amount) = match event {
            OrderEvent::Created(_) => ("created", 2932),
            OrderEvent::Paid(_) => ("paid", 2932),
            OrderEvent::Shipped(_) => ("shipped", 0),
            OrderEvent::Delivered(_) => ("delivered", 0),
            OrderEvent::Cancelled(_) => ("cancelled", 0),
        };
        let count = sums.counts.entry(kind.to_owned()).or_default();
        count.1 += 1;
        if heard.insert((event.order_id(), kind)) {
            count.0 += 1;
            count.2 += amount;
        }
    }
    for (from, to, ms) in [
        ("created", "paid", 2_000),
        ("paid", "shipped", 20_000),
        ("shipped", "delivered", 200_000),
        ("created", "delivered", 222_000),
        ("created", "cancelled", 30_000),
    ] {
        let firsts = heard.iter().filter(|(_, kind)| *kind == from);
        let both = firsts
            .filter(|(order, _)| heard.contains(&(*order, to)))
            .count() as i64;
        if both > 0 {
            sums.steps
                .insert(format!("{from}_to_{to}"), (both, both * ms));
        }
    }
    sums
}

async fn sums_of_a_jumbled_history_are_exact(place: &Place, history: u64) {
    let events = jumbled(history);
    for event in &events {
        hear(place, event).await;
    }

    let summary = summary(place).await;

    let counts = summary.counts.into_iter().map(|count| {
        let sums = (count.orders, count.events, count.amount.unwrap_or(0));
        (count.event, sums)
    });
    let steps = summary.steps.into_iter();
    let found = Sums {
        counts: counts.collect(),
        steps: steps
            .map(|step| (step.step, (step.orders, step.total_ms)))
            .collect(),
    };
    assert_eq!(found, counted(&events), "history {history}");
}

#[tokio::test]
async fn sums_are_exact_on_sqlite() {
    for history in 0..5 {
        let place = Place::open(MIGRATIONS).await;
        sums_of_a_jumbled_history_are_exact(&place, history).await;
    }
}

#[tokio::test]
async fn sums_are_exact_on_postgres() {
    let Some(postgres) = Postgres::start().await else {
        return;
    };
    for history in 0..2 {
        let place = Place::on(&postgres, MIGRATIONS).await;
        sums_of_a_jumbled_history_are_exact(&place, history).await;
    }
}
