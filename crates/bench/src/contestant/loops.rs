//! The loop that people write first: poll, handle, produce, and commit the offsets of a batch once its records are
//! acknowledged. At least once.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::Task;
use crate::note::{Echo, Note};

/// Records between two commits.
pub(super) const BATCH: usize = 500;

pub(super) async fn plain(task: Task) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || {
        let (consumer, producer) = clients(&task)?;
        loop {
            let batch = poll(&consumer)?;
            if batch.is_empty() {
                continue;
            }
            for message in &batch {
                let note: Note = serde_json::from_slice(message.payload().unwrap_or_default())?;
                produce(
                    &producer,
                    &task.output,
                    &Echo::from(&note),
                    note.key.as_str(),
                )?;
            }
            acknowledged(&producer);
            consumer.commit_consumer_state(CommitMode::Async)?;
        }
    })
    .await?
}

pub(super) fn clients(task: &Task) -> anyhow::Result<(BaseConsumer, BaseProducer)> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &task.brokers)
        .set("group.id", &task.group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()?;
    consumer.subscribe(&[&task.input])?;
    let producer = ClientConfig::new()
        .set("bootstrap.servers", &task.brokers)
        .set("enable.idempotence", "true")
        .set("queue.buffering.max.messages", "100000")
        .set("linger.ms", "0")
        .create()?;
    Ok((consumer, producer))
}

/// Waits for a record and takes what else is there, up to a batch.
pub(super) fn poll(consumer: &BaseConsumer) -> anyhow::Result<Vec<OwnedMessage>> {
    let mut batch = Vec::with_capacity(BATCH);
    let mut wait = Duration::from_millis(100);
    while batch.len() < BATCH {
        match consumer.poll(wait) {
            Some(message) => batch.push(message?.detach()),
            None => break,
        }
        wait = Duration::ZERO;
    }
    Ok(batch)
}

/// Waits until everything is acknowledged. Faster than `flush`, which looks less often.
pub(super) fn acknowledged(producer: &BaseProducer) {
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(1));
    }
}

/// Produces an echo with as many headers as an event of Longshore has.
pub(super) fn produce(
    producer: &BaseProducer,
    topic: &str,
    echo: &Echo,
    id: &str,
) -> anyhow::Result<()> {
    let value = serde_json::to_vec(echo)?;
    let mut headers = OwnedHeaders::new();
    for (key, value) in [
        ("ce_specversion", "1.0"),
        ("ce_id", id),
        ("ce_source", "bench"),
        ("ce_type", "bench.echo"),
        ("ce_time", "2026-01-01T00:00:00Z"),
        ("ce_subject", echo.key.as_str()),
        ("content-type", "application/json"),
        ("correlation-id", id),
        ("timestamp", "2026-01-01T00:00:00Z"),
        ("causation-id", id),
    ] {
        headers = headers.insert(Header {
            key,
            value: Some(value),
        });
    }
    let record = BaseRecord::to(topic)
        .key(&echo.key)
        .payload(&value)
        .headers(headers);
    producer.send(record).map_err(|(error, _)| error)?;
    Ok(())
}
