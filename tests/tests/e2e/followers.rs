//! Workers that follow orders from the side: what they have counted and written is what the log holds, whoever is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use longshore_event::{Record, attribute};
use longshore_jobs::NewJob;
use longshore_orders::analytics::{AnalyticsSummary, Count};
use longshore_orders::job::Email;
use longshore_testkit::wait::eventually;
use serde_json::{Value, json};
use tokio::time::interval;

use crate::support::client::{self, Sent};
use crate::support::observer::Observer;
use crate::support::order::{CANCELLED, CREATED, DELIVERED, Order, PAID, SHIPPED};
use crate::support::system::{FLOW, System};
use crate::support::worker::{Kind, Worker};

const MAILS: &str = "jobs.email";
const USER: &str = "user.created";
const ORDERS: usize = 200;
const PER_SECOND: u32 = 25;
/// Short, so that mails before the sign-up show both ways out of waiting.
const MAIL_FLAGS: [&str; 4] = [
    "--patience",
    "2s",
    "--unknown-address",
    "{userId}@example.com",
];

/// The topics of events, with the field that says when, in the order in which reports name them.
const EVENTS: [(&str, &str); 5] = [
    (CREATED, "createdAt"),
    (PAID, "paidAt"),
    (SHIPPED, "shippedAt"),
    (DELIVERED, "deliveredAt"),
    (CANCELLED, "cancelledAt"),
];

/// Mostly plain; every tenth is sold out and every tenth declined.
fn orders() -> Vec<Order> {
    let mut orders = Order::many(ORDERS);
    for (number, order) in orders.iter_mut().enumerate() {
        match number % 10 {
            3 => order.sku = "TEST-SOLD-OUT".to_owned(),
            7 => order.sku = "TEST-DECLINED".to_owned(),
            _ => {}
        }
    }
    orders
}

/// Sends the orders, a twentieth of them again under another id, in the midst of it the sign-up of their user, and one order
/// of a user who never signs up.
async fn shop(system: &System, orders: &[Order]) {
    let producer = client::producer(system.broker.bootstrap(), &[]);
    let (early, late) = orders.split_at(orders.len() / 4);
    system.send_slowly(early, PER_SECOND).await;
    let ada = json!({
        "userId": "u-7", "email": "ada@example.org", "name": "Ada", "role": "customer", "createdAt": "2026-11-01T00:00:00Z",
    });
    let ada = Sent::new("u-7", ada.to_string());
    client::send(&producer, USER, &ada).await.expect("sent");
    system.send_slowly(late, PER_SECOND).await;
    let stranger = Order::new("o-stranger", "CD-12");
    let stranger = stranger.json().replace("u-7", "u-9");
    let stranger = Sent::new("o-stranger", stranger);
    client::send(&producer, CREATED, &stranger)
        .await
        .expect("sent");
    for order in orders.iter().step_by(20) {
        client::send(&producer, CREATED, &order.bare())
            .await
            .expect("sent");
    }
}

/// Kills one after the other with -9, one in each interval, and starts it again at once, without end.
async fn kill_in_turn(workers: &mut [Worker], every: Duration) {
    let mut ticks = interval(every);
    ticks.tick().await;
    for turn in (0..workers.len()).cycle() {
        ticks.tick().await;
        workers[turn].kill();
        workers[turn] = workers[turn].launch.start();
    }
}

fn value(record: &Record) -> Value {
    serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON")
}

/// What the inbox of a reader knows a record by.
fn identity(record: &Record) -> String {
    let id = record.headers.get_str(attribute::ID);
    id.map_or_else(|| record.position().to_string(), str::to_owned)
}

/// What analytics should say of the log, counted from its records: counts, and orders and milliseconds by step.
fn counted(observer: &Observer) -> (Vec<Count>, BTreeMap<String, (i64, i64)>) {
    let mut counts = Vec::new();
    let mut times: BTreeMap<(&str, String), Timestamp> = BTreeMap::new();
    for (topic, time) in EVENTS {
        let event = topic.trim_start_matches("order.");
        let mut seen = BTreeSet::new();
        // By reason, which is none but for cancellations.
        let mut sums: BTreeMap<Option<String>, (i64, i64, i64)> = BTreeMap::new();
        for record in observer.topic(topic) {
            if !seen.insert(identity(record)) {
                continue;
            }
            let value = value(record);
            let reason = value["reason"].as_str().map(str::to_owned);
            let sum = sums.entry(reason).or_default();
            sum.1 += 1;
            let order = value["orderId"].as_str().expect("an order").to_owned();
            if times.contains_key(&(event, order.clone())) {
                continue;
            }
            let at = value[time]
                .as_str()
                .expect("a time")
                .parse()
                .expect("a time");
            times.insert((event, order), at);
            sum.0 += 1;
            sum.2 += match topic {
                CREATED => value["items"][0]["unitPrice"]["amount"]
                    .as_i64()
                    .expect("a price"),
                PAID => value["amount"]["amount"].as_i64().expect("an amount"),
                _ => 0,
            };
        }
        let has_money = [CREATED, PAID].contains(&topic);
        counts.extend(
            sums.into_iter()
                .map(|(reason, (orders, events, amount))| Count {
                    event: event.to_owned(),
                    currency: has_money.then(|| "USD".to_owned()),
                    reason,
                    orders,
                    events,
                    amount: has_money.then_some(amount),
                }),
        );
    }
    let mut steps: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for (from, to) in [
        ("created", "paid"),
        ("paid", "shipped"),
        ("shipped", "delivered"),
        ("created", "delivered"),
        ("created", "cancelled"),
    ] {
        for ((_, order), until) in times.iter().filter(|((event, _), _)| *event == to) {
            if let Some(since) = times.get(&(from, order.clone())) {
                let step = steps.entry(format!("{from}_to_{to}")).or_default();
                step.0 += 1;
                step.1 += (until.as_millisecond() - since.as_millisecond()).max(0);
            }
        }
    }
    (counts, steps)
}

/// Asks the analytics worker until it has counted as many events as the log holds.
async fn told(analytics: &Worker, events: i64) -> AnalyticsSummary {
    eventually("all events counted", FLOW, async || {
        let answer = analytics.get("/analytics/summary").await;
        let (_, body) = answer.map_err(|error| error.to_string())?;
        let found: AnalyticsSummary = serde_json::from_str(&body).map_err(|_| body)?;
        let counted: i64 = found.counts.iter().map(|count| count.events).sum();
        if counted == events {
            Ok(found)
        } else {
            Err(format!("{counted} of {events}"))
        }
    })
    .await
}

/// Watches all that the tests below judge.
async fn observer(system: &System) -> Observer {
    let events = EVENTS.iter().map(|(topic, _)| *topic);
    let topics: Vec<_> = events.chain([MAILS]).collect();
    Observer::new(&system.broker, &topics).await
}

/// Waits until all orders have ended, and holds what `analytics` says to the log.
async fn sums_are_those_of_the_log(observer: &mut Observer, analytics: &Worker) {
    observer
        .until("all orders ended", FLOW, |observer| {
            let ended = observer.keys(DELIVERED).len() + observer.keys(CANCELLED).len();
            // With the stranger's.
            if ended == ORDERS + 1 {
                Ok(())
            } else {
                Err(ended)
            }
        })
        .await;
    observer.catch_up(FLOW).await;
    let (counts, steps) = counted(observer);
    let events = counts.iter().map(|count| count.events).sum();
    let summary = told(analytics, events).await;
    assert_eq!(summary.counts, counts);
    let found = summary.steps.into_iter();
    let found: BTreeMap<_, _> = found
        .map(|step| (step.step, (step.orders, step.total_ms)))
        .collect();
    assert_eq!(found, steps);
    let again = counts[0].events - counts[0].orders;
    assert_eq!(again, 10, "a twentieth came again");
}

/// Waits until as many mails are written as there are first events of orders, and holds each to be one of its own.
async fn each_mail_is_written_once(observer: &mut Observer) {
    let (counts, _) = counted(observer);
    let expected: i64 = counts.iter().map(|count| count.orders).sum();
    observer
        .until("all mails written", FLOW, |observer| {
            let written = observer.keys(MAILS).len() as i64;
            if written == expected {
                Ok(())
            } else {
                Err(format!("{written} of {expected}"))
            }
        })
        .await;
    observer.catch_up(FLOW).await;
    let mut ids = BTreeSet::new();
    let mut subjects = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    for record in observer.topic(MAILS) {
        let job: NewJob<Email> = serde_json::from_value(value(record)).expect("a job");
        ids.insert(job.job_id);
        subjects.insert(job.payload.subject);
        addresses.insert(job.payload.to);
    }
    assert_eq!(ids.len() as i64, expected);
    assert_eq!(
        subjects.len() as i64,
        expected,
        "an order is told each thing once"
    );
    // What waited for the sign-up may have waited long enough.
    addresses.remove("u-7@example.com");
    let addresses: Vec<_> = addresses.into_iter().collect();
    assert_eq!(addresses, ["ada@example.org", "u-9@example.com"]);
}

#[tokio::test]
async fn sums_and_mails_are_those_of_the_log_though_their_workers_are_killed_every_second() {
    let system = System::start().await;
    let orders = orders();
    let ordering = system.start_workers();
    let mails = system.launch(Kind::Notifications).flags(&MAIL_FLAGS);
    let mut followers = [
        system.launch(Kind::Analytics).instance(1).start(),
        mails.instance(1).start(),
    ];
    let mut observer = observer(&system).await;
    for worker in ordering.iter().chain(&followers) {
        worker.ready().await;
    }

    tokio::select! {
        () = shop(&system, &orders) => {}
        () = kill_in_turn(&mut followers, Duration::from_secs(1)) => {}
    }

    sums_are_those_of_the_log(&mut observer, &followers[0]).await;
    each_mail_is_written_once(&mut observer).await;
    let jobs = observer.topic(MAILS);
    let ids: BTreeSet<_> = jobs.iter().map(|record| identity(record)).collect();
    assert_eq!(
        ids.len(),
        observer.keys(MAILS).len(),
        "each is decided on once"
    );
}

#[tokio::test]
async fn two_instances_on_postgres_count_and_write_as_one_though_one_is_killed() {
    let Some((_postgres, system, database)) = System::beside_postgres().await else {
        return;
    };
    let orders = orders();
    let ordering = system.start_workers();
    let launch = |kind: Kind, instance: usize| {
        let mut launch = system.launch(kind);
        launch.store = database.clone();
        if kind == Kind::Notifications {
            launch = launch.flags(&MAIL_FLAGS);
        }
        launch.instance(instance).start()
    };
    let followers = [Kind::Analytics, Kind::Notifications];
    let steady = followers.map(|kind| launch(kind, 1));
    let mut mortal = followers.map(|kind| launch(kind, 2));
    let mut observer = observer(&system).await;
    for worker in ordering.iter().chain(&steady).chain(&mortal) {
        worker.ready().await;
    }

    tokio::select! {
        () = shop(&system, &orders) => {}
        () = kill_in_turn(&mut mortal, Duration::from_secs(2)) => {}
    }

    sums_are_those_of_the_log(&mut observer, &steady[0]).await;
    each_mail_is_written_once(&mut observer).await;
}
