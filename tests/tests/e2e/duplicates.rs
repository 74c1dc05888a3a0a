//! A message that comes again has no second effect, however late it comes.

use crate::support::ledger;
use crate::support::order::{DELIVERED, Order, PAID};
use crate::support::system::{FLOW, System};
use crate::support::worker::Kind;

#[tokio::test]
async fn one_event_sent_five_times_and_once_more_after_a_restart_charges_once() {
    let system = System::start().await;
    let mut observer = system.observer().await;
    let order = Order::new("again", "CD-12");
    let worker = system.launch(Kind::Created).start();

    system.send(&vec![order.created(); 5]).await;
    system.read_to_the_end(Kind::Created).await;
    assert!(worker.stop().await.success());
    let _worker = system.launch(Kind::Created).start();
    system.send(&[order.created()]).await;
    system.read_to_the_end(Kind::Created).await;

    observer.catch_up(FLOW).await;
    assert_eq!(observer.topic(PAID).len(), 1);
    let books = ledger::entries(&system.store(Kind::Created), Kind::Created).await;
    let charges: Vec<_> = books
        .iter()
        .filter(|entry| entry.outcome == "charged")
        .collect();
    assert_eq!(charges.len(), 1);
    assert_eq!(charges[0].calls, 1, "duplicates do not reach the handler");
}

#[tokio::test]
async fn another_event_for_a_paid_order_charges_nothing() {
    let system = System::start().await;
    let _workers = system.start_workers();
    let mut observer = system.observer().await;
    let order = Order::new("twice", "CD-12");

    system.send(&[order.created(), order.bare()]).await;
    system.read_to_the_end(Kind::Created).await;

    observer
        .until("a delivery", FLOW, |observer| {
            let count = observer.topic(DELIVERED).len();
            if count == 1 { Ok(()) } else { Err(count) }
        })
        .await;
    observer.catch_up(FLOW).await;
    assert_eq!(observer.topic(PAID).len(), 1);
    let charged = ledger::once(&system.store(Kind::Created), Kind::Created, "charged").await;
    assert_eq!(charged, [("twice".to_owned(), order.cents)]);
}
