//! A publisher into the output topic of one run, whatever the topic of an event is called.

use std::sync::Arc;

use longshore_event::OutgoingRecord;
use longshore_kafka::{Connection, KafkaPublisher};
use longshore_worker::{PublishError, Publisher};

pub(crate) struct ToOutput {
    publisher: KafkaPublisher,
    topic: Arc<str>,
}

impl ToOutput {
    pub(crate) fn connect(connection: &Connection, topic: &str) -> anyhow::Result<Self> {
        Ok(Self {
            publisher: KafkaPublisher::connect(connection)?,
            topic: topic.into(),
        })
    }
}

impl Publisher for ToOutput {
    async fn publish(&self, records: &[OutgoingRecord]) -> Vec<Result<(), PublishError>> {
        let records: Vec<_> = records
            .iter()
            .map(|record| OutgoingRecord {
                topic: self.topic.clone(),
                ..record.clone()
            })
            .collect();
        self.publisher.publish(&records).await
    }
}
