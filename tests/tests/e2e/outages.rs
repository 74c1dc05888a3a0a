//! A broker or a database that is away for a while costs nothing and doubles nothing.

use std::time::Duration;

use longshore_testkit::broker::BrokerKind;
use tokio::time::sleep;

use crate::support::order::{DELIVERED, Order};
use crate::support::system::{FLOW, System, all_delivered_once};
use crate::support::worker::{KINDS, Kind};

/// How long the broker or the database is away: several times every client's backoff.
const AWAY: Duration = Duration::from_secs(8);

const ORDERS: usize = 300;
const PER_SECOND: u32 = 50;

#[tokio::test]
async fn the_broker_is_away_while_orders_flow() {
    let system = System::start().await;
    if system.broker.kind() == BrokerKind::External {
        eprintln!("an external broker cannot be stopped: its outage is NOT tested");
        return;
    }
    let orders = Order::many(ORDERS);
    let workers = system.start_workers();
    let mut observer = system.observer().await;

    let outage = async {
        observer
            .until("the flow to begin", FLOW, |observer| {
                let count = observer.topic(DELIVERED).len();
                if count >= 20 { Ok(()) } else { Err(count) }
            })
            .await;
        system.broker.stop().await.expect("stops");
        sleep(AWAY).await;
        system.broker.restart().await.expect("starts");
    };
    tokio::join!(system.send_slowly(&orders, PER_SECOND), outage);

    let stores = [system.store(Kind::Created), system.store(Kind::Paid)];
    all_delivered_once(&mut observer, &orders, [&stores[0], &stores[1]]).await;
    for worker in workers {
        assert!(worker.stop().await.success());
    }
}

#[tokio::test]
async fn the_database_is_away_while_orders_flow() {
    let Some((mut postgres, system, database)) = System::beside_postgres().await else {
        return;
    };
    let orders = Order::many(ORDERS);
    let _workers: Vec<_> = KINDS
        .iter()
        .map(|kind| {
            let mut launch = system.launch(*kind);
            launch.store = database.clone();
            launch.start()
        })
        .collect();
    let mut observer = system.observer().await;

    let outage = async {
        observer
            .until("the flow to begin", FLOW, |observer| {
                let count = observer.topic(DELIVERED).len();
                if count >= 20 { Ok(()) } else { Err(count) }
            })
            .await;
        if let Err(error) = postgres.stop().await {
            eprintln!("{error}: its outage is NOT tested");
            return;
        }
        sleep(AWAY).await;
        postgres.restart().await.expect("starts");
    };
    tokio::join!(system.send_slowly(&orders, PER_SECOND), outage);

    all_delivered_once(&mut observer, &orders, [&database, &database]).await;
}
