//! Workers that are killed with -9 while orders flow lose nothing and do nothing twice.

use std::time::Duration;

use tokio::time::interval;

use crate::support::observer::Observer;
use crate::support::order::{Order, PAID};
use crate::support::system::{FLOW, System, all_delivered_once};
use crate::support::worker::{KINDS, Kind, Launch, Worker};

const ORDERS: usize = 300;
const PER_SECOND: u32 = 30;

/// Kills one worker after the other, one in each interval, and starts it again at once, without end.
pub(crate) async fn kill_in_turn(workers: &mut [Worker], every: Duration) {
    let mut ticks = interval(every);
    ticks.tick().await;
    for turn in (0..workers.len()).cycle() {
        ticks.tick().await;
        workers[turn].kill();
        workers[turn] = workers[turn].launch.start();
    }
}

#[tokio::test]
async fn a_worker_is_killed_every_second() {
    let system = System::start().await;
    let orders = Order::many(ORDERS);
    let start = |kind: &Kind| system.launch(*kind).instance(1).start();
    let mut workers: Vec<_> = KINDS.iter().map(start).collect();
    let mut observer = system.observer().await;
    for worker in &workers {
        worker.ready().await;
    }

    tokio::select! {
        () = system.send_slowly(&orders, PER_SECOND) => {}
        () = kill_in_turn(&mut workers, Duration::from_secs(1)) => {}
    }

    let stores = [system.store(Kind::Created), system.store(Kind::Paid)];
    all_delivered_once(&mut observer, &orders, [&stores[0], &stores[1]]).await;
}

#[tokio::test]
async fn one_of_two_instances_on_postgres_is_killed_every_two_seconds() {
    let Some((_postgres, system, database)) = System::beside_postgres().await else {
        return;
    };
    let orders = Order::many(ORDERS);
    let launch = |kind, instance| one_of_several(&system, kind, instance, &database).start();
    let steady: Vec<_> = KINDS.iter().map(|kind| launch(*kind, 1)).collect();
    let mut mortal: Vec<_> = KINDS.iter().map(|kind| launch(*kind, 2)).collect();
    let mut observer = system.observer().await;
    for worker in steady.iter().chain(&mortal) {
        worker.ready().await;
    }

    tokio::select! {
        () = system.send_slowly(&orders, PER_SECOND) => {}
        () = kill_in_turn(&mut mortal, Duration::from_secs(2)) => {}
    }

    all_delivered_once(&mut observer, &orders, [&database, &database]).await;
}

#[tokio::test]
async fn an_instance_that_wakes_after_its_partitions_moved_does_nothing_twice() {
    let Some((_postgres, system, database)) = System::beside_postgres().await else {
        return;
    };
    let orders = Order::many(ORDERS);
    let launch = |kind, instance| one_of_several(&system, kind, instance, &database).start();
    let others = [launch(Kind::Paid, 1), launch(Kind::Shipped, 1)];
    let awake = launch(Kind::Created, 1);
    let mut observer = system.observer().await;
    for worker in others.iter().chain([&awake]) {
        worker.ready().await;
    }
    let all = awake.partitions().await;
    let sleeper = launch(Kind::Created, 2);
    sleeper.ready().await;

    let nap = async {
        let paid = |observer: &Observer| match observer.keys(PAID).len() {
            20.. => Ok(()),
            paid => Err(paid),
        };
        observer.until("payments", FLOW, paid).await;
        // In the middle of its share of the orders.
        let had = sleeper.partitions().await;
        sleeper.freeze();
        awake.owns(all).await;
        sleeper.wake();
        had
    };
    let ((), had) = tokio::join!(system.send_slowly(&orders, PER_SECOND), nap);

    assert!(had > 0, "its partitions moved while it slept");
    all_delivered_once(&mut observer, &orders, [&database, &database]).await;
}

/// One of the instances of a worker on one database. They are no static members: the partitions of one that is dead move
/// to another when its session is over.
fn one_of_several(system: &System, kind: Kind, instance: usize, database: &str) -> Launch {
    let mut launch = system.launch(kind);
    launch.store = database.to_owned();
    let mut launch = launch.instance(instance);
    launch.instance = None;
    launch
}
