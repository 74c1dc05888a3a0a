//! Services that workers call over HTTP are away, slow or lose their answers: nothing is done twice, and all orders end.

use std::net::Ipv4Addr;
use std::time::Duration;

use longshore_sandbox::{Knobs, SandboxServer};
use longshore_services::Service;
use longshore_testkit::wait::eventually;
use tokio::time::sleep;

use crate::crashes::kill_in_turn;
use crate::support::ledger;
use crate::support::order::{DELIVERED, Order};
use crate::support::system::{FLOW, System, all_delivered_once};
use crate::support::worker::{KINDS, Kind, Worker};

const ORDERS: usize = 400;
const PER_SECOND: u32 = 40;

/// How long the payment service is away, if nothing else is said: some turns of the breaker.
const AWAY: Duration = Duration::from_secs(6);
/// How long a breaker stays open in these tests.
const BREAKER: Duration = Duration::from_secs(1);
/// Handlers at once, by default.
const HANDLERS: f64 = 64.0;

const UNAVAILABLE: &str =
    r#"longshore_service_tries_total{service="payment",outcome="unavailable"}"#;
const NOT_ASKED: &str = r#"longshore_service_not_asked_total{service="payment"}"#;

async fn sandbox(system: &System) -> SandboxServer {
    let store = system.sandbox_store().parse().expect("a store");
    let address = (Ipv4Addr::LOCALHOST, 0).into();
    let started = SandboxServer::start(address, store, Knobs::new(1)).await;
    started.expect("starts")
}

/// All workers, which call the services of the sandbox.
fn start_workers(system: &System, sandbox: &SandboxServer, breaker: Duration) -> Vec<Worker> {
    let services = [Service::Product, Service::Payment, Service::Carrier];
    let start = |kind: &Kind| {
        let mut launch = system.launch(*kind);
        launch.variables = services
            .map(|service| (service.variable(), sandbox.url(service)))
            .into();
        let breaker = format!("{}s", breaker.as_secs());
        launch
            .variables
            .push(("LONGSHORE_SERVICE_BREAKER", breaker));
        launch.instance(1).start()
    };
    KINDS.iter().map(start).collect()
}

/// What a worker says of the payment service: the state of its breaker.
async fn breaker(worker: &Worker) -> Result<String, String> {
    let page = worker.status().await?;
    let services = page["services"].as_array().cloned().unwrap_or_default();
    let mut services = services.into_iter();
    let payment = services.find(|service| service["service"] == "payment");
    let payment = payment.ok_or("no payment service")?;
    Ok(payment["breaker"].as_str().unwrap_or_default().to_owned())
}

/// The number that a metric of a worker has; zero if it is not there yet.
async fn metric(worker: &Worker, name: &str) -> u64 {
    let (_, text) = worker.get("/metrics").await.expect("metrics");
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.map_or(0, |value| value.trim().parse().expect("a number"))
}

#[tokio::test]
async fn the_payment_service_is_out_while_orders_flow() {
    out_while_orders_flow(ORDERS, AWAY, BREAKER).await;
}

/// The real thing: half a minute, with the breaker that workers have by default.
#[tokio::test]
#[ignore = "takes two minutes"]
async fn the_payment_service_is_out_for_half_a_minute() {
    out_while_orders_flow(2_400, Duration::from_secs(30), Duration::from_secs(30)).await;
}

async fn out_while_orders_flow(count: usize, away: Duration, open: Duration) {
    let system = System::start().await;
    let sandbox = sandbox(&system).await;
    let orders = Order::many(count);
    let workers = start_workers(&system, &sandbox, open);
    let mut observer = system.observer().await;

    let outage = async {
        for worker in &workers {
            worker.ready().await;
        }
        observer
            .until("the flow to begin", FLOW, |observer| {
                let count = observer.topic(DELIVERED).len();
                if count >= 20 { Ok(()) } else { Err(count) }
            })
            .await;
        sandbox
            .knobs()
            .turn(Service::Payment, |knobs| knobs.outage = true);
        eventually("an open breaker", FLOW, async || {
            match breaker(&workers[0]).await {
                Ok(state) if state != "closed" => Ok(()),
                other => Err(other),
            }
        })
        .await;
        let before = metric(&workers[0], UNAVAILABLE).await;
        sleep(away).await;
        // One probe a turn, and those that were under way when it opened: at most one of each handler.
        let asked = metric(&workers[0], UNAVAILABLE).await - before;
        let turns = away.as_secs_f64() / open.as_secs_f64();
        assert!(
            asked as f64 <= HANDLERS + turns + 1.0,
            "asked {asked} times while it was out"
        );
        assert!(metric(&workers[0], NOT_ASKED).await > 0);
        sandbox
            .knobs()
            .turn(Service::Payment, |knobs| knobs.outage = false);
    };
    tokio::join!(system.send_slowly(&orders, PER_SECOND), outage);

    let books = system.sandbox_store();
    all_delivered_once(&mut observer, &orders, [&books, &books]).await;
    eventually("a closed breaker", FLOW, async || {
        match breaker(&workers[0]).await {
            Ok(state) if state == "closed" => Ok(()),
            other => Err(other),
        }
    })
    .await;
    for worker in workers {
        assert!(worker.stop().await.success());
    }
}

/// Some of everything that a network does to a call.
fn make_flaky(sandbox: &SandboxServer) {
    for service in [Service::Product, Service::Payment, Service::Carrier] {
        sandbox.knobs().turn(service, |knobs| {
            knobs.errors = 0.1;
            knobs.lost_answers = 0.1;
            knobs.latency_ms = 5;
        });
    }
}

#[tokio::test]
async fn services_are_flaky_slow_and_lose_answers() {
    let system = System::start().await;
    let sandbox = sandbox(&system).await;
    make_flaky(&sandbox);
    let orders = Order::many(ORDERS);
    let workers = start_workers(&system, &sandbox, BREAKER);
    let mut observer = system.observer().await;

    system.send_slowly(&orders, PER_SECOND).await;

    let books = system.sandbox_store();
    all_delivered_once(&mut observer, &orders, [&books, &books]).await;
    let entries = ledger::entries(&books, Kind::Created).await;
    let again = entries.iter().filter(|entry| entry.calls > 1).count();
    assert!(
        again > ORDERS / 10,
        "only {again} entries were asked for again"
    );
    for worker in workers {
        assert!(worker.stop().await.success());
    }
}

#[tokio::test]
async fn workers_are_killed_while_services_are_flaky() {
    let system = System::start().await;
    let sandbox = sandbox(&system).await;
    make_flaky(&sandbox);
    let orders = Order::many(ORDERS);
    let mut workers = start_workers(&system, &sandbox, BREAKER);
    let mut observer = system.observer().await;
    for worker in &workers {
        worker.ready().await;
    }

    tokio::select! {
        () = system.send_slowly(&orders, PER_SECOND) => {}
        () = kill_in_turn(&mut workers, Duration::from_secs(1)) => {}
    }

    let books = system.sandbox_store();
    all_delivered_once(&mut observer, &orders, [&books, &books]).await;
}
