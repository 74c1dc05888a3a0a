//! What is no event, or fails for good, is set aside as the bytes it was, with the reason; everything else goes on.

use longshore_event::{DeadLetter, ErrorKind, Record};
use longshore_testkit::wait::eventually;

use crate::support::client::Sent;
use crate::support::observer::Observer;
use crate::support::order::{CREATED, CREATED_DLQ, Order, PAID, STAGES};
use crate::support::system::{FLOW, System};
use crate::support::worker::Kind;

/// Records that no worker can handle, with the error type that their dead letters name.
fn bad_records() -> Vec<(Sent, &'static str)> {
    let order = Order::new("bad", "CD-12");
    let mut tombstone = order.created();
    tombstone.value = None;
    let keyed = |key: &str| {
        let mut record = order.created();
        record.key = Some(key.into());
        record
    };
    let with_value = |key: &str, value: Vec<u8>| Sent {
        value: Some(value),
        ..keyed(key)
    };
    let no_items = br#"{"orderId":"bad","userId":"u","items":[]}"#.to_vec();
    let random = [0xff, 0x00, 0xfe, 0x80, 0x7f].repeat(20);
    vec![
        (with_value("random", random), "InvalidJson"),
        (with_value("empty", Vec::new()), "EmptyValue"),
        (tombstone, "Tombstone"),
        (with_value("large", vec![b' '; 900 * 1024]), "LimitExceeded"),
        (
            keyed("header").header("x-large", vec![b'x'; 64 * 1024]),
            "LimitExceeded",
        ),
        (
            keyed("version").header("ce_type", "order.created.v9"),
            "UnknownEventVersion",
        ),
        (
            keyed("type").header("ce_type", "invoice.sent"),
            "UnexpectedEventType",
        ),
        (with_value("items", no_items), "InvalidEvent"),
        (
            keyed("id").header("ce_id", vec![0xff, 0xfe]),
            "InvalidHeader",
        ),
    ]
}

fn letter_of<'a>(observer: &'a Observer, failed: &Record) -> &'a Record {
    let letters = observer.topic(CREATED_DLQ).into_iter();
    let mut letters = letters.filter(|letter| {
        let reason = DeadLetter::read(&letter.headers).expect("a reason");
        (reason.partition, reason.offset) == (failed.partition.partition, failed.offset.0)
    });
    letters.next().expect("a dead letter")
}

async fn until_counts(observer: &mut Observer, paid: usize, dead: usize) {
    observer
        .until("payments and dead letters", FLOW, |observer| {
            let found = (
                observer.topic(PAID).len(),
                observer.topic(CREATED_DLQ).len(),
            );
            if found == (paid, dead) {
                Ok(())
            } else {
                Err(found)
            }
        })
        .await;
}

#[tokio::test]
async fn what_is_no_event_becomes_a_dead_letter_and_the_worker_goes_on() {
    let system = System::start().await;
    let mut observer = system.observer().await;
    let _worker = system.launch(Kind::Created).start();
    let bad = bad_records();
    let mut records: Vec<_> = bad.iter().map(|(record, _)| record.clone()).collect();
    records.extend(Order::many(20).iter().map(Order::created));

    system.send(&records).await;

    until_counts(&mut observer, 20, bad.len()).await;
    observer.catch_up(FLOW).await;
    // Holds each letter to the bytes and headers of the record that failed.
    let summary = observer.history().check(&STAGES[..1]).expect("in order");
    assert_eq!(summary.dead_letters, bad.len());
    for (sent, error_type) in &bad {
        let failed = observer.topic(CREATED).into_iter().find(|record| {
            record.key.as_deref() == sent.key.as_deref()
                && record.value.as_deref() == sent.value.as_deref()
                && record.headers.len() == sent.headers.len()
        });
        let letter = letter_of(&observer, failed.expect("it was sent"));
        let reason = DeadLetter::read(&letter.headers).expect("a reason");
        assert_eq!(reason.error_type, *error_type);
        assert_eq!(reason.kind, ErrorKind::Undecodable);
        assert_eq!(
            (reason.topic.as_str(), reason.group.as_str()),
            (CREATED, "order-created")
        );
        assert_eq!(reason.delivery_count, 0);
        assert!(!reason.message.is_empty());
    }
}

#[tokio::test]
async fn dead_letters_wait_for_their_topic_and_hold_nothing_up() {
    let system = System::without(&[CREATED_DLQ]).await;
    let mut paid = Observer::new(&system.broker, &[CREATED, PAID]).await;
    let mut worker = system.launch(Kind::Created).instance(1).start();
    let poison = |id: &str| Order::new(id, "TEST-POISON").created();
    let until_paid = async |paid: &mut Observer, expected| {
        paid.until("payments", FLOW, |observer| {
            let count = observer.topic(PAID).len();
            if count == expected {
                Ok(())
            } else {
                Err(count)
            }
        })
        .await;
    };

    system.send(&[poison("bad-1")]).await;
    system
        .send(&[Order::new("good-1", "CD-12").created()])
        .await;
    until_paid(&mut paid, 1).await;
    system.read_to_the_end(Kind::Created).await;
    // What was published and is not known to be would be published once more.
    eventually("the dead letter alone to wait", FLOW, async || {
        let page = worker.status().await?;
        match &page["store"]["outbox"] {
            waiting if *waiting == 1 => Ok(()),
            waiting => Err(waiting.to_string()),
        }
    })
    .await;
    // What waits survives the worker: here it is killed, not stopped.
    worker.kill();
    let _worker = worker.launch.start();
    system.send(&[poison("bad-2")]).await;
    system
        .send(&[Order::new("good-2", "CD-12").created()])
        .await;
    until_paid(&mut paid, 2).await;
    system.create(CREATED_DLQ).await;

    let mut observer = system.observer().await;
    until_counts(&mut observer, 2, 2).await;
    observer.catch_up(FLOW).await;
    let summary = observer.history().check(&STAGES[..1]).expect("in order");
    assert_eq!((summary.dead_letters, summary.repeats), (2, 0));
}
