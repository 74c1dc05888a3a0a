//! How a worker starts and stops, and what it says when it cannot start.

use longshore_testkit::wait::eventually;

use crate::support::ledger;
use crate::support::order::{CREATED, Order, PAID};
use crate::support::system::{FLOW, System};
use crate::support::worker::Kind;

#[tokio::test]
async fn a_missing_topic_is_an_error_that_names_the_remedy() {
    let system = System::without(&[CREATED]).await;

    let (status, said) = system.launch(Kind::Created).start().ended().await;

    assert_eq!(status.code(), Some(1));
    assert!(said.contains(CREATED), "{said}");
    assert!(said.contains("longshore topics apply"), "{said}");
}

#[tokio::test]
async fn an_unreachable_broker_is_an_error_that_names_the_address() {
    let system = System::start().await;
    let mut launch = system.launch(Kind::Created);
    launch.brokers = "127.0.0.1:1".to_owned();

    let (status, said) = launch.start().ended().await;

    assert_eq!(status.code(), Some(1));
    assert!(said.contains("127.0.0.1:1"), "{said}");
}

#[tokio::test]
async fn a_second_worker_on_one_sqlite_store_is_told_about_postgres() {
    let system = System::start().await;
    let first = system.launch(Kind::Created).start();
    first.ready().await;

    let second = system.launch(Kind::Created).instance(2);
    let (status, said) = second.start().ended().await;

    assert_eq!(status.code(), Some(1));
    assert!(said.to_lowercase().contains("postgres"), "{said}");
    first.ready().await;
}

#[tokio::test]
async fn a_stop_finishes_what_is_in_flight_and_repeats_nothing() {
    let system = System::start().await;
    let mut observer = system.observer().await;
    let slow = ["--concurrency", "8"];
    let worker = system.launch(Kind::Created).flags(&slow).start();
    worker.ready().await;
    let orders: Vec<_> = (0..300)
        .map(|number| Order::new(format!("o-{number}"), "TEST-SLOW"))
        .collect();
    let records: Vec<_> = orders.iter().map(Order::created).collect();

    system.send(&records).await;
    observer
        .until("the first payments", FLOW, |observer| {
            let count = observer.topic(PAID).len();
            if count > 0 { Ok(()) } else { Err(count) }
        })
        .await;
    let status = worker.stop().await;

    assert!(status.success(), "{status}");
    observer.catch_up(FLOW).await;
    let before = observer.topic(PAID).len();
    assert!(before < orders.len(), "it stopped with work left");
    let _worker = system.launch(Kind::Created).start();
    observer
        .until("all payments", FLOW, |observer| {
            let count = observer.topic(PAID).len();
            if count == orders.len() {
                Ok(())
            } else {
                Err(count)
            }
        })
        .await;
    let books = ledger::entries(&system.store(Kind::Created), Kind::Created).await;
    let repeated: Vec<_> = books
        .iter()
        .filter(|entry| entry.outcome == "charged" && entry.calls != 1)
        .collect();
    assert!(repeated.is_empty(), "{repeated:?}");
}

#[tokio::test]
async fn the_admin_endpoint_tells_health_readiness_and_metrics() {
    let system = System::start().await;
    let worker = system.launch(Kind::Created).start();
    worker.ready().await;
    let records: Vec<_> = Order::many(5).iter().map(Order::created).collect();

    system.send(&records).await;
    system.read_to_the_end(Kind::Created).await;

    assert_eq!(worker.get("/healthz").await.expect("answers").0, 200);
    eventually("five consumed", FLOW, async || {
        let (status, metrics) = worker.get("/metrics").await.map_err(|e| e.to_string())?;
        let consumed: f64 = metrics
            .lines()
            .filter(|line| line.starts_with("messaging_client_consumed_messages"))
            .filter(|line| line.contains("\"order.created\""))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        if status == 200 && consumed == 5.0 {
            return Ok(());
        }
        Err(metrics)
    })
    .await;
}
