//! Orders that are not paid in time: their timers outlive the worker that set them, and fire once.

use std::collections::BTreeSet;

use jiff::Timestamp;
use longshore_testkit::wait::eventually;
use serde_json::{Value, json};

use crate::support::client::{self, Sent};
use crate::support::observer::Observer;
use crate::support::order::{CREATED, PAID};
use crate::support::system::{FLOW, System};
use crate::support::worker::{Kind, Worker};

const DUE: &str = "order.expiry-due";
const REQUESTED: &str = "order.cancellation-requested";
/// Long enough for all payments to be heard of and the worker to be killed.
const EXPIRE_AFTER: [&str; 2] = ["--expire-after", "30s"];

async fn has_timers(worker: &Worker, count: u64) {
    eventually("timers", FLOW, async || {
        let page = worker.status().await?;
        match &page["store"]["timers"] {
            timers if *timers == count => Ok(()),
            timers => Err(timers.to_string()),
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_not_paid_in_time_is_asked_to_be_cancelled_across_a_kill() {
    let system = System::start().await;
    let mut observer = Observer::new(&system.broker, &[DUE, REQUESTED]).await;
    let mut worker = system
        .launch(Kind::Expiry)
        .instance(1)
        .flags(&EXPIRE_AFTER)
        .start();
    worker.ready().await;
    let producer = client::producer(system.broker.bootstrap(), &[]);
    let placed_at = Timestamp::now();

    let money = json!({"amount": 100, "currency": "USD"});
    for number in 0..20 {
        let id = format!("o-{number}");
        let items = json!([{"sku": "CD-12", "quantity": 1, "unitPrice": money}]);
        let created =
            json!({"orderId": id, "userId": "u-7", "items": items, "createdAt": placed_at});
        let created = Sent::new(&id, created.to_string());
        let paid = json!({"orderId": id, "paymentId": "p-1", "amount": money, "paidAt": placed_at});
        let paid = Sent::new(&id, paid.to_string());
        // Every other order is paid; of these, half are heard of as paid first.
        let sent: &[_] = match number % 4 {
            0 => &[(CREATED, created), (PAID, paid)],
            2 => &[(PAID, paid), (CREATED, created)],
            _ => &[(CREATED, created)],
        };
        for (topic, record) in sent {
            client::send(&producer, topic, record).await.expect("sent");
        }
    }
    has_timers(&worker, 10).await;
    worker.kill();
    let worker = worker.launch.start();

    observer
        .until("all unpaid orders expired", FLOW, |observer| {
            let expired = observer.keys(REQUESTED).len();
            if expired == 10 { Ok(()) } else { Err(expired) }
        })
        .await;
    has_timers(&worker, 0).await;
    observer.catch_up(FLOW).await;
    let unpaid: BTreeSet<_> = (0..20)
        .filter(|number| number % 2 == 1)
        .map(|number| format!("o-{number}"))
        .collect();
    assert_eq!(observer.keys(REQUESTED), unpaid);
    assert_eq!(
        observer.keys(DUE),
        unpaid,
        "the timers of paid orders never fire"
    );
    for record in observer.topic(REQUESTED) {
        let value: Value =
            serde_json::from_slice(record.value.as_deref().expect("a value")).expect("JSON");
        assert_eq!(value["reason"], "expired");
        let requested_at: Timestamp = value["requestedAt"]
            .as_str()
            .expect("a time")
            .parse()
            .expect("a time");
        assert!(
            requested_at.duration_since(placed_at).as_secs() >= 30,
            "not before its time: {value}"
        );
    }
    let ids: BTreeSet<_> = observer
        .topic(REQUESTED)
        .iter()
        .map(|record| record.headers.get_str("ce_id").map(str::to_owned))
        .collect();
    assert_eq!(ids.len(), 10, "each asked for once");
}
