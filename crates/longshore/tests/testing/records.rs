//! What can be sent: copies, headers, bytes that are no event, partitions.

use longshore::prelude::Event;
use longshore::testing::{ErrorKind, OutgoingRecord, TestSetup, raw};

use crate::clerk::{Answer, Letter, Service, answer, clerk, letter, start};

#[tokio::test]
async fn a_copy_of_a_record_takes_effect_once() {
    let (mut worker, service) = start().await;
    let sent = worker.send(&letter("ada", "hello"));
    let copy = worker.send_again(&sent);
    worker.settle().await;

    assert_eq!(copy.offset.0, sent.offset.0 + 1);
    assert_eq!(service.calls(), 1);
    worker.expect_published(&[answer("ada", "hello, your letter 1")]);
    worker.expect_all_done();
    worker.stop().await;
}

#[tokio::test]
async fn bytes_that_are_no_event_become_a_dead_letter() {
    let (mut worker, service) = start().await;
    worker.send_record(raw(Letter::TOPIC, "ada", "{not json"));
    worker.settle().await;

    assert_eq!(service.calls(), 0);
    let dead = worker.dead_letters(Letter::TOPIC);
    assert_eq!(dead[0].letter.kind, ErrorKind::Undecodable);
    assert_eq!(dead[0].record.value.as_deref(), Some(&b"{not json"[..]));
    worker.stop().await;
}

#[tokio::test]
async fn headers_reach_what_is_published() {
    let (mut worker, _) = start().await;
    let mut record = worker.record(&letter("ada", "hello"));
    record.headers.replace("correlation-id", "c-1");
    worker.send_record(record);
    worker.settle().await;

    let published = worker.records(Answer::TOPIC);
    assert_eq!(published[0].headers.get_str("correlation-id"), Some("c-1"));
    worker.stop().await;
}

#[tokio::test]
async fn records_go_to_the_partition_that_is_asked_for() {
    let service = Service::default();
    let described = move || clerk(&service);
    let mut worker = TestSetup::new(described).partitions(5).start().await;
    for partition in 0..5 {
        let record: OutgoingRecord = worker.record(&letter("ada", "hello"));
        assert_eq!(
            worker.send_to(partition, record).partition.partition,
            partition
        );
    }
    worker.settle().await;

    assert_eq!(worker.published::<Answer>().len(), 5);
    assert_eq!(
        worker.report().partitions.len(),
        10,
        "the redrive topic too"
    );
    worker.expect_all_done();
    worker.stop().await;
}

#[tokio::test]
#[should_panic(expected = "there is no partition 3: the topic has 3")]
async fn a_partition_that_is_not_there_is_told() {
    let (worker, _) = start().await;
    worker.send_to(3, worker.record(&letter("ada", "hello")));
}

#[tokio::test]
#[should_panic(expected = "clerk does not read answer; it reads letter")]
async fn an_event_that_the_worker_does_not_read_is_told() {
    let (worker, _) = start().await;
    worker.send(&answer("ada", "hello"));
}
