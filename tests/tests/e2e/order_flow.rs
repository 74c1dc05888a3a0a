//! Orders reach their end through three independent workers: once, in order, under one correlation id.

use std::collections::BTreeSet;

use longshore_event::{DeadLetter, Record, attribute};

use crate::support::ledger;
use crate::support::observer::Observer;
use crate::support::order::{
    CANCELLED, CREATED, CREATED_DLQ, DELIVERED, Order, PAID, SHIPPED, STAGES,
};
use crate::support::system::{FLOW, System, all_delivered_once};
use crate::support::worker::Kind;

fn header<'a>(record: &'a Record, name: &str) -> &'a str {
    let value = record.headers.get_str(name);
    value.unwrap_or_else(|| panic!("no header {name} in {:?}", record.headers))
}

/// The events of an order, in the order in which they cause each other.
fn chain<'a>(observer: &'a Observer, order: &str) -> Vec<&'a Record> {
    [CREATED, PAID, SHIPPED, DELIVERED]
        .iter()
        .flat_map(|topic| observer.topic(topic))
        .filter(|record| record.key.as_deref() == Some(order.as_bytes()))
        .collect()
}

#[tokio::test]
async fn orders_flow_from_created_to_delivered() {
    let system = System::start().await;
    let orders = Order::many(200);
    let workers = system.start_workers();
    let mut observer = system.observer().await;

    let records: Vec<_> = orders.iter().map(Order::created).collect();
    system.send(&records).await;

    let stores = [system.store(Kind::Created), system.store(Kind::Paid)];
    let stores = [stores[0].as_str(), stores[1].as_str()];
    let summary = all_delivered_once(&mut observer, &orders, stores).await;
    assert_eq!(summary.messages, 600);
    assert_eq!(summary.follow_ons, 600);
    assert_eq!(summary.repeats, 0, "nothing crashed");
    for worker in workers {
        assert!(worker.stop().await.success());
    }
}

#[tokio::test]
async fn each_order_has_the_end_that_its_items_ask_for() {
    let system = System::start().await;
    let orders = [
        Order::new("plain", "CD-12"),
        Order::new("sold-out", "TEST-SOLD-OUT"),
        Order::new("declined", "TEST-DECLINED"),
        Order::new("flaky", "TEST-FLAKY"),
        Order::new("poison", "TEST-POISON"),
        Order::new("slow", "TEST-SLOW"),
        Order {
            cents: 0,
            ..Order::new("free", "CD-12")
        },
    ];
    let _workers = system.start_workers();
    let mut observer = system.observer().await;

    let records: Vec<_> = orders.iter().map(Order::created).collect();
    system.send(&records).await;

    let delivered = ["flaky", "free", "plain", "slow"].map(str::to_owned);
    let delivered = BTreeSet::from(delivered);
    let cancelled = BTreeSet::from(["declined".to_owned(), "sold-out".to_owned()]);
    observer
        .until("seven ends", FLOW, |observer| {
            let dead = observer.topic(CREATED_DLQ).len();
            let ends = (observer.keys(DELIVERED), observer.keys(CANCELLED), dead);
            if ends == (delivered.clone(), cancelled.clone(), 1) {
                return Ok(());
            }
            Err(ends)
        })
        .await;
    observer.catch_up(FLOW).await;
    observer.history().check(&STAGES).expect("in order");
    let letter = observer.topic(CREATED_DLQ)[0];
    assert_eq!(letter.key.as_deref(), Some(&b"poison"[..]));
    let reason = DeadLetter::read(&letter.headers).expect("a reason");
    assert_eq!(
        (reason.delivery_count, reason.kind.as_str()),
        (1, "permanent")
    );

    let books = ledger::entries(&system.store(Kind::Created), Kind::Created).await;
    let of = |outcome: &str| -> BTreeSet<String> {
        let entries = books.iter().filter(|entry| entry.outcome == outcome);
        entries.map(|entry| entry.order.clone()).collect()
    };
    assert_eq!(of("charged"), delivered);
    assert_eq!(of("declined"), BTreeSet::from(["declined".to_owned()]));
    assert_eq!(of("released"), BTreeSet::from(["declined".to_owned()]));
    assert_eq!(of("sold_out"), BTreeSet::from(["sold-out".to_owned()]));
}

#[tokio::test]
async fn events_of_an_order_share_correlation_id_and_trace_and_name_their_cause() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let system = System::start().await;
    let _workers = system.start_workers();
    let mut observer = system.observer().await;
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");

    let order = Order::new("traced", "CD-12");
    system
        .send(&[order.created().header("traceparent", parent)])
        .await;

    observer
        .until("a delivery", FLOW, |observer| {
            let count = observer.topic(DELIVERED).len();
            if count == 1 { Ok(()) } else { Err(count) }
        })
        .await;
    let events = chain(&observer, "traced");
    assert_eq!(events.len(), 4);
    for (cause, event) in events.iter().zip(&events[1..]) {
        assert_eq!(header(event, attribute::CORRELATION_ID), "c-traced");
        assert_eq!(
            header(event, attribute::CAUSATION_ID),
            header(cause, attribute::ID)
        );
        assert_eq!(header(event, attribute::TYPE), &*event.partition.topic);
        let trace = header(event, attribute::TRACE_PARENT);
        assert_eq!(trace.split('-').nth(1), Some(TRACE));
        assert_ne!(trace, header(cause, attribute::TRACE_PARENT));
    }
}

#[tokio::test]
async fn a_message_of_another_system_is_taken_with_two_headers_or_none() {
    let system = System::start().await;
    let _workers = system.start_workers();
    let mut observer = system.observer().await;
    let correlated = Order::new("correlated", "CD-12");
    let bare = Order::new("bare", "CD-12");

    let minimal = correlated
        .bare()
        .header("correlation-id", "abc-123")
        .header("timestamp", "2026-11-23T08:00:00Z");
    system.send(&[minimal, bare.bare()]).await;

    observer
        .until("two deliveries", FLOW, |observer| {
            let count = observer.topic(DELIVERED).len();
            if count == 2 { Ok(()) } else { Err(count) }
        })
        .await;
    for event in &chain(&observer, "correlated")[1..] {
        assert_eq!(header(event, attribute::CORRELATION_ID), "abc-123");
    }
    let events = chain(&observer, "bare");
    let position = events[0].position().to_string();
    assert_eq!(header(events[1], attribute::CAUSATION_ID), position);
    for event in &events[1..] {
        assert_eq!(header(event, attribute::CORRELATION_ID), position);
    }
}
