//! What group members and readers share: a client that reads, its queue, and its bounds.

use std::time::Duration;

use rdkafka::config::NativeClientConfig;
use rdkafka::types::RDKafkaErrorCode;

use crate::native::{Client, ClientError, Event, Kind, Queue};
use crate::{Connection, KafkaError};

/// Defaults of every client that reads.
pub(crate) const DEFAULTS: &[(&str, &str)] = &[
    ("isolation.level", "read_committed"),
    // Bounds what is fetched ahead, over all partitions, and one answer of a broker.
    ("queued.max.messages.kbytes", "16384"),
    ("fetch.max.bytes", "8388608"),
    // When that bound holds fetching up, it goes on soon after there is room again.
    ("fetch.queue.backoff.ms", "20"),
];

/// A client that reads. The queue comes first: it is destroyed before the client.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) queue: Queue,
    pub(crate) client: Client,
}

impl Consumer {
    pub(crate) fn start(
        connection: &Connection,
        config: NativeClientConfig,
    ) -> Result<Self, KafkaError> {
        let client = Client::start(Kind::Consumer, config);
        let client = client.map_err(|reason| connection.unusable(reason))?;
        let queue = client.consumer_queue();
        Ok(Self { queue, client })
    }

    /// The reason that the client's own connections met with, which says more than that time was up.
    ///
    /// For a client that has not joined or assigned anything yet: other events are dropped.
    pub(crate) fn better_reason(&self, error: ClientError) -> ClientError {
        let mut last = error;
        while let Some(event) = self.queue.poll(Duration::ZERO) {
            match event {
                Event::Failed { error, .. } if error.code != RDKafkaErrorCode::AllBrokersDown => {
                    last = error;
                }
                _ => {}
            }
        }
        last
    }
}
