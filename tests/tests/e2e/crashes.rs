//! Workers that are killed with -9 while orders flow lose nothing and do nothing twice.

use std::time::Duration;

use longshore_testkit::postgres::Postgres;
use tokio::time::{interval, sleep};

use crate::support::order::Order;
use crate::support::system::{System, all_delivered_once};
use crate::support::worker::{KINDS, Kind, Worker};

const ORDERS: usize = 300;
const PER_SECOND: u32 = 30;

/// Kills one worker after the other, each time waiting `every`, and starts it again `down` later, without end.
async fn kill_in_turn(workers: &mut Vec<Worker>, every: Duration, down: Duration) {
    let mut ticks = interval(every);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let launch = workers.remove(0).kill();
        sleep(down).await;
        workers.push(launch.start());
    }
}

#[tokio::test]
async fn a_worker_is_killed_every_second() {
    let system = System::start().await;
    let orders = Order::many(ORDERS);
    let mut workers = system.start_workers();
    let mut observer = system.observer().await;
    for worker in &workers {
        worker.ready().await;
    }

    tokio::select! {
        () = system.send_slowly(&orders, PER_SECOND) => {}
        () = kill_in_turn(&mut workers, Duration::from_secs(1), Duration::ZERO) => {}
    }

    // The killing has stopped, perhaps between a kill and a start.
    let running: Vec<_> = workers.iter().map(|worker| worker.kind).collect();
    let missing = KINDS.iter().filter(|kind| !running.contains(kind));
    workers.extend(missing.map(|kind| system.launch(*kind).start()));
    let stores = [system.store(Kind::Created), system.store(Kind::Paid)];
    all_delivered_once(&mut observer, &orders, [&stores[0], &stores[1]]).await;
}

#[tokio::test]
async fn one_of_two_instances_on_postgres_is_killed_every_second() {
    let Some(postgres) = Postgres::start().await else {
        return;
    };
    let system = System::start().await;
    let database = postgres.create_database(&system.broker.prefix());
    let orders = Order::many(ORDERS);
    let launch = |kind: Kind, instance: usize| {
        let mut launch = system.launch(kind);
        launch.store = database.clone();
        launch.instance = format!("{}-{instance}", kind.name());
        launch.output.set_extension(format!("{instance}.log"));
        launch.start()
    };
    let steady: Vec<_> = KINDS.iter().map(|kind| launch(*kind, 1)).collect();
    let mut mortal: Vec<_> = KINDS.iter().map(|kind| launch(*kind, 2)).collect();
    let mut observer = system.observer().await;
    for worker in steady.iter().chain(&mortal) {
        worker.ready().await;
    }

    // Down for longer than the session time-out now and then: the partitions move to the other instance and back.
    tokio::select! {
        () = system.send_slowly(&orders, PER_SECOND) => {}
        () = kill_in_turn(&mut mortal, Duration::from_secs(1), Duration::from_millis(200)) => {}
    }

    all_delivered_once(&mut observer, &orders, [&database, &database]).await;
}
