//! Dead letters that come back, and messages that wait: through the worker binaries, on a real broker.

use longshore_event::{DeadLetter, Position, Redrive, RedriveAction, redrive_topic};

use crate::support::client::{self, Sent};
use crate::support::observer::Observer;
use crate::support::order::{CREATED_DLQ, DELIVERED, Order, PAID};
use crate::support::system::{FLOW, System};
use crate::support::worker::Kind;

async fn until_count(observer: &mut Observer, topic: &str, count: usize) {
    let what = format!("{count} records of {topic}");
    observer
        .until(&what, FLOW, |observer| {
            let found = observer.topic(topic).len();
            if found == count { Ok(()) } else { Err(found) }
        })
        .await;
}

/// What the command line sends when the only dead letter is redriven with another value.
fn redriven(observer: &Observer, value: &str) -> Sent {
    let letter = observer.topic(CREATED_DLQ)[0];
    let reason = DeadLetter::read(&letter.headers).expect("a reason");
    let redrive = Redrive {
        origin: Position {
            partition: longshore_event::TopicPartition::new(reason.topic, reason.partition),
            offset: longshore_event::Offset(reason.offset),
        },
        count: reason.redrive_count + 1,
        action: RedriveAction::Handle,
        run: "by-hand".into(),
        of: Some(letter.position()),
    };
    let record = redrive.record(Kind::Created.name(), letter);
    let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
    let headers = record.headers.iter();
    headers.fold(Sent::new(&key, value), |sent, (name, value)| {
        sent.header(name, value.unwrap_or_default())
    })
}

#[tokio::test]
async fn a_dead_order_that_is_mended_and_redriven_twice_is_delivered_once() {
    let system = System::start().await;
    let mut observer = system.observer().await;
    let _workers = system.start_workers();
    system
        .send(&[Order::new("o-1", "TEST-POISON").created()])
        .await;
    until_count(&mut observer, CREATED_DLQ, 1).await;

    let mended = redriven(&observer, &Order::new("o-1", "CD-12").json());
    let producer = client::producer(system.broker.bootstrap(), &[]);
    let topic = redrive_topic(Kind::Created.name());
    for _ in 0..2 {
        client::send(&producer, &topic, &mended)
            .await
            .expect("sent");
    }

    until_count(&mut observer, DELIVERED, 1).await;
    let last = Order::new("o-2", "CD-12");
    system.send(&[last.created()]).await;
    until_count(&mut observer, DELIVERED, 2).await;
    observer.catch_up(FLOW).await;
    assert_eq!(observer.topic(PAID).len(), 2, "one of each order");
    assert_eq!(observer.topic(CREATED_DLQ).len(), 1);
}

#[tokio::test]
async fn a_parked_order_waits_through_a_kill_and_says_so() {
    let system = System::start().await;
    let mut observer = system.observer().await;
    let launch =
        system
            .launch(Kind::Created)
            .instance(1)
            .flags(&["--attempts", "1", "--park-first", "10s"]);
    let mut worker = launch.start();
    worker.ready().await;
    system
        .send(&[Order::new("o-1", "TEST-FLAKY").created()])
        .await;
    system.send(&[Order::new("o-2", "CD-12").created()]).await;
    until_count(&mut observer, PAID, 1).await;

    let parked = longshore_testkit::wait::eventually("it is parked", FLOW, async || {
        let page = worker.status().await?;
        if page["parked"][0]["key"] == "o-1" {
            return Ok(());
        }
        Err(page.to_string())
    });
    parked.await;
    worker.kill();

    let _worker = launch.start();
    observer
        .until("both are paid", FLOW, |observer| {
            let paid = observer.keys(PAID);
            if paid.len() == 2 { Ok(()) } else { Err(paid) }
        })
        .await;
    observer.catch_up(FLOW).await;
    assert_eq!(observer.topic(CREATED_DLQ).len(), 0);
}
